"""What is audited: codes that were checked and brought into one form, and the folds that they are split into."""

__all__ = ["AuditInputs", "Folds", "make_folds", "read_inputs"]

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MINIMUM = 200
"""The fewest samples that an audit takes: fewer certify nothing."""

MAXIMUM = 1_000_000
"""The most samples that an audit takes."""

INDEPENDENT_MINIMUM = 20
"""The fewest groups that an audit takes: samples of one group count as one where independence matters."""

FEW_GROUPS = 200
"""With fewer groups the report warns: what critics learn of one group has to carry over to others."""


class AuditInputs(NamedTuple):
    """Codes in one form, and what was odd about them."""

    pi: Tensor
    """The codes π, float32, with shape (N, D)."""
    alpha: Tensor
    """The codes α, float32, with shape (N, E); or labels from 0 to C - 1, int64, with shape (N,)."""
    groups: Tensor
    """The group of each sample from 0 to G - 1, with shape (N,): its own index where none were given."""
    classes: int
    """The number of classes C, 0 where α is a code."""
    warnings: tuple[str, ...]
    """What the report has to mention."""


def read_inputs(pi: Any, alpha: Any, groups: Any = None) -> AuditInputs:
    """Checks what a user gave, and brings it into one form.

    Arguments:
        pi: Codes, an array or a tensor with shape (N, *).
        alpha: Codes likewise, or integer labels with shape (N,).
        groups: A label for each sample, with shape (N,), or `None`.

    Raises:
        TypeError: If something is no array of numbers.
        ValueError: If shapes, sizes or values are not such that an audit means something.
    """
    warnings: list[str] = []
    x, y = _as_array("pi", pi), _as_array("alpha", alpha)
    n = len(x)
    if len(y) != n or (groups is not None and len(groups) != n):
        of_groups = "" if groups is None else f" and {len(groups)} groups"
        raise ValueError(
            f"pi, alpha and groups must have one row for each sample, got {n} and {len(y)}{of_groups}"
        )
    if not MINIMUM <= n <= MAXIMUM:
        raise ValueError(f"an audit needs {MINIMUM} to {MAXIMUM:,} samples, got {n}")

    x = _as_code("pi", x, warnings)
    classes = 0
    if y.ndim == 1 and y.dtype.kind in "biu":
        names, labels, count = np.unique(y, return_inverse=True, return_counts=True)
        classes = len(names)
        if classes < 2:
            raise ValueError(f"labels need at least 2 classes, got only {names[0]}")
        if count.min() < 20:
            warnings.append(
                f"{(count < 20).sum()} of {classes} classes have fewer than 20 samples: little can be learnt of them"
            )
        alpha_tensor = torch.from_numpy(labels.astype(np.int64))
    else:
        alpha_tensor = torch.from_numpy(_as_code("alpha", y, warnings))

    if groups is None:
        group = np.arange(n)
        codes = {"pi": x} if classes else {"pi": x, "alpha": alpha_tensor.numpy()}
        for name, code in codes.items():
            repeated = n - len(np.unique(code, axis=0))
            if repeated > 0.01 * n:
                warnings.append(
                    f"{repeated} of {n} rows of {name} repeat others: if they come from the same sources, give groups, "
                    "or copies on both sides of a split pass for evidence"
                )
    else:
        group = np.unique(_as_array("groups", groups), return_inverse=True)[1].reshape(-1)
    count_groups = int(group.max()) + 1
    if count_groups < INDEPENDENT_MINIMUM:
        raise ValueError(
            f"an audit needs at least {INDEPENDENT_MINIMUM} groups, since no group is split between training and "
            f"evaluation, got {count_groups}"
        )
    if count_groups < FEW_GROUPS:
        warnings.append(
            f"only {count_groups} groups: critics see too few different alpha to learn much, and finding little shows little"
        )
    return AuditInputs(
        torch.from_numpy(x), alpha_tensor, torch.from_numpy(group), classes, tuple(warnings)
    )


def _as_array(name: str, x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        # numpy has no bfloat16.
        x = (x.float() if x.dtype == torch.bfloat16 else x).detach().cpu()
    array = np.asarray(x)
    if name != "groups" and array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have one row for each sample, got a single number")
    return array


def _as_code(name: str, x: np.ndarray, warnings: list[str]) -> np.ndarray:
    x = x.reshape(len(x), -1)
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, got {int(bad.sum())} rows with NaN or infinity, "
            f"the first at index {int(bad.argmax())}"
        )
    constant = (x == x[:1]).all(axis=0)
    if constant.all():
        raise ValueError(f"{name} must vary, got the same row {len(x)} times")
    if constant.any():
        warnings.append(f"{int(constant.sum())} of {x.shape[1]} columns of {name} are constant")
        x = x[:, ~constant]
    # In double precision first: a large offset would swallow what varies.
    x = x.astype(np.float64)
    return np.ascontiguousarray(x - np.median(x, axis=0)).astype(np.float32)


class Folds(NamedTuple):
    """Which samples train, stop and evaluate the critics of each fold, as indices."""

    train: list[Tensor]
    """Those that critics learn from."""
    stop: list[Tensor]
    """Those that tell when a critic has learnt enough."""
    test: list[Tensor]
    """Those that judge: every sample is in one of these."""


def make_folds(groups: Tensor, count: int, generator: torch.Generator, stop: float = 0.1) -> Folds:
    """Splits the groups at random, so that no group is on two sides of a fold; samples of one group stay neighbours.

    Arguments:
        groups: The group of each sample, from 0 to G - 1, with shape (N,).
        count: The number of folds.
        generator: Where the split comes from.
        stop: The share of the training groups that tells when to stop.
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
