"""The inputs of an audit, checked and in one form, and their folds."""

__all__ = ["AuditInputs", "Folds", "make_folds", "read_inputs"]

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .kinds import PER_LABEL, Array, Kind, as_values, missing_values, read_variable

MINIMUM = 200
"""The fewest samples that an audit accepts: fewer certify nothing."""

FEW_SAMPLES = 500
"""With fewer samples an audit can show that codes leak, but not that they do not."""

MAXIMUM = 1_000_000
"""The most samples that an audit accepts."""

MOST_COUNTED = 10_000
"""The most samples whose different values are counted."""

INDEPENDENT_MINIMUM = 20
"""The fewest groups that an audit accepts: all samples of a group count as one."""

FEW_GROUPS = 200
"""With fewer groups the report warns: critics must generalise to other groups."""


class AuditInputs(NamedTuple):
    """Codes in one form, with warnings about them."""

    pi: Tensor
    """The codes π with shape (N, D), in float32, or in float64 if float32 would lose values."""
    alpha: Tensor
    """Codes α in the same form, with shape (N, E); or labels from 0 to C - 1, with shape (N,)."""
    groups: Tensor
    """The group of each sample from 0 to G - 1, with shape (N,); by default one per sample."""
    classes: int
    """The number of classes C; 0 if α is a code."""
    warnings: tuple[str, ...]
    """Warnings for the report."""
    words: str = ""
    """How α was read."""
    known: Tensor | None = None
    """Which of the given samples were kept, with shape (M,), if some were left out."""

    @property
    def inconclusive(self) -> str:
        """Why a small estimate would show nothing: too few samples. Empty if there are enough."""
        few = ""
        if len(self.pi) < FEW_SAMPLES:
            few = f"fewer than {FEW_SAMPLES} samples"
        elif self.classes > len(self.pi) // PER_LABEL:
            few = f"fewer than {PER_LABEL} samples per label"
        never = " can show that codes leak, but not that they do not: the verdict is never below"
        return few and few + never

    @property
    def weights(self) -> int:
        """The number of weights of a linear critic: D (C - 1) for labels and D E for codes."""
        others = self.classes - 1 if self.classes else self.alpha.shape[1]
        return self.pi.shape[1] * others


def read_inputs(
    pi: Any,
    alpha: Any,
    groups: Any = None,
    kind: Kind | None = None,
    classes: int | None = None,
    unknown: Any = (),
) -> AuditInputs:
    r"""Returns the checked arguments of an audit in one form.

    Arguments:
        pi: Codes, an array or a tensor with shape (N, \*).
        alpha: Codes in the same form, or labels with shape (N,).
        groups: A label for each sample, with shape (N,), or `None`.
        kind: What alpha is. By default, its values decide: see :func:`read_variable`.
        classes: The number of labels.
        unknown: The values of alpha that mean unknown. Their samples are left out.

    Raises:
        TypeError: If an argument is not an array of numbers or names.
        ValueError: If shapes or values do not fit together, or if there are too few or too many
            samples.
    """
    warnings: list[str] = []
    x, y = _as_numbers("pi", pi), as_values("alpha", alpha)
    g = None if groups is None else as_values("groups", groups)
    n = len(x)
    if len(y) != n or (g is not None and len(g) != n):
        names, of_groups = "pi and alpha", ""
        if g is not None:
            names, of_groups = "pi, alpha and groups", f" and {len(g)} groups"
        raise ValueError(
            f"{names} must have one row for each sample, got {n} and {len(y)}{of_groups}"
        )
    variable = read_variable("alpha", alpha, kind, classes, unknown)
    if x.ndim == 1 and len(np.unique(x)) <= n // PER_LABEL and not variable.classes:
        columns = variable.values.shape[1]
        if columns > 1:
            raise ValueError(
                f"pi must be codes, got a column of labels, and alpha has {columns} columns of "
                "numbers: exchange them, audit(alpha, pi)"
            )
    known = None
    if not variable.known.all():
        known = torch.from_numpy(variable.known)
        x, g = x[variable.known], None if g is None else g[variable.known]
        n = len(x)
    if not MINIMUM <= n <= MAXIMUM:
        fix = "encode more samples" if n < MINIMUM else "audit a part of them"
        raise ValueError(f"an audit needs {MINIMUM} to {MAXIMUM:,} samples, got {n}: {fix}")

    x = _as_code("pi", x, warnings)
    warnings += variable.warnings
    y = variable.values if variable.classes else _as_code("alpha", variable.values, warnings)
    # Ages and counts repeat without any common source.
    whole = variable.classes or bool((variable.values == np.round(variable.values)).all())
    group = _as_groups(g, {"pi": x} if whole else {"pi": x, "alpha": y}, warnings)
    return AuditInputs(
        torch.from_numpy(x),
        torch.from_numpy(y.astype(np.int64) if variable.classes else y),
        torch.from_numpy(group),
        variable.classes,
        tuple(warnings),
        variable.words,
        known,
    )


