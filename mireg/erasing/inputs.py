r"""The inputs of an eraser, checked and in one form: embeddings, the concept s and the target y."""

__all__ = ["Known", "labels_of", "read_embeddings", "read_known"]

from typing import Any, NamedTuple

import numpy as np
import torch

from ..auditing.kinds import Array, Kind, as_values, read_variable

BINS = 16
"""The number of bins, if s is a number."""


class Known(NamedTuple):
    """The concept or the target of each row, in one form."""

    values: Array
    """Labels from 0 to C - 1 with shape (M,), or standardised numbers with shape (M, E)."""
    rows: Array
    """Which of all rows are known, with shape (N,)."""
    labels: int
    """The number of labels C; 0 for numbers."""
    words: str
    """How it was read."""


def read_embeddings(x: Any, features: int | None = None) -> Array:
    """Returns embeddings as an array of floats, with shape (N, D).

    Arguments:
        x: An array, a tensor or a table of numbers, with shape (N, D).
        features: The required number of features D, if known.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the shape is wrong, or a value is not finite.
    """
    if hasattr(x, "toarray"):
        raise TypeError(
            "X must be a dense array, got a sparse one: sparse data is not supported, call "
            "toarray() first"
        )
    array = np.asarray(x) if isinstance(x, list | tuple) else _as_matrix(x)
    if array.dtype.kind == "c":
        raise ValueError("X must be real, got complex numbers. Complex data not supported")
    if array.dtype.kind == "O":
        array = _of_objects(array)
    if array.dtype.kind not in "biuf":
        raise (ValueError if array.dtype.kind in "US" else TypeError)(
            f"X must be an array of numbers, got {array.dtype}"
        )
    if array.ndim != 2:
        raise ValueError(
            f"X must have shape (N, D), got {array.shape}. Reshape your data: X.reshape(-1, 1) "
            "for one feature, X.reshape(1, -1) for one row"
        )
    if not len(array):
        raise ValueError(
            f"X must have rows, got 0 sample(s) (shape={array.shape}) while a minimum of 1 is "
            "required."
        )
    if not array.shape[1]:
        raise ValueError(
            f"X must have features, got 0 feature(s) (shape={array.shape}) while a minimum of 1 "
            "is required."
        )
    if features is not None and array.shape[1] != features:
        raise ValueError(
            f"X has {array.shape[1]} features, but Eraser is expecting {features} features as "
            "input: pass embeddings of the model it was fitted on"
        )
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(
            f"X must be finite, got {int(bad.sum())} rows with NaN or infinity, the first at "
            f"index {int(bad.argmax())}: leave these rows out or impute the values"
        )
    return array


def _as_matrix(x: Any) -> Array:
    """Returns an array, a tensor or a table as an array. A single column stays a column."""
    array = as_values("X", x)
    return array[:, None] if getattr(x, "ndim", 0) == 2 and array.ndim == 1 else array


def _of_objects(array: Array) -> Array:
    try:
        return array.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"X must be an array of numbers, got {error}") from error


def read_known(
    name: str, values: Any, n: int, kind: Kind | None = None, unknown: Any = ()
) -> Known:
    r"""Returns the concept or the target in one form.

    Arguments:
        name: Its name, for messages.
        values: Labels with shape (N,), or numbers with shape (N,) or (N, \*).
        n: The number N of rows.
        kind: What the values are. By default, the values decide.
        unknown: The values that mean unknown.

    Raises:
        TypeError: If the values are neither numbers nor names.
        ValueError: If the values are constant, or not one for each row of X.
    """
    array = as_values(name, values)
    if len(array) != n:
        raise ValueError(f"{name} must have one row for each row of X, got {len(array)} and {n}")
    variable = read_variable(name, values, kind, None, unknown)
    if variable.classes:
        return Known(
            variable.values.astype(np.int64), variable.known, variable.classes, variable.words
        )
    numbers = variable.values.astype(np.float64)
    bad = ~np.isfinite(numbers).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, got {int(bad.sum())} rows with NaN or infinity: declare "
            "unknown values, unknown=float('nan')"
        )
    spread = numbers.std(axis=0)
    if not (spread > 0).any():
        raise ValueError(f"{name} must vary, got the same value {len(numbers)} times")
    numbers = (numbers - numbers.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    return Known(numbers.astype(np.float32), variable.known, 0, variable.words)


def labels_of(s: Known, rows: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, int]:
    """Returns the labels of some rows and the number of labels. Numbers are put into bins."""
    values = torch.from_numpy(s.values)[rows]
    if s.labels:
        return values, s.labels
    if values.shape[1] == 1:
        column = values[:, 0].contiguous()
        edges = column.quantile(torch.linspace(0, 1, BINS + 1)[1:-1])
        # A value above all others, if it is frequent, is all of the last quantiles.
        below = column[column < column.max()].max()
        found = torch.bucketize(column, torch.where(edges < column.max(), edges, below).unique())
    else:
        # Not by frequency: all rows but a few may be equal.
        others = values.unique(dim=0)
        chosen = others[torch.randperm(len(others), generator=generator)[:BINS]]
        found = torch.cdist(values, chosen).argmin(1)
    return found.unique(return_inverse=True)[1], len(found.unique())
