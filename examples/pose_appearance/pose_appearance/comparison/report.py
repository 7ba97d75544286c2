"""One page that holds everything: tables, and pictures inside the file."""

__all__ = ["write_report"]

import base64
import html
from pathlib import Path

from ..studies.section import Picture, Section, Table

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
p { max-width: 48rem } code { overflow-wrap: anywhere }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: left; white-space: nowrap }
td.text { white-space: normal; min-width: 14rem }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; flex: 0 1 auto; max-width: 100% }
figure.small { flex-basis: 20rem }
img { max-width: 100%; height: auto; background: white; display: block }
figcaption { font-size: .9rem }
"""


def write_report(
    path: Path, title: str, facts: list[tuple[str, str]], sections: list[Section]
) -> None:
    """Writes the page.

    Arguments:
        path: Where to.
        title: What it is called.
        facts: How it was made, as pairs of a name and a text.
        sections: What it shows.
    """
    made = "".join(
        f"<tr><th>{html.escape(name)}</th><td "
        f"class='text'><code>{html.escape(text)}</code></td></tr>"
        for name, text in facts
    )
    body = "\n".join(_section(section) for section in sections)
    path.write_text(
        f"<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{html.escape(title)}</h1>\n"
        f"<div class='wide'><table>{made}</table></div>\n{body}\n</html>\n"
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", f"<p>{html.escape(section.text)}</p>"]
    parts += [_table(table) for table in section.tables]
    if section.pictures:
        small = "small" if len(section.pictures) > 2 else ""
        pictures = "\n".join(_picture(picture, small) for picture in section.pictures)
        parts.append(f"<div class='pictures'>\n{pictures}\n</div>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    def row(tag: str, cells: list[str]) -> str:
        texts = (
            f"<{tag}{' class=text' if len(cell) > 60 else ''}>{html.escape(cell)}</{tag}>"
            for cell in cells
        )
        return f"<tr>{''.join(texts)}</tr>"

    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    rows = "\n".join(row("td", cells) for cells in table.rows)
    return f"<div class='wide'><table>{caption}\n{row('th', table.header)}\n{rows}\n</table></div>"


def _picture(picture: Picture, kind: str) -> str:
    subtype = {".gif": "gif", ".jpg": "jpeg"}.get(picture.path.suffix, "png")
    data = base64.b64encode(picture.path.read_bytes()).decode()
    caption = html.escape(picture.caption)
    image = f"<img alt='{caption}' src='data:image/{subtype};base64,{data}'>"
    return f"<figure class='{kind}'>{image}<figcaption>{caption}</figcaption></figure>"
