r"""Checks of what a user hands in: each error names what was required and what came."""

__all__: list[str] = []

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution

Shape = int | Sequence[int]


def as_shape(features: Shape) -> tuple[int, ...]:
    """Gives the shape of one code as a tuple: `32` becomes `(32,)`."""
    shape = (features,) if isinstance(features, int) else tuple(features)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"features must be a positive int or a sequence of them, got {features!r}")
    return shape


def shown(features: Shape) -> str:
    """Gives features as people write them: `32` for `(32,)`."""
    return _features(as_shape(features))


def alpha_shape(alpha_features: Shape | None, classes: int | None) -> tuple[int, ...]:
    """Gives the shape of one code alpha, `()` for a label."""
    if (alpha_features is None) == (classes is None):
        raise ValueError(
            "give either alpha_features (alpha is a code) or classes (alpha is a label), "
            f"got alpha_features={alpha_features} and classes={classes}"
        )
    return () if alpha_features is None else as_shape(alpha_features)


def check_epsilon(epsilon: float) -> float:
    """Gives `epsilon` back if it is a target: 0 nats or more."""
    if not epsilon >= 0:
        raise ValueError(f"epsilon is a target in nats and must be 0 or above, got {epsilon}")
    return float(epsilon)


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raises if `value` is not among the `choices`."""
    names = sorted(choices)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}")


def check_codes(
    pi: Tensor,
    alpha: Tensor,
    groups: Tensor | None,
    pi_shape: tuple[int, ...] | None = None,
    alpha_shape: tuple[int, ...] | None = None,
) -> None:
    """Raises if the codes are no batch of pairs of the stated shapes. An `alpha_shape` of `()` means labels."""
    for name, x in (("pi", pi), ("alpha", alpha)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if pi.ndim < 2 or not pi.is_floating_point():
        raise ValueError(
            f"pi must be floating-point codes with shape (N, *), got {pi.dtype} with shape {tuple(pi.shape)}"
        )
    if alpha.ndim < 1 or len(alpha) != len(pi):
        raise ValueError(
            f"pi and alpha must have the same batch size, got shapes {tuple(pi.shape)} and {tuple(alpha.shape)}"
        )
    if len(pi) < 2:
        raise ValueError(
            "marginal pairs need a batch of at least 2 samples, got a batch of 1: use drop_last=True in the loader"
        )
    if pi_shape is not None and tuple(pi.shape[1:]) != pi_shape:
        raise ValueError(
            f"pi must have shape (N, {_join(pi_shape)}), got {tuple(pi.shape)}: make the regularizer with "
            f"pi_features={_features(pi.shape[1:])}, or change the encoder"
        )
    if alpha_shape == ():
        if alpha.ndim != 1 or alpha.is_floating_point() or alpha.is_complex():
            raise ValueError(
                f"labels must be integers with shape (N,), got {alpha.dtype} with shape {tuple(alpha.shape)}: take "
                "argmax(1) where they are one-hot, squeeze(1) of a column, long() of floats"
            )
    elif alpha_shape is not None:
        if tuple(alpha.shape[1:]) != alpha_shape:
            fix = f"alpha_features={_features(alpha.shape[1:])}, or change the encoder"
            if alpha.ndim == 1:
                fix = "classes= if alpha is a label"
            raise ValueError(
                f"alpha must have shape (N, {_join(alpha_shape)}), got {tuple(alpha.shape)}: make the regularizer with "
                f"{fix}"
            )
        if not alpha.is_floating_point():
            raise ValueError(
                f"alpha must be floating-point codes, got {alpha.dtype}: give classes= instead of alpha_features= "
                "if alpha is a label"
            )
    if groups is not None and not isinstance(groups, Tensor):
        raise TypeError(f"groups must be a tensor, got {type(groups).__name__}")
    if groups is not None and groups.shape != (len(pi),):
        raise ValueError(
            f"groups must have shape ({len(pi)},), one identity a sample, got {tuple(groups.shape)}"
        )


def check_posterior(pi: Tensor, posterior: Distribution | None) -> Distribution:
    """Gives the posterior back if it is one of `pi`: batch shape (N,), and the event shape of a code."""
    if posterior is None:
        raise ValueError(
            "the variational bound needs the posterior of pi, got None: let the encoder return (mean, log_var) and "
            "pass mireg.diagonal_gaussian(mean, log_var), or take ClassifierMI for an encoder that is deterministic"
        )
    if not isinstance(posterior, Distribution):
        raise TypeError(
            f"the posterior must be a torch Distribution, got {type(posterior).__name__}: "
            "mireg.diagonal_gaussian(mean, log_var) makes one"
        )
    if posterior.batch_shape != pi.shape[:1] or posterior.event_shape != pi.shape[1:]:
        raise ValueError(
            f"the posterior must have batch shape ({len(pi)},) and event shape ({_join(tuple(pi.shape[1:]))}), like "
            f"pi, got batch shape {tuple(posterior.batch_shape)} and event shape {tuple(posterior.event_shape)}: "
            "torch.distributions.Independent turns batch dimensions into event dimensions"
        )
    return posterior


def check_finite(**tensors: Tensor) -> None:
    """Raises if a tensor has a NaN or an infinity. Waits for the device."""
    for name, x in tensors.items():
        bad = int((~torch.isfinite(x)).sum())
        if bad:
            raise ValueError(
                f"{name} must be finite, got {bad} NaN or infinite of {x.numel()} values"
            )


def check_labels(labels: Tensor, classes: int) -> None:
    """Raises if a label is not from 0 to `classes - 1`. Waits for the device."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, got {low} to {high}")


def _features(shape: tuple[int, ...]) -> str:
    return str(shape[0] if len(shape) == 1 else tuple(shape))


def _join(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
