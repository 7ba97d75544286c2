r"""The constraint on a critic's estimate of mutual information."""

__all__ = ["ClassifierMI"]

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._checks import Shape, check_epsilon, check_part, check_rows
from ..estimators import Calibrated, Estimator
from ..pairs import Negatives
from ..ranks import Ranks
from ..weights import Estimates, FixedMultiplier, LogMultiplier, MovingAverage, Multiplier
from ._critics import Critics, MakeCritic
from ._faults import faults_of
from ._misuse import Misuse
from .base import Regularizer
from .penalty import Penalty, check_held_out, check_parts, informed


class ClassifierMI(Regularizer):
    r"""Creates the loss :math:`L_{MI}` of Esser et al., 2019, with one critic.

    A critic T learns to classify pairs :math:`(\pi, \alpha)` as joint or marginal. Its estimate
    :math:`I_T` is kept below :math:`\epsilon`: eqs. (10), (12), (22) and (23).

    .. math:: I_T(\pi, \alpha) \leq \epsilon

    The encoder can overpower a single critic: it learns codes that T takes for independent,
    although any fresh critic finds the dependence (Table 1 b). :class:`mireg.RobustMIConstraint`
    prevents this.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        classes: The number of classes if :math:`\alpha` is a label. Labels below 0 are unknown and
            ignored.
        epsilon: The target :math:`\epsilon` in nats.
        critic: A function that returns the network of T; :func:`mireg.default_critic` by default.
        multiplier: The weight λ, a :class:`mireg.weights.LogMultiplier` by default.
        estimator: The estimate, :class:`mireg.estimators.Calibrated` by default.
        negatives: The marginal pairs. By default, all pairs of the batch if the critic makes them
            cheap, and four per sample otherwise.
        rows: The number of codes that T learns from in a step. If the batch is smaller, the rest
            comes from a memory of recent codes; 0 for no memory.
        ranks: The ranks that share a batch.
        given_features: The number of features of y, to constrain :math:`I(\pi, \alpha \,|\, y)` for
            a code y. Calls then take `given=y`.
        given_classes: The number of classes if y is a label. Labels below 0 are unknown and
            ignored.

    Metrics: `mi` and `mi_average` in nats, `accuracy` (of T on pairs that it has not yet learnt
    from; 0.5 is chance), `multiplier`.

    Raises:
        TypeError: If the critic or another part is of the wrong kind.
        ValueError: If a setting is out of range.

    Example:
        >>> regularizer = ClassifierMI(2, 3)
        >>> penalty = regularizer(torch.randn(8, 2), torch.randn(8, 3))
        >>> (penalty.loss + penalty.critic_loss).backward()
        >>> regularizer.update(penalty)
    """

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape | None = None,
        *,
        classes: int | None = None,
        epsilon: float = 0.125,
        critic: MakeCritic | None = None,
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
            [estimator],
            negatives,
            ranks,
            (check_rows(rows),),
            given_features,
            given_classes,
        )
        check_part("multiplier", multiplier, nn.Module, "mireg.weights.LogMultiplier()")
        self.multiplier = multiplier or LogMultiplier()
        self.average = MovingAverage(estimator.decay)
        self.held_out = MovingAverage(estimator.decay)
        self.misuse = Misuse("ClassifierMI", self.epsilon, classes)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        reading = self.critics(pi, alpha, groups, given)
        (mi,) = reading.estimates
        seen = self.estimates(mi, mi.dtype)
        loss = self.multiplier(reading.mi, seen)
        self.misuse.on_call(self.training, self.critics, pi, loss, posterior)
        metrics = {
            "mi": mi,
            "mi_average": seen.mi_average,
            "accuracy": reading.accuracies[0],
            "multiplier": self.multiplier.value.to(mi.dtype, copy=True),
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

    @torch.no_grad()
    def update(self, penalty: Penalty, held_out: Penalty | None = None) -> None:
        check_parts(self, penalty, 0, "mi")
        self.critics.check(penalty)
        if held_out is not None:
            check_held_out(self, penalty, held_out, self.multiplier, "mi")
            self.critics.check(held_out)
        mi = penalty.metrics["mi"]
        accepted = mi.isfinite()
        known = accepted & informed(penalty)
        self.critics.calibrate(penalty, held_out, known, self.held_out)
        self.average.update(mi, known)
        if held_out is not None:
            self.held_out.update(held_out.metrics["mi"], informed(held_out))
        self.multiplier.update(self.estimates(mi, self.average.state.dtype), known)
        self.critics.update(penalty, accepted)
        self.misuse.on_update(self.critics, penalty.loss, self.of_state)

    def estimates(self, mi: Tensor, dtype: torch.dtype) -> Estimates:
        """Returns the estimate of a batch with the moving averages, those of T for both critics."""
        training = self.average.weight(dtype)
        held_out = self.held_out.weight_or(training)
        return Estimates(mi, mi, training, training, self.epsilon, (held_out, held_out))

    def faults(self) -> dict[str, str]:
        return self.misuse.with_loop(self.of_state())

    def of_state(self) -> dict[str, str]:
        """Returns warnings about the state by short names. Waits for the device."""
        estimate = float(self.average.value) if self.misuse.late else None
        return faults_of(self.critics, self.epsilon, estimate)

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}"
