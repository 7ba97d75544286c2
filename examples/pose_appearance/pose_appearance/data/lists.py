"""Lists and boxes in text files."""

__all__ = ["read_boxes", "read_numbers", "read_rows"]

import re
from pathlib import Path

import numpy as np


def read_rows(path: Path, columns: int, skip: int = 0) -> list[list[str]]:
    """Reads lines of words that white space separates.

    Arguments:
        path: The file.
        columns: How many words a line must have. Empty lines are left out.
        skip: How many lines to leave out at the beginning.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text file: {error}") from error
    rows = [line.split() for line in lines]
    for number, row in enumerate(rows[skip:], skip + 1):
        if row and len(row) != columns:
            raise ValueError(
                f"{path} must have {columns} words a line, got {len(row)} in line {number}: "
                f"{lines[number - 1]!r}"
            )
    return [row for row in rows[skip:] if row]


def read_numbers(path: Path) -> list[list[float]]:
    """Reads lines of numbers that commas or white space separate."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        return [
            [float(word) for word in re.split(r"[,\s]+", line.strip())]
            for line in path.read_text().splitlines()
            if line.strip()
        ]
    except ValueError as error:
        raise ValueError(f"{path} must hold numbers only: {error}") from error


def read_boxes(path: Path) -> np.ndarray:
    """Reads a line for each frame with the left, top, width and height of an object, with shape (N,
    4).
    """
    rows = read_numbers(path)
    for number, row in enumerate(rows, 1):
        if len(row) != 4:
            raise ValueError(f"{path} must have 4 numbers a line, got {len(row)} in line {number}")
    return np.array(rows).reshape(-1, 4)