def _as_numbers(name: str, x: Any) -> Array:
    array = as_values(name, x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got {array.dtype}")
    return array


def _as_groups(groups: Array | None, codes: dict[str, Array], warnings: list[str]) -> Array:
    """Returns groups from 0 to G - 1; the index of each sample if none were given."""
    if groups is None:
        n = len(codes["pi"])
        group = np.arange(n)
        for name, code in codes.items():
            repeated = n - len(np.unique(code, axis=0))
            if repeated > 0.01 * n:
                warnings.append(
                    f"{repeated} of {n} rows of {name} repeat others. If they come from the same "
                    "sources, pass groups: otherwise critics are evaluated on copies of their "
                    "training samples, and the estimate is too high"
                )
    else:
        if missing := int(missing_values(groups).sum()):
            raise ValueError(
                f"groups must be known for each sample, got NaN for {missing} of {len(groups)}: "
                "give each of these samples a group of its own, or leave them out"
            )
        if groups.dtype.kind == "O":
            groups = groups.astype(str)
        group = np.unique(groups, return_inverse=True)[1].reshape(-1)
        if len(group) != len(groups):
            raise ValueError(f"groups must have shape (N,), got {groups.shape}")
    count = int(group.max()) + 1
    if count < INDEPENDENT_MINIMUM:
        raise ValueError(
            f"an audit needs at least {INDEPENDENT_MINIMUM} groups, since no group is split "
            f"between training and evaluation, got {count}"
        )
    if groups is not None and count < FEW_GROUPS:
        warnings.append(
            f"only {count} groups: critics learn from too few different alpha, so a small "
            "estimate shows little"
        )
    return group


def _as_code(name: str, x: Array, warnings: list[str]) -> Array:
    x = x.reshape(len(x), -1)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        fix = "; declare unknown values: unknown=float('nan')" if name == "alpha" else ""
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {int(bad.sum())} of {len(x)} rows, "
            f"the first at index {int(bad.argmax())}{fix}"
        )
    constant = (x == x[:1]).all(axis=0)
    if constant.all():
        raise ValueError(f"{name} must vary, got the same row {len(x)} times")
    if constant.any():
        warnings.append(f"{int(constant.sum())} of {x.shape[1]} columns of {name} are constant")
        x = x[:, ~constant]
    # In double precision first, since float32 would lose small variation on a large offset, and
    # very small and very large numbers.
    exact = np.ascontiguousarray(x.astype(np.float64) - np.median(x, axis=0))
    exact /= np.abs(exact).max(axis=0)
    single = exact.astype(np.float32)
    return exact if x.dtype == np.float64 and _merges(exact, single) else single


def _merges(exact: Array, rounded: Array) -> bool:
    """Returns whether rounding makes more than a hundredth of the values of a column equal."""
    rows = np.linspace(0, len(exact) - 1, min(len(exact), MOST_COUNTED)).round().astype(int)
    for column, single in zip(exact[rows].T, rounded[rows].T, strict=True):
        if len(np.unique(single)) < 0.99 * len(np.unique(column)):
            return True
    return False


class Folds(NamedTuple):
    """The training, stopping and test samples of each fold, as indices."""

    train: list[Tensor]
    """The samples that critics are trained on."""
    stop: list[Tensor]
    """The samples that decide when training stops."""
    test: list[Tensor]
    """The samples that critics are evaluated on. Every sample is in exactly one of these."""


def make_folds(groups: Tensor, count: int, generator: torch.Generator, stop: float = 0.1) -> Folds:
    """Returns random folds of groups. Samples of one group are on one side, and stay neighbours.

    Arguments:
        groups: The group of each sample, from 0 to G - 1, with shape (N,).
        count: The number of folds.
        generator: The source of the split.
        stop: The share of the training groups that decides when training stops.
    """
    n_groups = int(groups.max()) + 1
    place = torch.empty(n_groups, dtype=torch.int64)
    place[torch.randperm(n_groups, generator=generator)] = torch.arange(n_groups)
    shuffled = torch.randperm(len(groups), generator=generator)
    shuffled = shuffled[place[groups[shuffled]].argsort(stable=True)]
    place = place[groups[shuffled]]
    folds = Folds([], [], [])
    for k in range(count):
        low, high = n_groups * k // count, n_groups * (k + 1) // count
        test = (place >= low) & (place < high)
        rest = torch.where(place >= high, place - (high - low), place)
        stopping = ~test & (rest < max(2, round(stop * (n_groups - (high - low)))))
        for name, mask in (("train", ~test & ~stopping), ("stop", stopping), ("test", test)):
            getattr(folds, name).append(shuffled[mask])
    return folds
