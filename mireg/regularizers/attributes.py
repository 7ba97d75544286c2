r"""Constraints on one code and several attributes."""

__all__ = ["PerAttribute", "joint_label"]

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._checks import check_labels, check_positive
from ._misuse import Misuse
from .base import Composition, Regularizer, added, condition_of
from .penalty import Penalty
from .robust import RobustMIConstraint


class PerAttribute(Composition):
    r"""Creates constraints on one code :math:`\pi` and several attributes, with a target for each.

    .. math:: I(\pi, \alpha_k) \leq \epsilon_k \quad \text{for each attribute } k

    Each attribute has its own critics. The KL bottleneck is counted once, with the greatest
    :math:`\gamma` of the attributes. Targets for single attributes do not limit the information
    about their combination: :math:`\pi` may reveal a combination although it reveals neither
    attribute alone. To constrain the combination, join labels with :func:`joint_label` and codes
    with `torch.cat`.

    .. code-block:: python

        constraint = mireg.PerAttribute({
            "sex": mireg.RobustMIConstraint(8, classes=2, epsilon=0.05),
            "age": mireg.RobustMIConstraint(8, 1, epsilon=0.1),
        })
        penalty = constraint(pi, {"sex": sex, "age": age}, posterior)

    Arguments:
        constraints: The regularizers by attribute name.

    Metrics: those of each regularizer, such as `"sex.mi"`. If a regularizer has a bottleneck, also
    `kl` in nats and its weight `gamma`.

    Raises:
        TypeError: If the argument is not a mapping, or a value is not a regularizer.
        ValueError: If there are no regularizers, or a name is empty or contains a dot.

    Example:
        >>> sex, age = mireg.ClassifierMI(4, classes=2), mireg.ClassifierMI(4, 1)
        >>> attributes = {"sex": torch.randint(2, (8,)), "age": torch.randn(8)}
        >>> penalty = PerAttribute({"sex": sex, "age": age})(torch.randn(8, 4), attributes)
        >>> sorted(penalty.metrics)[:4]
        ['age.accuracy', 'age.mi', 'age.mi_average', 'age.multiplier']
    """

    def __init__(self, constraints: Mapping[str, Regularizer]) -> None:
        super().__init__()

        if not isinstance(constraints, Mapping):
            raise TypeError(
                "PerAttribute needs regularizers by attribute name, such as {'sex': "
                f"RobustMIConstraint(8, classes=2)}}, got {type(constraints).__name__}"
            )
        if not constraints:
            raise ValueError(
                "PerAttribute needs at least one attribute and its regularizer, got none"
            )
        for name, constraint in constraints.items():
            if not isinstance(constraint, Regularizer):
                raise TypeError(
                    f"the value of {name!r} must be a regularizer, got {type(constraint).__name__}"
                )
            inner = [x for x in constraint.modules() if isinstance(x, RobustMIConstraint)]
            if inner and inner != [constraint]:
                raise TypeError(
                    f"the value of {name!r} must be a RobustMIConstraint itself, got a "
                    f"{type(constraint).__name__} of one, whose KL would be counted again: λ "
                    "follows epsilon, so that no factor is needed"
                )
            if not name or "." in name:
                raise ValueError(
                    "names of attributes must be words without a dot, since metrics use them, "
                    f"got {name!r}"
                )
            misuse = getattr(constraint, "misuse", None)
            if isinstance(misuse, Misuse):
                misuse.name = f"{misuse.name} of {name}"
        # The prefix avoids clashes with attributes of torch modules, such as "type".
        self.constraints = nn.ModuleDict({f"of_{name}": x for name, x in constraints.items()})

    def named(self) -> dict[str, Regularizer]:
        """Returns the regularizers by attribute name."""
        of = self.constraints.items()
        return {name.removeprefix("of_"): cast(Regularizer, x) for name, x in of}

    def addends(self) -> list[Regularizer]:
        return [*self.named().values()]

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor | Mapping[str, Tensor],
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | Mapping[str, Tensor] | None = None,
    ) -> Penalty:
        r"""
        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The attributes by name: codes with shape :math:`(N, *)` or labels with shape
                :math:`(N,)`.
            posterior: The distribution :math:`q(\pi | x)` that `pi` was drawn from.
            groups: The identity of each sample, with shape :math:`(N,)`.
            given: The condition y of all regularizers, or conditions by attribute name.

        Returns:
            The sum of the penalties, with the KL counted once.

        Raises:
            TypeError: If the attributes are not given by name.
            ValueError: If a name is missing or unknown, or a shape or dtype does not match.
        """
        values, named = self.by_name(alpha), self.named()
        self.check_given(given)
        shares = self.shares()
        parts = []
        for name, constraint in named.items():
            y = of_name(given, name)
            if isinstance(constraint, RobustMIConstraint):
                part = constraint.penalty(pi, values[name], posterior, groups, y, shares[name])
            else:
                part = constraint(pi, values[name], posterior, groups=groups, given=y)
            parts.append(part)
        metrics: dict[str, Tensor] = {}
        for name, part in zip(named, parts, strict=True):
            metrics |= {f"{name}.{of}": value for of, value in part.metrics.items() if of != "kl"}
            if name in shares:
                metrics["kl"] = part.metrics["kl"]
        if shares:
            gammas = [metrics[f"{name}.gamma"] for name in shares]
            metrics["gamma"] = torch.stack(gammas).amax()
        return added(parts, metrics)

    def shares(self) -> dict[str, Tensor]:
        """Returns the share of the KL of each constraint: the ones with the greatest γ share it."""
        robust = {k: x for k, x in self.named().items() if isinstance(x, RobustMIConstraint)}
        if not robust:
            return {}
        gammas = torch.stack([constraint.weight_of_kl() for constraint in robust.values()])
        greatest = (gammas == gammas.amax()).to(gammas.dtype)
        return dict(zip(robust, (greatest / greatest.sum()).unbind(), strict=True))

    def by_name(self, alpha: object) -> Mapping[str, Tensor]:
        """Returns the attributes, or raises if their names do not match the regularizers."""
        names = [*self.named()]
        if not isinstance(alpha, Mapping):
            raise TypeError(
                f"alpha must be a mapping from names to attributes, {{{names[0]!r}: …}}, got "
                f"{type(alpha).__name__}"
            )
        if alpha.keys() != {*names}:
            raise ValueError(f"alpha must have the attributes {names}, got {[*alpha]}")
        return alpha

    def check_given(self, given: object) -> None:
        """Raises if conditions by name have names that the regularizers do not have."""
        names = self.named()
        if isinstance(given, Mapping) and given.keys() - names:
            raise ValueError(f"given must have names of {[*names]}, got {[*given]}")

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor | Mapping[str, Tensor],
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        values = self.by_name(alpha)
        self.check_given(given)
        losses = []
        for name, constraint in self.named().items():
            condition = condition_of(of_name(given, name))
            losses.append(constraint.critic_loss(pi, values[name], groups=groups, **condition))
        return torch.stack(losses).sum()


