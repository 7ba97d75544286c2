"""What a section of the report is made of. A module of a section has one function: finished runs in, a :class:`Section` out."""

__all__ = ["Picture", "Section", "Table", "number"]

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


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


def number(value: float, digits: int = 3) -> str:
    """Writes a number for a table."""
    return f"{value:.{digits}f}"
