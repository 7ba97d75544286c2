r"""The constraint of the paper: a critic, a shadow critic, and two adaptive weights."""

__all__ = ["RobustMIConstraint"]

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Optional

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from .. import distributed
from ..controllers import FixedGamma, MovingAverage, RobustGamma, VariationalGamma, saved
from ..critics import default_critic
from ..estimators import CriticEstimator
from ..validation import Shape, check_choice
from .base import Penalty, Regularizer
from .classifier import ClassifierMI
from .variational import VariationalBound

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class RobustMIConstraint(Regularizer):
    r"""Creates the constraint :math:`I(\pi, \alpha) \leq \epsilon` of Esser et al., 2019, eqs. (18) to (24).

    .. math:: L = \gamma \, \mathrm{KL} + L_{MI}(\lambda, I_T - \epsilon)

    A critic T estimates :math:`I(\pi, \alpha)` and the encoder of :math:`\pi` keeps its estimate below :math:`\epsilon`. A *shadow* critic T', whose
    gradients never reach an encoder, tells whether T is overpowered: then :math:`I_{T'} > I_T`, the weight :math:`\gamma` of the variational bound rises,
    and :math:`\pi` loses capacity until T can see again.

    Critics must be faster than the encoder that they follow: with a third of these rates they read :math:`\epsilon` where an audit finds twice as much. Their estimates
    are taken before they learn from a batch, so that speed does not flatter them. :meth:`paper` gives the published recipe.

    .. code-block:: python

        constraint = mireg.RobustMIConstraint(pi_features=32, alpha_features=64, epsilon=0.125)
        critic_optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=3e-3)

        for x1, x2 in loader:
            posterior = pose_encoder(x2)
            pi, alpha = posterior.rsample(), appearance_encoder(x1)

            critic_optimizer.zero_grad()
            constraint.critic_loss(pi, alpha).backward()
            critic_optimizer.step()

            penalty = constraint(pi, alpha, posterior)
            loss = reconstruction(decoder(pi, alpha), x2) + penalty.loss
            optimizer.zero_grad(); loss.backward(); optimizer.step()

            constraint.update(penalty)

    The columns of Table 1 are :meth:`paper` with: a) `gamma="variational", lagrangian=False`; b) :class:`mireg.ClassifierMI` with `test_then_train=False` instead; c) `gamma_bias=0`; d) `gamma="fixed"`;
    e) nothing more.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        classes: The number of classes, if :math:`\alpha` is a label.
        epsilon: The target :math:`\epsilon` in nats.
        critic: The network of T; :func:`mireg.default_critic` by default. Give `shadow` with it.
        shadow: The network of T', of its own initialisation.
        prior: The prior :math:`r(\pi)`, as in :class:`mireg.VariationalBound`.
        gamma: How :math:`\gamma` moves: `"robust"` by eq. (18), `"variational"` by eq. (24), or `"fixed"`.
        initial_gamma: The first value of :math:`\gamma`.
        gamma_rate: The rate :math:`l_\gamma`.
        gamma_bias: The bias :math:`b_\gamma` in nats.
        min_gamma: The least value that :math:`\gamma` moves to.
        decay: The decay of the moving averages that eq. (18) compares.
        lagrangian: Whether :math:`L_{MI}` is part of the penalty.
        estimator: The estimate of both critics: `"mean_logit"` (the paper's), `"nwj"`, `"dv"` or `"smile"`. A mean logit can be lowered with
            no gain in independence.
        pairs: The marginal pairs: `"roll"` for one a sample, a number for as many, `"all"` for every other sample.
        mu: The weight :math:`\mu` of the square, and the rate of :math:`\lambda`.
        initial_multiplier: The first value of :math:`\lambda`.
        shadow_violation: Whether :math:`L_{MI}` keeps the greater of the averages of :math:`I_T` and :math:`I_{T'}` at :math:`\epsilon`, and not :math:`I_T` alone.
        test_then_train: Whether :math:`I_T` and :math:`I_{T'}` are what the critics said of the batch before they learnt from it.
        warmup_steps: For how many calls of :meth:`update` there is no :math:`L_{MI}` and both weights rest.
        alpha_gradient: Whether :math:`\alpha` gets a gradient from the penalty.
        finite_check: Whether to raise at non-finite codes, which waits for the device.
        gather: Whether the partners of marginal pairs come from all ranks: with R ranks each sample has R times as many.
        process_group: The ranks to agree with; the default group if `None`.

    Metrics: those of :class:`mireg.ClassifierMI`, `mi_shadow`, the moving averages `mi_average` and `mi_shadow_average`, `shadow_gap` (above 0 for long: T is
    overpowered), `shadow_accuracy`, `kl`, `gamma`, `gamma_at_minimum` (1 where :math:`\gamma` can fall no further).

    Raises:
        TypeError: If a network or the prior is not what it must be.
        ValueError: If a setting is out of range, a name is none of those above, or of `critic` and `shadow` there is only one.

    Example:
        >>> constraint = RobustMIConstraint(32, 64, epsilon=0.125)
        >>> posterior = mireg.diagonal_gaussian(torch.randn(8, 32), torch.zeros(8, 32))
        >>> penalty = constraint(posterior.rsample(), torch.randn(8, 64), posterior)
        >>> constraint.update(penalty)
        >>> penalty.metrics["gamma"]
        tensor(1.)
    """

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape | None = None,
        *,
        classes: int | None = None,
        epsilon: float = 0.125,
        critic: nn.Module | None = None,
        shadow: nn.Module | None = None,
        prior: Literal["standard_normal"] | Distribution | nn.Module = "standard_normal",
        gamma: Literal["robust", "variational", "fixed"] = "robust",
        initial_gamma: float = 1.0,
        gamma_rate: float = 0.01,
        gamma_bias: float = 0.01,
        min_gamma: float = 0.02,
        decay: float = 0.99,
        lagrangian: bool = True,
        estimator: str = "dv",
        pairs: str | int = 4,
        mu: float = 0.3,
        initial_multiplier: float = 0.0,
        shadow_violation: bool = True,
        test_then_train: bool = True,
        warmup_steps: int = 0,
        alpha_gradient: bool = False,
        finite_check: bool = False,
        gather: bool = False,
        process_group: Optional["ProcessGroup"] = None,
    ) -> None:
        super().__init__()

        controllers: dict[str, Callable[[], FixedGamma]] = {
            "robust": lambda: RobustGamma(initial_gamma, gamma_rate, gamma_bias, min_gamma),
            "variational": lambda: VariationalGamma(epsilon, initial_gamma, gamma_rate, min_gamma),
            "fixed": lambda: FixedGamma(initial_gamma),
        }
        check_choice("gamma", gamma, controllers)
        if (critic is None) != (shadow is None) or (critic is not None and critic is shadow):
            raise ValueError(
                "give two networks of one kind, critic and shadow, each of its own initialisation, or neither: "
                f"got critic={type(critic).__name__} and shadow={type(shadow).__name__}"
                + (", the same object" if critic is shadow else "")
            )
        self.classifier = ClassifierMI(
            pi_features,
            alpha_features,
            classes=classes,
            epsilon=epsilon,
            critic=critic,
            estimator=estimator,
            pairs=pairs,
            mu=mu,
            initial_multiplier=initial_multiplier,
            test_then_train=test_then_train,
            warmup_steps=warmup_steps,
            alpha_gradient=alpha_gradient,
            finite_check=finite_check,
            gather=gather,
            process_group=process_group,
        )
        if shadow is None:
            shadow = default_critic(pi_features, alpha_features, classes)
        self.shadow = CriticEstimator(
            shadow, estimator, pairs, gather, process_group, test_then_train
        )
        self.bound = VariationalBound(
            prior, gamma=controllers[gamma](), process_group=process_group
        )
        self.mi_average = MovingAverage(decay)
        self.mi_shadow_average = MovingAverage(decay)
        self.lagrangian = lagrangian
        self.shadow_violation = shadow_violation

    @classmethod
    def paper(
        cls, pi_features: Shape, alpha_features: Shape | None = None, **settings: Any
    ) -> "RobustMIConstraint":
        r"""Creates the constraint by the published recipe, with the critics of this library unless others are given.

        :math:`\gamma` may decay to 0, there is one marginal pair a sample, and both critics are asked about a batch that they have just learnt from: an audit
        then finds up to several times :math:`\epsilon`.

        Arguments:
            pi_features: The number of features of :math:`\pi`, or its shape.
            alpha_features: Likewise for :math:`\alpha`.
            settings: Any other argument of the class.

        Returns:
            The constraint.

        Example:
            >>> RobustMIConstraint.paper(32, 64).bound.gamma_controller.minimum
            0.0
        """
        published = {
            "estimator": "mean_logit",
            "min_gamma": 0.0,
            "pairs": "roll",
            "mu": 0.1,
            "shadow_violation": False,
            "test_then_train": False,
        }
        return cls(pi_features, alpha_features, **{**published, **settings})

    @property
    def epsilon(self) -> float:
        r"""The target :math:`\epsilon` in nats."""
        return self.classifier.epsilon

    @property
    def gamma(self) -> Tensor:
        r"""The weight :math:`\gamma` of the variational bound."""
        return self.bound.gamma

    @property
    def multiplier(self) -> Tensor:
        r"""The multiplier :math:`\lambda`."""
        return self.classifier.multiplier

    def unseen(self) -> Tensor | float:
        """Gives what T' sees beyond T, on average, in nats: a part of the violation."""
        if not self.shadow_violation:
            return 0.0
        gap = self.mi_shadow_average.value - self.mi_average.value
        return saved(gap[None])[0].relu().to(torch.float32)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        classified = self.classifier.penalty(pi, alpha, groups, generator, self.unseen())
        bounded = self.bound(pi, alpha, posterior)
        with torch.no_grad():
            mi_shadow, _, accuracy = self.shadow.measure(pi, alpha, groups, generator)
            if distributed.ranks(self.classifier.process_group) > 1:
                mi_shadow, accuracy = distributed.average(
                    torch.stack((mi_shadow, accuracy)), self.classifier.process_group
                )
        metrics = {
            **classified.metrics,
            "mi_shadow": mi_shadow,
            "shadow_gap": mi_shadow - classified.metrics["mi"],
            **bounded.metrics,
            "shadow_accuracy": accuracy,
            "gamma_at_minimum": self.bound.gamma_controller.at_minimum.to(mi_shadow.dtype),
            "mi_average": self.mi_average.value.to(mi_shadow.dtype),
            "mi_shadow_average": self.mi_shadow_average.value.to(mi_shadow.dtype),
        }
        loss = bounded.loss + classified.loss if self.lagrangian else bounded.loss
        return Penalty(loss, metrics, (classified, bounded))

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        critic = self.classifier.critic_loss(pi, alpha, groups=groups, generator=generator)
        return critic + self.shadow.loss(pi, alpha, groups, generator)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.classifier.critic_parameters()
        yield from self.shadow.parameters()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        return self.bound.prior_parameters()

    @torch.no_grad()
    def update(self, penalty: Penalty) -> None:
        self.mi_average.update(penalty.metrics["mi"])
        self.mi_shadow_average.update(penalty.metrics["mi_shadow"])
        self.bound.gamma_controller.update(
            self.mi_average.value, self.mi_shadow_average.value, self.classifier.active
        )
        self.classifier.update(penalty.parts[0])

    def extra_repr(self) -> str:
        weights = (self.bound.gamma_controller, self.classifier.multiplier_controller)
        gamma, multiplier = (weight.number() for weight in weights)
        return f"epsilon={self.epsilon}, {gamma=!s}, {multiplier=!s}, lagrangian={self.lagrangian}"
