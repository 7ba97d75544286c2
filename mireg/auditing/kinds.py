r"""Whether a variable consists of labels or of numbers, and a description of how it was read."""

__all__ = ["PER_LABEL", "Kind", "Variable", "as_values", "missing_values", "read_variable"]

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributions import Distribution

Array = npt.NDArray[Any]
Kind = Literal["label", "number"]

PER_LABEL = 20
"""The average samples per value from which whole numbers are labels, and not ordered numbers."""

UNKNOWN_NAMES = {"", "?", "-", "na", "n/a", "nan", "none", "null", "missing", "unknown"}
"""Names, in lower case, that probably mean unknown."""

MANY = 20
"""From more labels that are whole numbers, a report warns that they may be a quantity."""


class Variable(NamedTuple):
    """A variable in one form, with a description of how it was read."""

    values: Array
    """Numbers with shape (N, D) or labels from 0 to C - 1 with shape (N,), if known."""
    known: Array
    """Which samples are known, with shape (N,)."""
    classes: int
    """The number of labels C; 0 for numbers."""
    words: str
    """How the variable was read."""
    warnings: tuple[str, ...]
    """Warnings for the report."""


def as_values(name: str, x: Any) -> Array:
    """Returns a tensor, an array, a list or an object with a method `to_numpy` as an array."""
    if isinstance(x, Mapping):
        raise TypeError(f"{name} must be an array, got {type(x).__name__}: pass one of its values")
    if isinstance(x, Distribution):
        raise TypeError(f"{name} must be an array, got a distribution: pass its sample()")
    if isinstance(x, Tensor):
        # numpy has no bfloat16.
        x = (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu().numpy()
    elif hasattr(x, "to_numpy"):
        x = x.to_numpy()
    mixed = isinstance(x, list | tuple) and any(isinstance(v, str) or v is None for v in x)
    # NumPy would convert all values to strings.
    array = np.asarray(x, dtype=object if mixed else None)
    if array.ndim == 0:
        hint = ": pass a target as epsilon=" if name == "groups" else ""
        raise ValueError(f"{name} must have one row for each sample, got a single number{hint}")
    # One column is a vector.
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def read_variable(
    name: str,
    x: Any,
    kind: Kind | None = None,
    classes: int | None = None,
    unknown: Any = (),
) -> Variable:
    r"""Returns a variable as labels or as numbers.

    Strings, bools and categories are labels. Whole numbers are labels if there are at least 20
    samples per value on average, and ordered numbers otherwise. One-hot rows are labels. Rows of
    several bools are one label per combination, if there are 20 samples per combination on average.
    Everything else is numbers.

    Arguments:
        name: The name of the variable, for messages.
        x: The variable, with shape (N,) or (N, \*).
        kind: What the variable is, if its values are not to decide.
        classes: The number of labels, from 0 to `classes - 1`.
        unknown: The value, or the values, that mean unknown. `None` and NaN mean any missing value.

    Raises:
        TypeError: If the values are neither numbers nor names.
        ValueError: If values are missing, or do not match `kind` or `classes`, or if -1 may be a
            class or mean unknown.
    """
    if kind not in (None, "label", "number"):
        raise ValueError(f"kind must be 'label' or 'number', got {kind!r}")
    if classes is not None and (kind == "number" or classes < 2):
        raise ValueError(
            "classes, the number of labels, must be 2 or more, without kind='number', got "
            f"{classes} with kind={kind!r}"
        )
    category = _is_category(x)
    array = as_values(name, x)
    if array.dtype.kind in "ST":
        array = array.astype(str)
    known = ~_is_unknown(array, unknown)
    array = _of_one_type(name, array[known])
    if not len(array):
        raise ValueError(
            f"{name} must be known for some samples, got none with unknown={unknown!r}"
        )
    left_out = int((~known).sum())

    labels, words = _as_labels(name, array, kind, classes, category)
    warnings = [
        f"unknown={value!r} is not among the values of {name}"
        for value in _declared(unknown)
        if (isinstance(value, str) or array.dtype.kind == "U") and not left_out
        if not _is_missing(value)
    ]
    if labels is None:
        values: Array = array.reshape(len(array), -1)
        count = 0
    else:
        names, values, counts = np.unique(labels, return_inverse=True, return_counts=True)
        count = len(names)
        if count < 2:
            raise ValueError(f"labels need at least 2 classes, got only {names[0]} in {name}")
        if count > 2 and names.dtype.kind == "i" and names[0] == -1 and names[1] >= 0:
            raise ValueError(
                f"{name} has -1 among its labels ({counts[0]:,} of {len(labels):,} samples): pass "
                f"unknown=-1 if it means unknown, or {name} + 1 if it is a class"
            )
        if counts.min() < PER_LABEL:
            warnings.append(
                f"{(counts < PER_LABEL).sum()} of {count} classes have fewer than {PER_LABEL} "
                "samples: critics can learn little about them"
            )
        for label in names if names.dtype.kind == "U" else ():
            if label.strip().lower() in UNKNOWN_NAMES:
                warnings.append(
                    f"{str(label)!r} was read as one of the labels of {name}: declare it with "
                    f"unknown={str(label)!r} (--unknown) if it means unknown"
                )
        asked = category or kind is not None or classes is not None
        if count > MANY and array.ndim == 1 and array.dtype.kind in "iuf" and not asked:
            warnings.append(
                f"{count} whole numbers of {name} were read as labels without an order: if they "
                "are an age or another quantity, pass kind='number' (--kind number)"
            )
        words = f"label, {count} classes ({words}{_shown(names)})"
    if left_out:
        words += f"; {left_out:,} samples with unknown {name} left out"
    return Variable(values, known, count, words, tuple(warnings))


def _as_labels(
    name: str, array: Array, kind: Kind | None, classes: int | None, category: bool
) -> tuple[Array | None, str]:
    """Returns a label for each sample, or `None` for numbers, and the reason."""
    forced = kind == "label" or classes is not None
    if array.dtype.kind == "U":
        if array.ndim > 1:
            raise TypeError(
                f"{name} must be one column of names, or numbers, got {array.shape[1]} columns of "
                "names: audit one column at a time"
            )
        if kind == "number":
            raise TypeError(f"{name} must be numbers with kind='number', got names ({array[0]!r})")
        return array, "categories" if category else "names"
    if kind == "number":
        return None, f"{_size(array)}, as asked for"
    if (forced or category) and bool(missing_values(array).any()):
        raise ValueError(f"{name} has NaN among its labels: declare it with unknown=float('nan')")
    if array.ndim > 1:
        return _of_rows(name, array.reshape(len(array), -1), forced)
    if classes is not None:
        if not _whole(array) or array.min() < 0 or array.max() >= classes:
            raise ValueError(
                f"{name} must be integers from 0 to {classes - 1} with classes={classes}, "
                f"got {array.min():g} to {array.max():g}"
            )
        return array.astype(np.int64), "as asked for"
    if array.dtype.kind == "b":
        return array, "bools"
    if category:
        return array, "categories"
    if kind == "label":
        return array, "as asked for"
    if not _whole(array):
        return None, _size(array)
    count, most = len(np.unique(array)), len(array) // PER_LABEL
    if count <= most:
        return array.astype(np.int64), "integers"
    return None, (
        f"ordered numbers: {count:,} different integers in {len(array):,} samples are too many "
        "for labels; pass kind='label' or classes= if they are labels"
    )


def _of_rows(name: str, rows: Array, forced: bool) -> tuple[Array | None, str]:
    """Returns one-hot rows or a few bools as labels, or `None` for numbers, and the reason."""
    if rows.dtype.kind == "b" or bool(((rows == 0) | (rows == 1)).all()):
        if bool((rows.sum(1) == 1).all()):
            return rows.argmax(1), "one-hot rows"
        combined = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
        if forced or combined.max() + 1 <= len(rows) // PER_LABEL:
            return combined, f"each combination of {rows.shape[1]} bools"
        return None, f"{_size(rows)}: several bools with too many combinations for labels"
    if forced:
        raise ValueError(
            f"{name} must be a vector of labels with shape (N,), or one-hot rows, got "
            f"{rows.shape[1]} columns of numbers"
        )
    return None, _size(rows)


def _of_one_type(name: str, array: Array) -> Array:
    """Returns an array of objects as an array of numbers, bools or strings."""
    if array.dtype.kind == "O":
        kinds = {type(v) for v in array.reshape(-1)}
        if all(issubclass(k, str) for k in kinds):
            return array.astype(str)
        if not all(issubclass(k, bool | int | float | np.number | np.bool_) for k in kinds):
            names = ", ".join(sorted(k.__name__ for k in kinds)[:4])
            raise TypeError(
                f"{name} must be an array of numbers, or of names (one column), got {names}: "
                "declare missing values with unknown="
            )
        array = np.array(array.tolist())
    if array.dtype.kind not in "biufU":
        raise TypeError(
            f"{name} must be an array of numbers, or of names (one column), got {array.dtype}"
        )
    return array


def _is_unknown(array: Array, unknown: Any) -> Array:
    """Returns which samples have any value that was declared unknown."""
    found = np.zeros(array.shape, dtype=bool)
    for value in _declared(unknown):
        if _is_missing(value):
            found |= missing_values(array)
        elif array.dtype.kind == "O":
            found |= np.frompyfunc(
                lambda v, value=value: not _is_missing(v) and bool(v == value), 1, 1
            )(array).astype(bool)
        else:
            found |= np.asarray(array == value, dtype=bool)
    return np.asarray(found.reshape(len(array), -1).any(axis=1))


def _declared(unknown: Any) -> list[Any]:
    """Returns the values that mean unknown, which may be given as one value."""
    many = isinstance(unknown, Collection) and not isinstance(unknown, str | bytes)
    return list(unknown) if many else [unknown]


def missing_values(array: Array) -> Array:
    """Returns which values are None, NaN, or NA or NaT of pandas."""
    if array.dtype.kind == "O":
        return np.asarray(np.frompyfunc(_is_missing, 1, 1)(array), dtype=bool)
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array), dtype=bool)
    return np.zeros(array.shape, dtype=bool)


def _is_missing(value: Any) -> bool:
    """Returns whether a value is None, NaN, or NA or NaT of pandas, which cannot be compared."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _is_category(x: Any) -> bool:
    return hasattr(getattr(x, "dtype", None), "categories")


def _whole(array: Array) -> bool:
    return array.dtype.kind in "iu" or (
        array.dtype.kind == "f"
        and bool(np.isfinite(array).all())
        and bool((array == np.round(array)).all())
    )


def _size(array: Array) -> str:
    columns = array.reshape(len(array), -1).shape[1]
    return "a number" if columns == 1 else f"{columns} numbers"


def _shown(names: Array) -> str:
    """Returns the first names, for a description."""
    return (
        ": " + ", ".join(str(n) or "(empty)" for n in names[:4]) + (", …" if len(names) > 4 else "")
    )
