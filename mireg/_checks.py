r"""Checks of user input. Each error states what was required and what was given."""

__all__: list[str] = []

import math
import operator
from collections.abc import Mapping, Sequence
from typing import SupportsIndex, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

Shape = SupportsIndex | Sequence[SupportsIndex]
"""The number of features of a code, or its shape. NumPy integers are accepted."""


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
    """Returns features in the short form that users write: `32` for `(32,)`."""
    return _features(as_shape(features))


def alpha_shape(alpha_features: Shape | None, classes: int | None) -> tuple[int, ...]:
    """Returns the shape of one code alpha, or `()` for a label."""
    if (alpha_features is None) == (classes is None):
        raise ValueError(
            "give either alpha_features (alpha is a code) or classes (alpha is a label), "
            f"got alpha_features={alpha_features} and classes={classes}"
        )
    if classes is not None:
        check_positive("classes", classes)
    return () if alpha_features is None else as_shape(alpha_features)


def check_given_classes(features: Shape | None, classes: int | None) -> int | None:
    """Returns the number of classes of y, or `None` if y is a code."""
    if (features is None) == (classes is None):
        raise ValueError(
            "give either given_features (y is a code) or given_classes (y is a label), "
            f"got given_features={features} and given_classes={classes}"
        )
    if classes is not None:
        return check_positive("given_classes", classes, least=2)
    if len(as_shape(cast(Shape, features))) > 1:
        raise ValueError(
            f"given_features must be the number of features of a vector, got {features}: flatten "
            "y or pool it"
        )
    return None


def check_given(
    given: Tensor | None, n: int, shape: tuple[int, ...] | None, classes: int | None
) -> Tensor | None:
    """Returns y as int64 labels (N,) or codes (N, D). If `shape` is `None`, there is none."""
    if shape is None:
        if given is not None:
            raise ValueError(
                "given= needs a conditional regularizer, got an unconditional one: make it with "
                "given_classes= if y is a label, or with given_features= if y is a code"
            )
        return None
    if not isinstance(given, Tensor):
        raise TypeError(
            "the regularizer is conditional (given_classes= or given_features=): pass the "
            f"condition y as a tensor, given=y, got {type(given).__name__}"
        )
    if classes is not None:
        if given.shape != (n,) or given.is_floating_point() or given.is_complex():
            fix = "make the regularizer with given_features= if y is a code"
            if given.shape == (n, 1):
                fix = "pass given.squeeze(1).long()"
            elif given.shape == (n, classes):
                fix = f"pass given.argmax(1) if rows are one-hot, or {fix}"
            elif given.shape == (n,):
                fix = f"pass given.long() if the values are class numbers, or {fix}"
            raise ValueError(
                f"given must be integer labels with shape ({n},), got {given.dtype} with shape "
                f"{tuple(given.shape)}: {fix}"
            )
        return given.long()
    if given.ndim == 1 and shape == (1,):
        given = given[:, None]
    if tuple(given.shape) != (n, *shape) or not given.is_floating_point():
        raise ValueError(
            f"given must be floating-point codes with shape ({n}, {_join(shape)}), got "
            f"{given.dtype} with shape {tuple(given.shape)}: make the regularizer with "
            "given_classes= if y is a label"
        )
    return given.detach()


def check_number(
    name: str, value: float, above: float = -math.inf, least: float = -math.inf
) -> float:
    """Returns `value` as a float if it is finite, above `above` and at least `least`."""
    if value is None or isinstance(value, (str, bytes, bool)):
        raise TypeError(f"{name} must be a number, got {value!r}")
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
    """Raises if a part is not an object of its kind: version 0.1 accepted strings and numbers."""
    if value is None or isinstance(value, kinds):
        return
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    known = " or ".join(kind.__name__ for kind in kinds)
    given = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
    raise TypeError(f"{name} must be an object of {known}, as {example} is, got {given}")


def check_rows(rows: SupportsIndex) -> int:
    """Returns the number of codes that critics learn from in a step if it is 0 or more."""
    return check_positive("rows, the codes that critics learn from in a step,", rows, least=0)


def check_epsilon(epsilon: float) -> float:
    """Returns `epsilon` if it is 0 nats or more."""
    return check_number("epsilon, a target in nats,", epsilon, least=0)


