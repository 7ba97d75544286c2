"""Lends a clean environment the packages that mireg declares, so that torch need not be installed again: `python lend.py VENV`."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import tomllib


def closure(names: list[str]) -> set[str]:
    """Gives the names of packages and of all that they need here."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another system
        found.add(name)
        names += [name_of(need) for need in needs if "extra ==" not in need]
    return found


def name_of(requirement: str) -> str:
    """Gives the name that a requirement begins with."""
    return re.match(r"[\w.-]+", requirement)[0]


def main(target: Path) -> None:
    """Links the packages into a folder, and makes the environment look there."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    lent = target / "lent"
    lent.mkdir()
    for name in closure([name_of(need) for need in project["dependencies"]]):
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (lent / top).exists():
                (lent / top).symlink_to(Path(distribution(name).locate_file(top)).resolve())
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = target / "bin" / "python"
    site = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    (Path(site.stdout.strip()) / "lent.pth").write_text(f"{lent}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
