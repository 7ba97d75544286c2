r"""Checks of what a user hands in: each error names what was required and what came."""

__all__: list[str] = []

import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

Shape = SupportsIndex | Sequence[SupportsIndex]
"""The number of features of a code, or its shape. numpy's integers are numbers too."""


def as_shape(features: Shape) -> tuple[int, ...]:
    """Returns the shape of one code as a tuple: `32` becomes `(32,)`."""
    try:
        numbers = (features,) if hasattr(features, "__index__") else tuple(features)
        shape = tuple(operator.index(n) for n in numbers)
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(f"features must be a positive int or a sequence of them, got {features!r}")
    return shape


def shown(features: Shape) -> str:
    """Returns features as people write them: `32` for `(32,)`."""
    return _features(as_shape(features))


def alpha_shape(alpha_features: Shape | None, classes: int | None) -> tuple[int, ...]:
    """Returns the shape of one code alpha, `()` for a label."""
    if (alpha_features is None) == (classes is None):
        raise ValueError(
            "give either alpha_features (alpha is a code) or classes (alpha is a label), "
            f"got alpha_features={alpha_features} and classes={classes}"
        )
    if classes is not None:
        check_positive("classes", classes)
    return () if alpha_features is None else as_shape(alpha_features)


def check_given_classes(features: Shape | None, classes: int | None) -> int | None:
    """Returns the number of classes that y has, `None` if it is a code of at least one feature."""
    if (features is None) == (classes is None):
        raise ValueError(
            "give either given_features (y is a code) or given_classes (y is a label), "
            f"got given_features={features} and given_classes={classes}"
        )
    if classes is not None:
        return check_positive("given_classes", classes, least=2)
    if len(as_shape(cast(Shape, features))) > 1:
        raise ValueError(
            f"given_features must be the number of features of a vector, got {features}: flatten y, or pool it"
        )
    return None


def check_given(
    given: Tensor | None, n: int, shape: tuple[int, ...] | None, classes: int | None
) -> Tensor | None:
    """Returns y as labels (N,) of int64 or codes (N, D), or raises. A `shape` of `None` means that the regularizer is not conditional."""
    if shape is None:
        if given is not None:
            raise ValueError(
                "given= needs a conditional regularizer, got one made without: make it with given_classes= if y is a label, or "
                "with given_features= if y is a code"
            )
        return None
    if not isinstance(given, Tensor):
        raise TypeError(
            "the regularizer is conditional (given_classes= or given_features=): pass the condition y as a tensor, given=y, got "
            f"{type(given).__name__}"
        )
    if classes is not None:
        if given.shape != (n,) or given.is_floating_point() or given.is_complex():
            raise ValueError(
                f"given must be integer labels with shape ({n},), got {given.dtype} with shape {tuple(given.shape)}: make the "
                "regularizer with given_features= if y is a code"
            )
        return given.long()
    if given.ndim == 1 and shape == (1,):
        given = given[:, None]
    if tuple(given.shape) != (n, *shape) or not given.is_floating_point():
        raise ValueError(
            f"given must be floating-point codes with shape ({n}, {_join(shape)}), got {given.dtype} with shape "
            f"{tuple(given.shape)}: make the regularizer with given_classes= if y is a label"
        )
    return given.detach()


def check_number(
    name: str, value: float, above: float = -math.inf, least: float = -math.inf
) -> float:
    """Returns `value` as a float if it is finite, greater than `above` and not below `least`."""
    number = float(value)
    if not (math.isfinite(number) and number > above and number >= least):
        bound = "finite"
        if above > -math.inf:
            bound = f"above {above:g}"
        if least > -math.inf:
            bound = f"{least:g} or above"
        raise ValueError(f"{name} must be {bound}, got {value}")
    return number


