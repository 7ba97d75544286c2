r"""The classifier's estimate of mutual information, kept below a target by an augmented Lagrangian."""

__all__ = ["ClassifierMI"]

from collections.abc import Iterator
from typing import TYPE_CHECKING, Optional

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from .. import distributed
from ..controllers import MovingAverage, Multiplier, saved
from ..critics import default_critic
from ..estimators import CriticEstimator
from ..validation import (
    Shape,
    alpha_shape,
    as_shape,
    check_codes,
    check_epsilon,
    check_finite,
    check_labels,
)
from .base import Penalty, Regularizer

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class ClassifierMI(Regularizer):
    r"""Creates the loss :math:`L_{MI}`, eqs. (10), (12), (22) and (23) of Esser et al., 2019.

    A critic T learns to tell joint pairs :math:`(\pi, \alpha)` from marginal ones. Its estimate :math:`I_T` is kept below :math:`\epsilon`.

    .. math:: I_T = \mathbb{E}_{p(\pi, \alpha)} T(\pi, \alpha) \leq \epsilon

    On its own it can be overpowered: the encoder learns codes that T takes for independent while any fresh critic tells them apart (Table 1 b).
    :class:`mireg.RobustMIConstraint` is the answer.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        classes: The number of classes, if :math:`\alpha` is a label.
        epsilon: The target :math:`\epsilon` in nats.
        critic: The network of T; :func:`mireg.default_critic` by default.
        estimator: The estimate: `"mean_logit"` (the paper's), `"nwj"`, `"dv"` or `"smile"`.
        pairs: The marginal pairs: `"roll"` for one a sample, a number for as many, `"all"` for every other sample.
        mu: The weight :math:`\mu` of the square, and the rate of :math:`\lambda`.
        initial_multiplier: The first value of :math:`\lambda`.
        test_then_train: Whether :math:`I_T` is what T said of the batch before it learnt from it. The paper asks T after its step.
        warmup_steps: For how many calls of :meth:`update` there is no penalty and :math:`\lambda` rests, while T learns.
        alpha_gradient: Whether :math:`\alpha` gets a gradient from the penalty.
        finite_check: Whether to raise at non-finite codes and at labels out of range, which waits for the device.
        gather: Whether the partners of marginal pairs come from all ranks: with R ranks each sample has R times as many.
        process_group: The ranks to agree with; the default group if `None`.

    Metrics: `mi`, `violation` and `mi_standard_error` (of this batch) in nats, `multiplier`, and what tells failures apart: `active` (whether the penalty
    pulls: nothing happens where it does not), `violation_rate` (how often :math:`I_T` was above :math:`\epsilon` lately: about half in balance; near 1 for
    long, and :math:`\lambda` climbs without effect; near 0, and it goes to 0), `accuracy` (of T before it learnt from the batch; 0.5 is chance).

    Raises:
        TypeError: If the critic is no module.
        ValueError: If a setting is out of range, or a name is none of those above.

    Example:
        >>> regularizer = ClassifierMI(2, 3)
        >>> pi, alpha = torch.randn(8, 2), torch.randn(8, 3)
        >>> regularizer.critic_loss(pi, alpha).backward()
        >>> penalty = regularizer(pi, alpha)
        >>> regularizer.update(penalty)
    """

    step: Tensor

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape | None = None,
        *,
        classes: int | None = None,
        epsilon: float = 0.125,
        critic: nn.Module | None = None,
        estimator: str = "mean_logit",
        pairs: str | int = "roll",
        mu: float = 0.1,
        initial_multiplier: float = 0.0,
        test_then_train: bool = True,
        warmup_steps: int = 0,
        alpha_gradient: bool = False,
        finite_check: bool = False,
        gather: bool = False,
        process_group: Optional["ProcessGroup"] = None,
    ) -> None:
        super().__init__()

        self.pi_shape = as_shape(pi_features)
        self.alpha_shape = alpha_shape(alpha_features, classes)
        self.classes = classes
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
        if gather and alpha_gradient and estimator != "mean_logit":
            raise ValueError(
                "codes of other ranks carry no gradient: with gather=True and alpha_gradient=True the estimator must be "
                f"'mean_logit', which needs none of them, got {estimator!r}"
            )
        if critic is None:
            critic = default_critic(pi_features, alpha_features, classes)
        self.epsilon = check_epsilon(epsilon)
        self.critic = CriticEstimator(
            critic, estimator, pairs, gather, process_group, test_then_train
        )
        self.multiplier_controller = Multiplier(mu, initial_multiplier)
        self.violation_rate = MovingAverage()
        self.warmup_steps = warmup_steps
        self.alpha_gradient = alpha_gradient
        self.finite_check = finite_check
        self.process_group = process_group
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def multiplier(self) -> Tensor:
        r"""The multiplier :math:`\lambda`."""
        return self.multiplier_controller.value

    @property
    def active(self) -> Tensor | bool:
        """Whether the warm-up is over."""
        return not self.warmup_steps or saved(self.step[None])[0] >= self.warmup_steps

    def check(self, pi: Tensor, alpha: Tensor, groups: Tensor | None) -> None:
        """Raises if the codes are not those that this regularizer was made for."""
        check_codes(pi, alpha, groups, self.pi_shape, self.alpha_shape)
        if self.finite_check:
            check_finite(pi=pi, alpha=alpha)
            if self.classes is not None:
                check_labels(alpha, self.classes)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        return self.penalty(pi, alpha, groups, generator)

    def penalty(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
        unseen: Tensor | float = 0.0,
    ) -> Penalty:
        r"""Gives the penalty where :math:`I_T` is known to fall short by `unseen` nats, which count as part of the violation."""
        self.check(pi, alpha, groups)
        alpha = alpha if self.alpha_gradient else alpha.detach()
        mi, joint, accuracy = self.critic.measure(pi, alpha, groups, generator)
        error = joint.std() / len(joint) ** 0.5
        count = distributed.ranks(self.process_group)
        if count > 1:
            numbers = torch.stack((mi, error.square(), accuracy))
            mi, variance, accuracy = distributed.average(numbers, self.process_group)
            error = (variance.detach() / count).sqrt()
        violation = mi - (self.epsilon - unseen)
        loss = self.multiplier_controller(violation)
        active, seen = self.active, violation.detach()
        pulls = self.multiplier_controller.active(seen)
        if isinstance(active, Tensor):
            loss, pulls = torch.where(active, loss, 0), pulls & active
        metrics = {
            "mi": mi.detach(),
            "mi_standard_error": error,
            "violation": seen,
            "active": pulls.to(mi.dtype),
            "violation_rate": self.violation_rate.value.to(mi.dtype),
            "accuracy": accuracy.detach(),
            "multiplier": self.multiplier.to(mi.dtype, copy=True),
        }
        return Penalty(loss, metrics)

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        self.check(pi, alpha, groups)
        return self.critic.loss(pi, alpha, groups, generator)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        return self.critic.parameters()

    @torch.no_grad()
    def update(self, penalty: Penalty) -> None:
        violation = penalty.metrics["violation"]
        self.multiplier_controller.update(violation, self.active)
        # Times 0 it is NaN where it is not finite, and the average takes nothing from a bad batch.
        self.violation_rate.update((violation > 0) + 0 * violation)
        self.step.add_(1)

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}, warmup_steps={self.warmup_steps}"
