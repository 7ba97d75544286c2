"""Finds links of the built site that lead nowhere: `python docs/check_links.py build/docs`."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Collects what a page links to, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()

        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and not urlsplit(value).scheme:
                self.links.add(value)


def broken(root: Path) -> list[str]:
    """Gives all links within the site whose file or anchor is not there."""
    pages = {path.resolve(): Page(path) for path in root.glob("**/*.html")}
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            missing = anchor and target in pages and anchor not in pages[target].anchors
            if not target.exists() or missing:
                found.append(f"{path.name}: {link}")
    return sorted(found)


def main() -> None:
    """Prints them, and fails if there are some."""
    root = Path(sys.argv[1])
    found = broken(root)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(root.glob('**/*.html')))} pages, {len(found)} broken links")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