def check_positive(name: str, value: SupportsIndex, least: int = 1) -> int:
    """Returns `value` as an int if it is at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return number


def check_part(name: str, value: object, kinds: type | tuple[type, ...], example: str) -> None:
    """Raises if a part of a regularizer is not an object of its kind. Strings and numbers named parts in version 0.1."""
    if value is None or isinstance(value, kinds):
        return
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    known = " or ".join(kind.__name__ for kind in kinds)
    given = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
    raise TypeError(f"{name} must be an object of {known}, as {example} is, got {given}")


def check_rows(rows: SupportsIndex) -> int:
    """Returns the number of codes that critics learn from in a step, 0 or more."""
    return check_positive("rows, the codes that critics learn from in a step,", rows, least=0)


def check_epsilon(epsilon: float) -> float:
    """Returns `epsilon` if it is a target: 0 nats or more."""
    return check_number("epsilon, a target in nats,", epsilon, least=0)


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
            f"marginal pairs need a batch of at least 2 samples, got a batch of {len(pi)}: use drop_last=True in the loader"
        )
    for name, other in (("alpha", alpha), ("groups", groups)):
        if isinstance(other, Tensor) and other.device != pi.device:
            raise ValueError(
                f"pi and {name} must be on the same device, got {pi.device} and {other.device}: take {name}.to(pi.device)"
            )
    if pi_shape is not None and tuple(pi.shape[1:]) != pi_shape:
        raise ValueError(
            f"pi must have shape (N, {_join(pi_shape)}), got {tuple(pi.shape)}: make the regularizer with "
            f"pi_features={_features(pi.shape[1:])}, or change the encoder"
        )
    if alpha_shape == ():
        _check_label_shape(alpha)
    elif alpha_shape is not None:
        _check_alpha_code(alpha, alpha_shape)
    if groups is not None and not isinstance(groups, Tensor):
        raise TypeError(f"groups must be a tensor, got {type(groups).__name__}")
    if groups is not None and groups.shape != (len(pi),):
        raise ValueError(
            f"groups must have shape ({len(pi)},), one identity a sample, got {tuple(groups.shape)}"
        )


def _check_label_shape(alpha: Tensor) -> None:
    """Raises if labels are not one integer or boolean a sample, with the conversion that makes them so."""
    if alpha.ndim == 1 and not alpha.is_floating_point() and not alpha.is_complex():
        return
    fix = "give alpha_features= instead of classes= if alpha is a continuous attribute"
    if alpha.ndim == 2 and alpha.shape[1] == 1:
        fix = "take alpha.squeeze(1).long()"
    elif alpha.ndim == 2:
        fix = (
            "take alpha.argmax(1) if rows are one-hot; give alpha_features= instead of classes=, and alpha.float(), "
            "if several may be true at once"
        )
    elif alpha.ndim == 1:
        fix = f"take alpha.long() if the values are class numbers; otherwise {fix}"
    raise ValueError(
        f"labels must be integers with shape (N,), got {alpha.dtype} with shape {tuple(alpha.shape)}: {fix}"
    )


def _check_alpha_code(alpha: Tensor, shape: tuple[int, ...]) -> None:
    """Raises if alpha is not floating-point codes of a shape."""
    if tuple(alpha.shape[1:]) != shape:
        fix = f"alpha_features={_features(alpha.shape[1:])}, or change the encoder"
        if alpha.ndim == 1:
            fix = "classes= if alpha is a label, or with alpha_features=1 if it is a continuous attribute"
        raise ValueError(
            f"alpha must have shape (N, {_join(shape)}), got {tuple(alpha.shape)}: make the regularizer with {fix}"
        )
    if not alpha.is_floating_point():
        raise ValueError(
            f"alpha must be floating-point codes, got {alpha.dtype}: give classes= instead of alpha_features= "
            "if alpha is a label, or take alpha.float() if it is a number"
        )


def as_alpha(alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns a continuous attribute with shape (N,) as a column, and labels as int64."""
    if shape == () and isinstance(alpha, Tensor) and not alpha.is_floating_point():
        return alpha.long() if alpha.ndim == 1 else alpha
    if shape == (1,) and isinstance(alpha, Tensor) and alpha.ndim == 1:
        return alpha[:, None]
    return alpha


def check_posterior(pi: Tensor, posterior: Distribution | None) -> Distribution:
    """Returns the posterior back if it is one of `pi`: batch shape (N,), and the event shape of a code."""
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


def check_labels(labels: Tensor, classes: int, name: str = "labels") -> None:
    """Raises if a label on the CPU is not below `classes`. On other devices it would have to wait for the device."""
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or _is_transformed(labels):
        return
    high = int(labels.max())
    if high >= classes:
        raise ValueError(
            f"{name} must be from 0 to {classes - 1}, or below 0 if unknown, got {high}"
        )


def check_attribute(alpha: Tensor) -> None:
    """Raises if an attribute on the CPU has missing values. On other devices it would have to wait for the device.

    A code that an encoder makes passes: a step that overflows in half precision is the business of its scaler.
    """
    if alpha.device.type != "cpu" or alpha.requires_grad or not alpha.is_floating_point():
        return
    if torch.compiler.is_compiling() or _is_transformed(alpha):
        return
    missing = int((~alpha.isfinite()).flatten(1).any(1).sum())
    if missing:
        raise ValueError(
            f"alpha must be finite, got NaN or infinity in {missing} of {len(alpha)} rows: leave these samples out, or fill the "
            "gaps in; of labels, those below 0 are unknown"
        )


def _is_transformed(x: Tensor) -> bool:
    """Returns whether `x` belongs to a transform of `torch.func`, which has no values to look at."""
    return torch._C._functorch.is_functorch_wrapped_tensor(x)


def _features(shape: tuple[int, ...]) -> str:
    return str(shape[0] if len(shape) == 1 else tuple(shape))


def _join(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