def check_codes(
    pi: Tensor,
    alpha: Tensor,
    groups: Tensor | None,
    pi_shape: tuple[int, ...] | None = None,
    alpha_shape: tuple[int, ...] | None = None,
) -> None:
    """Raises if the codes are not a batch of pairs of these shapes; `()` means labels."""
    for name, x in (("pi", pi), ("alpha", alpha)):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name} must be a tensor, got {type(x).__name__}{_conversion(x, name)}"
            )
    if pi.ndim < 2 or not pi.is_floating_point():
        fix = ""
        if pi.ndim == 1 and pi.is_floating_point():
            fix = ": pass pi[:, None] if the code has one feature"
        elif alpha.ndim > 1 and alpha.is_floating_point():
            fix = ": pi and alpha are exchanged, so exchange them"
        raise ValueError(
            f"pi must be floating-point codes with shape (N, *), got {pi.dtype} with shape "
            f"{tuple(pi.shape)}{fix}"
        )
    if alpha.ndim < 1 or len(alpha) != len(pi):
        raise ValueError(
            f"pi and alpha must have the same batch size, got shapes {tuple(pi.shape)} and "
            f"{tuple(alpha.shape)}"
        )
    if len(pi) < 2:
        raise ValueError(
            f"marginal pairs need a batch of at least 2 samples, got a batch of {len(pi)}: use "
            "drop_last=True in the loader"
        )
    for name, other in (("alpha", alpha), ("groups", groups)):
        if isinstance(other, Tensor) and other.device != pi.device:
            raise ValueError(
                f"pi and {name} must be on the same device, got {pi.device} and {other.device}: "
                f"pass {name}.to(pi.device)"
            )
    if pi_shape is not None and tuple(pi.shape[1:]) != pi_shape:
        fix = f"make the regularizer with pi_features={_features(pi.shape[1:])}"
        fix += ", or change the encoder"
        if tuple(alpha.shape[1:]) == pi_shape and tuple(pi.shape[1:]) == alpha_shape:
            fix = "pi and alpha are exchanged, so exchange them"
        raise ValueError(f"pi must have shape (N, {_join(pi_shape)}), got {tuple(pi.shape)}: {fix}")
    if alpha_shape == ():
        _check_label_shape(alpha)
    elif alpha_shape is not None:
        _check_alpha_code(alpha, alpha_shape)
    if groups is not None and not isinstance(groups, Tensor):
        raise TypeError(
            f"groups must be a tensor, got {type(groups).__name__}{_conversion(groups, 'groups')}"
        )
    if groups is not None and groups.shape != (len(pi),):
        raise ValueError(
            f"groups must have shape ({len(pi)},), one identity per sample, got "
            f"{tuple(groups.shape)}"
        )
    if groups is not None and (groups.is_floating_point() or groups.is_complex()):
        raise ValueError(
            f"groups must be integers, got {groups.dtype}: number the identities, such as with "
            "groups.unique(return_inverse=True)[1]"
        )


def _conversion(x: object, name: str) -> str:
    """Returns what to do with a value that is not a tensor."""
    if isinstance(x, Distribution):
        return f": pass a sample, {name}.rsample()"
    if isinstance(x, Mapping):
        return ": several attributes by name need mireg.PerAttribute"
    first = x[0] if isinstance(x, list) and x else None
    kind = getattr(getattr(x, "dtype", None), "kind", None)
    if isinstance(first, str) or kind in ("O", "S", "U"):
        return f": number the names, such as with numpy.unique({name}, return_inverse=True)[1]"
    of_numbers = hasattr(x, "__array__") or (first is not None and not torch.is_tensor(first))
    return f": pass torch.as_tensor({name})" if of_numbers else ""


def _check_label_shape(alpha: Tensor) -> None:
    """Raises if labels are not one integer or bool per sample, and names the conversion."""
    if alpha.ndim == 1 and not alpha.is_floating_point() and not alpha.is_complex():
        return
    fix = "use alpha_features= instead of classes= if alpha is a continuous attribute"
    column = ".squeeze(1)" if alpha.ndim == 2 and alpha.shape[1] == 1 else ""
    if column and not alpha.is_floating_point():
        fix = "pass alpha.squeeze(1).long()"
    elif alpha.ndim == 2 and not column:
        fix = (
            "pass alpha.argmax(1) if rows are one-hot; use alpha_features= instead of classes=, "
            "and pass alpha.float(), if several may be true at once"
        )
    elif alpha.ndim == 1 or column:
        fix = (
            f"pass alpha{column}.nan_to_num(nan=-1).long() if the values are class numbers, so "
            f"that NaN is -1, which means unknown; otherwise {fix}"
        )
    raise ValueError(
        f"labels must be integers with shape (N,), got {alpha.dtype} with shape "
        f"{tuple(alpha.shape)}: {fix}"
    )


