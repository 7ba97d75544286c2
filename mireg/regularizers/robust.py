r"""The robust constraint: two critics and a variational bottleneck."""

__all__ = ["RobustMIConstraint"]

import copy
from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import functional
from .._checks import Shape, check_epsilon, check_part, check_rows
from ..estimators import Calibrated, Estimator, MeanLogit
from ..pairs import Negatives, ShiftedNegatives
from ..ranks import Ranks
from ..weights import (
    Estimates,
    FixedGamma,
    FixedMultiplier,
    LogMultiplier,
    MovingAverage,
    Multiplier,
    RelativeGamma,
    RobustGamma,
)
from ._critics import Critics, MakeCritic
from ._faults import faults_of
from ._misuse import Misuse
from .base import Regularizer
from .penalty import Penalty, check_held_out, check_parts, informed
from .variational import VariationalBound

LOST = 0.1
"""How far below 0 averages fall, and that of T' below that of T, only if critics diverge; nats."""


class RobustMIConstraint(Regularizer):
    r"""Creates the constraint :math:`I(\pi, \alpha) \leq \epsilon` of Esser et al., 2019.

    Only :math:`\epsilon` has to be set. A critic T estimates the information, and the penalty
    :math:`L_{MI}` keeps the estimate below :math:`\epsilon`. A shadow critic T', whose gradients
    never reach an encoder, detects what T misses. A KL bottleneck :math:`L_{VB}` then makes
    :math:`\pi` less informative about everything.

    .. math:: L &= L_{task}
        + \underbrace{\gamma \, \mathbb{E}_x \, \mathrm{KL}(q(\pi | x) \,\|\, r(\pi))}_{L_{VB}}
        + L_{MI}, \\
        \gamma &= \rho \lambda

    The weight :math:`\lambda` is the price of a leaked nat in units of the task loss. Its steps are
    logarithmic (:class:`mireg.weights.LogMultiplier`), so that the task loss can have any scale.
    The weight :math:`\gamma` is a fraction of :math:`\lambda`
    (:class:`mireg.weights.RelativeGamma`).

    .. code-block:: python

        constraint = mireg.RobustMIConstraint(32, 64, epsilon=0.125)
        optimizer = torch.optim.Adam([
            {"params": model.parameters(), "lr": 1e-3},
            {"params": constraint.parameters(), "lr": 3e-3},  # critics need three times the rate
        ])

        for x1, x2 in loader:
            posterior = mireg.diagonal_gaussian(*pose_encoder(x2))
            pi, alpha = posterior.rsample(), appearance_encoder(x1)

            penalty = constraint(pi, alpha, posterior)
            loss = reconstruction(decoder(pi, alpha), x2) + penalty.loss + penalty.critic_loss
            optimizer.zero_grad(); loss.backward(); optimizer.step()

            constraint.update(penalty)

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        classes: The number of classes if :math:`\alpha` is a label. Labels below 0 are unknown and
            ignored.
        epsilon: The target :math:`\epsilon` in nats.
        critic: A function that returns a new network for T and for T'; :func:`mireg.default_critic`
            by default.
        prior: The prior :math:`r(\pi)`, as in :class:`mireg.VariationalBound`.
        gamma: The weight γ, a :class:`mireg.weights.RelativeGamma` by default.
        multiplier: The weight λ, a :class:`mireg.weights.LogMultiplier` by default.
        estimator: The estimate of both critics, :class:`mireg.estimators.Calibrated` by default.
        negatives: The marginal pairs. By default, all pairs of the batch if the critics make them
            cheap, and four per sample otherwise.
        rows: The number of codes that T learns from in a step. T' learns from twice as many. If the
            batch is smaller, the rest comes from a memory of recent codes; 0 for no memory.
        ranks: The ranks that share a batch.
        given_features: The number of features of y, to constrain :math:`I(\pi, \alpha \,|\, y)` for
            a code y. Calls then take `given=y`.
        given_classes: The number of classes if y is a label. Labels below 0 are unknown and
            ignored.

    Metrics: `mi` and `mi_shadow` of the batch, their moving averages `mi_average` and
    `mi_shadow_average`, and `kl`, in nats; `accuracy` and `shadow_accuracy` (on pairs that the
    critics have not yet learnt from; 0.5 is chance); `gamma` and `multiplier`.

    Raises:
        TypeError: If a critic, the prior or another part is of the wrong kind.
        ValueError: If a setting is out of range.

    Example:
        >>> constraint = RobustMIConstraint(32, 64, epsilon=0.125)
        >>> posterior = mireg.diagonal_gaussian(torch.randn(8, 32), torch.zeros(8, 32))
        >>> penalty = constraint(posterior.rsample(), torch.randn(8, 64), posterior)
        >>> constraint.update(penalty)
        >>> penalty.metrics["multiplier"]
        tensor(1.)
    """

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape | None = None,
        *,
        classes: int | None = None,
        epsilon: float = 0.125,
        critic: MakeCritic | None = None,
        prior: Distribution | nn.Module | Literal["standard_normal"] = "standard_normal",
        gamma: RelativeGamma | FixedGamma | None = None,
        multiplier: LogMultiplier | Multiplier | FixedMultiplier | None = None,
        estimator: Estimator | None = None,
        negatives: Negatives | None = None,
        rows: int = 256,
        ranks: Ranks | None = None,
        given_features: Shape | None = None,
        given_classes: int | None = None,
    ) -> None:
        super().__init__()

        self.epsilon = check_epsilon(epsilon)
        estimator = estimator or Calibrated()
        self.critics = Critics(
            pi_features,
            alpha_features,
            classes,
            critic,
            [estimator, copy.deepcopy(estimator)],
            negatives,
            ranks,
            (check_rows(rows), 2 * check_rows(rows)),
            given_features,
            given_classes,
        )
        self.bound = VariationalBound(prior, ranks=ranks)
        check_part("gamma", gamma, nn.Module, "mireg.weights.FixedGamma(0.5)")
        check_part("multiplier", multiplier, nn.Module, "mireg.weights.LogMultiplier()")
        self.gamma = gamma or RelativeGamma()
        self.multiplier = multiplier or LogMultiplier()
        self.averages = nn.ModuleList(MovingAverage(estimator.decay) for _ in range(2))
        self.held_out = nn.ModuleList(MovingAverage(estimator.decay) for _ in range(2))
        self.kl_average = MovingAverage()
        self.misuse = Misuse(type(self).__name__, self.epsilon, classes)

    @classmethod
    def paper(
        cls, pi_features: Shape, alpha_features: Shape | None = None, **parts: Any
    ) -> "RobustMIConstraint":
        r"""Returns the constraint of the published recipe: eqs. (9) to (12), (18), (22) and (23).

        By default, critics are those of this library. They are evaluated on a batch that they have
        just learnt from, so the loop differs:

        .. code-block:: python

            critic_optimizer.zero_grad()
            constraint.critic_loss(pi, alpha).backward()
            critic_optimizer.step()
            penalty = constraint(pi, alpha, posterior)
            optimizer.zero_grad(); (task + penalty.loss).backward(); optimizer.step()
            constraint.update(penalty)

        The columns of Table 1 are, with `w` for :mod:`mireg.weights`: a)
        `gamma=w.VariationalGamma(), multiplier=w.FixedMultiplier(0)`; b) `gamma=w.FixedGamma(0)`;
        c) `gamma=w.RobustGamma(bias=0)`; d) `gamma=w.FixedGamma(1)`; e) the default. In codes
        trained this way, audits find up to several times :math:`\epsilon`.

        Arguments:
            pi_features: The number of features of :math:`\pi`, or its shape.
            alpha_features: The same for :math:`\alpha`.
            parts: Any other argument of the class.

        Example:
            >>> RobustMIConstraint.paper(32, 64).gamma
            RobustGamma(rate=0.01, bias=0.01, value=1)
        """
        published = {
            "gamma": RobustGamma(),
            "multiplier": Multiplier(),
            "estimator": MeanLogit(decay=0.99),
            "negatives": ShiftedNegatives(1),
            "rows": 0,
        }
        constraint = cls(pi_features, alpha_features, **{**published, **parts})
        constraint.critics.scales.clear()
        return constraint

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        return self.penalty(pi, alpha, posterior, groups, given)

    def weight_of_kl(self) -> Tensor:
        """Returns γ, a detached scalar."""
        weight: Tensor = self.gamma(self.multiplier.weight(torch.float32))
        return weight

    def penalty(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None,
        groups: Tensor | None,
        given: Tensor | None,
        share: Tensor | float = 1.0,
    ) -> Penalty:
        """Returns the penalty with a share of the KL, which :class:`PerAttribute` counts once."""
        reading = self.critics(pi, alpha, groups, given)
        kl = self.bound.kl(pi, posterior)
        mi, mi_shadow = reading.estimates
        price = self.multiplier.weight(mi.dtype)
        gamma: Tensor = self.gamma(price)
        seen = self.estimates(mi, mi_shadow, mi.dtype)
        penalty: Tensor = self.multiplier(reading.mi, seen)
        loss = penalty + functional.variational_penalty(kl, gamma * share)
        self.misuse.on_call(self.training, self.critics, pi, loss, posterior)
        metrics = {
            "mi": mi,
            "mi_shadow": mi_shadow,
            "mi_average": seen.mi_average,
            "mi_shadow_average": seen.mi_shadow_average,
            "accuracy": reading.accuracies[0],
            "shadow_accuracy": reading.accuracies[1],
            "kl": kl.detach(),
            "gamma": gamma,
            "multiplier": price,
        }
        return Penalty(loss, reading.critic_loss, metrics, (), reading.observed, reading.codes)

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        return self.critics.loss(pi, alpha, groups, given)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        return self.critics.parameters()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        return self.bound.prior_parameters()

    @torch.no_grad()
    def update(self, penalty: Penalty, held_out: Penalty | None = None) -> None:
        check_parts(self, penalty, 0, "mi", "mi_shadow", "kl")
        self.critics.check(penalty)
        if held_out is not None:
            check_held_out(self, penalty, held_out, self.multiplier, "mi_shadow")
            self.critics.check(held_out)
        mi, mi_shadow, kl = (penalty.metrics[name] for name in ("mi", "mi_shadow", "kl"))
        accepted = (mi + mi_shadow + kl).isfinite()
        known = accepted & informed(penalty)
        self.critics.calibrate(penalty, held_out, known, self.held_out_averages()[0])
        for average, estimate in zip(self.moving_averages(), (mi, mi_shadow), strict=True):
            average.update(estimate, known)
        if held_out is not None:
            for name, average in zip(("mi", "mi_shadow"), self.held_out_averages(), strict=True):
                average.update(held_out.metrics[name], informed(held_out))
        self.kl_average.update(kl, accepted)
        seen = self.estimates(mi, mi_shadow, self.kl_average.state.dtype)
        self.gamma.update(seen, known)
        self.multiplier.update(seen, known)
        self.critics.update(penalty, accepted)
        self.misuse.on_update(self.critics, penalty.loss, self.of_state)

    def moving_averages(self) -> list[MovingAverage]:
        """Returns the moving averages of :math:`I_T` and of :math:`I_{T'}`."""
        return [cast(MovingAverage, average) for average in self.averages]

    def held_out_averages(self) -> list[MovingAverage]:
        """Returns the same of held-out codes."""
        return [cast(MovingAverage, average) for average in self.held_out]

    def estimates(self, mi: Tensor, mi_shadow: Tensor, dtype: torch.dtype) -> Estimates:
        """Returns the estimates of a batch with the moving averages."""
        training, shadow = (average.weight(dtype) for average in self.moving_averages())
        held_out, held_out_shadow = self.held_out_averages()
        both = held_out.weight_or(training), held_out_shadow.weight_or(shadow)
        return Estimates(mi, mi_shadow, training, shadow, self.epsilon, both)

    def faults(self) -> dict[str, str]:
        return self.misuse.with_loop(self.of_state())

    def of_state(self) -> dict[str, str]:
        """Returns warnings about the state by short names. Waits for the device."""
        mi, mi_shadow = (float(average.value) for average in self.moving_averages())
        estimate = max(mi, mi_shadow) if self.misuse.late else None
        found = faults_of(self.critics, self.epsilon, estimate)
        kl, updated = float(self.kl_average.value), bool(self.kl_average.started())
        if updated and kl < self.epsilon and not self.misuse.starting:
            found["kl"] = (
                f"the code is nearly empty: its KL of {kl:.3g} nats is below "
                f"epsilon={self.epsilon:g}, so its samples reveal no more than that about "
                "anything, and the task gets almost nothing from it. While λ still falls, wait. If "
                "not, check that pi is a sample of the posterior that you pass, that the task loss "
                "reaches its encoder, that the task needs this code, and that no KL term of your "
                "own empties it"
            )
        low = min(mi, mi_shadow) < -self.epsilon - LOST
        if self.misuse.settled and (low or mi_shadow < mi - max(self.epsilon / 2, LOST)):
            found["shadow"] = (
                f"the critics diverge: T estimates {mi:.3g} nats and T' "
                f"{mi_shadow:.3g}, although T' learns from more codes. Lower the learning rate of "
                "the critics, and that of the encoders with it"
            )
        gap, gamma = mi_shadow - mi, self.gamma
        alone = self.misuse.repeated and not self.held_out_averages()[0].started()
        if alone and isinstance(gamma, RelativeGamma) and gamma.stays_high(gap, self.epsilon):
            found["gap"] = (
                f"T' still estimates {gap:.2g} nats more than T, so γ / λ is "
                f"{float(gamma.value):.2g} and the code loses information of all kinds. If each "
                "sample is seen many times, critics memorise samples: pass update a penalty of "
                "others, held_out. If not, use larger batches"
            )
        return found

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}"
