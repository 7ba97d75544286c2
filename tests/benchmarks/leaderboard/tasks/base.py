"""What all tasks share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


class Missing(Exception):
    """Raised by a task whose files are not on this machine. Says how to install them."""


class Rows(NamedTuple):
    """Inputs x with shape (N, D), the attribute s, a label, and y: a label, or numbers with shape
    (N, E).
    """

    x: Tensor
    s: Tensor
    y: Tensor

    def at(self, rows: Tensor | slice) -> Rows:
        """Returns some of the rows."""
        return Rows(*(column[rows] for column in self))

    def to(self, device: str) -> Rows:
        """Returns the rows on a device."""
        return Rows(*(column.to(device) for column in self))


class Task(NamedTuple):
    """Three splits, and what the methods have to know of them."""

    name: str
    train: Rows
    validation: Rows
    test: Rows
    classes: int
    """Labels of the attribute."""
    targets: int
    """Labels of y, or 0 if y is numbers: codes then rebuild x with s at hand, and y is for the
    judge alone.
    """
    features: int = 16
    """Features of a code."""
    price: float = 1.0
    """The order of magnitude of a nat in units of the task loss: the weights of all rivals are
    multiplied by it.
    """


def split(rows: Rows, held_out: int, validation: int, seed: int = 0) -> tuple[Rows, Rows, Rows]:
    """Splits at random; the last `held_out` rows are the test as they are."""
    n = len(rows.x) - held_out
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    parts = order[validation:], order[:validation], slice(n, None)
    train, chosen_on, test = (rows.at(part) for part in parts)
    return train, chosen_on, test


def installed(module: str, file: str, line: str) -> Path:
    """Returns the path of a file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise Missing(line)
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.exists():
        raise Missing(f"{path} is not there: {line}")
    return path