def _check_alpha_code(alpha: Tensor, shape: tuple[int, ...]) -> None:
    """Raises if alpha does not consist of floating-point codes of a shape."""
    if tuple(alpha.shape[1:]) != shape:
        fix = f"alpha_features={_features(alpha.shape[1:])}, or change the encoder"
        if alpha.ndim == 1:
            fix = (
                "classes= if alpha is a label, or alpha_features=1 if it is a continuous attribute"
            )
        raise ValueError(
            f"alpha must have shape (N, {_join(shape)}), got {tuple(alpha.shape)}: make the "
            f"regularizer with {fix}"
        )
    if not alpha.is_floating_point():
        raise ValueError(
            f"alpha must be floating-point codes, got {alpha.dtype}: use classes= instead of "
            "alpha_features= if alpha is a label, or pass alpha.float() if it is a number"
        )


def as_alpha(alpha: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns labels as int64, and a continuous attribute with shape (N,) as a column."""
    if shape == () and isinstance(alpha, Tensor) and not alpha.is_floating_point():
        return alpha.long() if alpha.ndim == 1 else alpha
    if shape == (1,) and isinstance(alpha, Tensor) and alpha.ndim == 1:
        return alpha[:, None]
    return alpha


def check_posterior(pi: Tensor, posterior: Distribution | None) -> Distribution:
    """Returns the posterior if it has batch shape (N,) and the event shape of a code `pi`."""
    if posterior is None:
        raise ValueError(
            "the variational bound needs the posterior of pi, got None: let the encoder return "
            "(mean, log_var) and pass mireg.diagonal_gaussian(mean, log_var), or use "
            "ClassifierMI if the encoder is deterministic"
        )
    if not isinstance(posterior, Distribution):
        raise TypeError(
            f"the posterior must be a torch Distribution, got {type(posterior).__name__}: "
            "mireg.diagonal_gaussian(mean, log_var) creates one"
        )
    if posterior.batch_shape != pi.shape[:1] or posterior.event_shape != pi.shape[1:]:
        fix = "torch.distributions.Independent turns batch dimensions into event dimensions"
        if len(posterior.batch_shape) == 1 and posterior.event_shape:
            fix = "pass the posterior that pi was drawn from"
        raise ValueError(
            f"the posterior must have batch shape ({len(pi)},) and event shape "
            f"{tuple(pi.shape[1:])}, like pi, got batch shape "
            f"{tuple(posterior.batch_shape)} and event shape {tuple(posterior.event_shape)}: {fix}"
        )
    return posterior


def check_labels(labels: Tensor, classes: int, name: str = "labels") -> None:
    """Raises if a label is not below `classes`. Only checks the CPU, to avoid a synchronisation."""
    if labels.device.type != "cpu" or torch.compiler.is_compiling() or is_transformed(labels):
        return
    high = int(labels.max())
    if high >= classes:
        fix = ""
        if high == classes and int(labels[labels >= 0].min()) == 1:
            fix = ": subtract 1 if the first class is 1"
        raise ValueError(
            f"{name} must be from 0 to {classes - 1}, or below 0 if unknown, got {high}{fix}"
        )


def check_attribute(alpha: Tensor) -> None:
    """Raises if an attribute has missing values. Only checks the CPU, to avoid a synchronisation.

    Codes of an encoder are not checked: a gradient scaler handles overflows in half precision.
    """
    if alpha.device.type != "cpu" or alpha.requires_grad or not alpha.is_floating_point():
        return
    if torch.compiler.is_compiling() or is_transformed(alpha):
        return
    missing = int((~alpha.isfinite()).flatten(1).any(1).sum())
    if missing:
        raise ValueError(
            f"alpha must be finite, got NaN or infinity in {missing} of {len(alpha)} rows: leave "
            "these samples out or impute the values; unknown labels are numbers below 0"
        )


def is_transformed(x: Tensor) -> bool:
    """Returns whether `x` belongs to a transform of `torch.func`, whose values cannot be read."""
    return torch._C._functorch.is_functorch_wrapped_tensor(x)


def _features(shape: tuple[int, ...]) -> str:
    return str(shape[0] if len(shape) == 1 else tuple(shape))


def _join(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
