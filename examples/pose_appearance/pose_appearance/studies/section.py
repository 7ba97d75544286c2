"""What a section of a report is made of."""

__all__ = ["COUNTS", "MOST_BYTES", "Picture", "Section", "Table", "number", "retrieval_table"]

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MOST_BYTES = 4_000_000
"""Larger films stay out of the page."""

COUNTS = ("top_1", "top_5", "top_10", "chance")
"""What a table of retrieval shows: precisions, and that of a random order."""


class Table(NamedTuple):
    """A table of texts."""

    caption: str
    header: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A picture in a file."""

    caption: str
    path: Path


@dataclass(frozen=True)
class Section:
    """One part of the report."""

    title: str
    text: str
    """What is shown, in one paragraph."""
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    """What goes into comparison.json."""

    def show(self, caption: str, path: Path) -> None:
        """Adds a picture, if it is there and not too large for a page that holds its pictures."""
        if path.exists() and path.stat().st_size <= MOST_BYTES:
            self.pictures.append(Picture(caption, path))


def number(value: float, digits: int = 3) -> str:
    """Writes a number for a table."""
    return f"{value:.{digits}f}"


def retrieval_table(caption: str, found: dict[str, dict[str, Any]]) -> Table:
    """Returns a table with a row for all that is known of poses, for each of several methods.

    Arguments:
        caption: What is searched.
        found: By method, or under an empty name for one alone, the scores of retrieval.
    """
    alone = list(found) == [""]
    rows = [
        [*([] if alone else [method]), kind, *(number(values[count]) for count in COUNTS)]
        for method, scores in found.items()
        for kind, values in scores.items()
        if isinstance(values, dict) and set(COUNTS) <= values.keys()
    ]
    header = ["the same", *(name.replace("_", " ") for name in COUNTS)]
    return Table(caption, header if alone else ["method", *header], rows)