def of_name(given: Tensor | Mapping[str, Tensor] | None, name: str) -> Tensor | None:
    """Returns the condition of an attribute, or the shared condition."""
    return given.get(name) if isinstance(given, Mapping) else given


def joint_label(labels: Sequence[Tensor], classes: Sequence[int]) -> Tensor:
    r"""Returns one label for each combination of several labels.

    Arguments:
        labels: The labels, each with shape :math:`(N,)`. Labels below 0 are unknown.
        classes: The number of classes of each label. The joint label has their product.

    Returns:
        The joint labels, with shape :math:`(N,)`; -1 if a label is unknown.

    Raises:
        ValueError: If shapes differ, or a label is not below its number of classes.

    Example:
        >>> sex, race = torch.tensor([0, 1, 1]), torch.tensor([4, 0, -1])
        >>> joint_label([sex, race], classes=[2, 5])
        tensor([ 4,  5, -1])
    """
    if len(labels) != len(classes) or not labels:
        raise ValueError(
            f"joint_label needs a number of classes for each label, got {len(labels)} labels and "
            f"{len(classes)} numbers"
        )
    joint = torch.zeros_like(labels[0], dtype=torch.int64)
    known = torch.ones_like(labels[0], dtype=torch.bool)
    for label, count in zip(labels, classes, strict=True):
        if label.shape != joint.shape or label.ndim != 1 or label.is_floating_point():
            raise ValueError(
                f"labels must be integers with one shape (N,), got {label.dtype} with shape "
                f"{tuple(label.shape)}"
            )
        check_labels(label, check_positive("classes", count))
        joint = joint * count + label.clamp(min=0)
        known = known & (label >= 0)
    return torch.where(known, joint, -1)
