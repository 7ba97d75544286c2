"""Where the files of a data set are, and what lies beside them."""

__all__ = ["SUFFIXES", "actual", "contents", "find_root", "images_in", "say_left_out", "visible"]

import warnings
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"),
)
"""The endings of pictures that Pillow reads, in lower case. Of several frames the first is read."""

CLUTTER = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "icon\r")
)
"""What systems leave in folders, in lower case, beside names that begin with a dot."""

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z")


def visible(folder: Path) -> list[Path]:
    """Returns what is in a folder, sorted, without what systems leave there: resource forks,
    thumbnails, hidden files.
    """
    children = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in children if path.name.lower() not in CLUTTER)


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the pictures of a folder, sorted, and the other files."""
    files = [path for path in visible(folder) if not path.is_dir()]
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    return pictures, [path for path in files if path.suffix.lower() not in SUFFIXES]


def say_left_out(paths: Iterable[Path], name: str) -> None:
    """Warns once of the files of a data set that are not read."""
    left = list(paths)
    if left:
        warnings.warn(
            f"{name}: {_some('files that are not pictures', [str(p) for p in left])} left out",
            UserWarning,
            stacklevel=3,
        )


def actual(path: Path) -> Path:
    """Returns the file that a list means where its ending on the disk is in other letters, as
    `.JPG` for `.jpg`.
    """
    if path.exists():
        return path
    twins = (path.with_suffix(s) for s in (path.suffix.upper(), path.suffix.lower()))
    return next((twin for twin in twins if twin.exists()), path)


def contents(folder: Path) -> str:
    """Says what is in a folder, for an error."""
    if not folder.is_dir():
        return f"{folder} is a file" if folder.exists() else f"{folder} is missing"
    children = visible(folder)
    folders = [path.name for path in children if path.is_dir()]
    files = [path for path in children if not path.is_dir()]
    kinds = {"folders": folders, "files": [path.name for path in files]}
    there = [_some(kind, names) for kind, names in kinds.items() if names]
    said = f"{folder} has {' and '.join(there) or 'nothing in it'}"
    packed = [path.name for path in files if path.suffix.lower() in ARCHIVES]
    return f"{said}; unpack {packed[0]} first" if packed else said


def _some(kind: str, names: list[str]) -> str:
    more = ", …" if len(names) > 3 else ""
    return f"{len(names)} {kind} ({', '.join(names[:3])}{more})"


def find_root(root: Path, *parts: tuple[str, ...]) -> Path:
    """Finds the folder of a data set at a path, one level below it, or one level above it.

    Arguments:
        root: The path that was given.
        parts: What the folder must have: of each part one of several names, relative to the folder.

    Raises:
        FileNotFoundError: If no such folder, or more than one, has all parts.
    """
    root = Path(root)

    def fits(folder: Path) -> bool:
        return all(any(actual(folder / name).exists() for name in names) for names in parts)

    if fits(root):
        return root
    inner = [path for path in visible(root) if path.is_dir()] if root.is_dir() else []
    found = [path for path in inner if fits(path)] or [
        path for path in (root.resolve().parent,) if root.is_dir() and fits(path)
    ]
    if len(found) == 1:
        return found[0]
    missing = next(
        (names for names in parts if not any(actual(root / name).exists() for name in names)),
        parts[0],
    )
    others = "".join(f", and so is {root / name}" for name in missing[1:])
    if found:
        raise FileNotFoundError(
            f"{root / missing[0]} is missing{others}, and several folders in {root} could be "
            "meant: "
            f"{', '.join(path.name for path in found)}"
        )
    raise FileNotFoundError(
        f"{root / missing[0]} is missing{others}: looked in this folder, in those within it and in "
        f"the one around it; {contents(root)}"
    )
