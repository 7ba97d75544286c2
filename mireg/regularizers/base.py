r"""What a regularizer is, and how two make one."""

__all__ = ["Penalty", "Regularizer", "Scaled", "Sum"]

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._checks import check_number
from .metrics import Metrics


class Penalty(NamedTuple):
    """What a regularizer adds to the loss of a step, and what it saw.

    Example:
        >>> pi, alpha = torch.randn(8, 2), torch.randn(8, 3)
        >>> penalty = mireg.ClassifierMI(2, 3)(pi, alpha)
        >>> penalty.loss.shape, penalty.metrics["multiplier"]
        (torch.Size([]), tensor(1.))
    """

    loss: Tensor
    """The term for the encoders, and for priors that learn, a scalar. It never reaches a critic."""
    critic_loss: Tensor
    """The term for the critics, a scalar. It never reaches an encoder."""
    metrics: Metrics
    """Detached scalars by stable names: `mi`, `mi_shadow`, `kl`, `gamma`, `multiplier`, …"""
    parts: tuple["Penalty", ...] = ()
    """The penalties that a composed regularizer is made of."""
    observed: Mapping[str, Tensor] = {}
    """What else :meth:`Regularizer.update` moves averages by, as detached tensors."""
    codes: Mapping[str, Tensor] = {}
    """The codes to remember, detached."""

    @classmethod
    def mean(cls, penalties: Sequence["Penalty"]) -> "Penalty":
        """Averages the penalties of one regularizer over the parts of a large batch, for one :meth:`Regularizer.update`.

        Arguments:
            penalties: The penalties, of parts of equal size.

        Returns:
            The penalty whose losses, metrics and observations are the means.

        Raises:
            ValueError: If there are none, or their metrics differ.

        Example:
            >>> parts = [Penalty(torch.tensor(x), torch.tensor(0.0), {"mi": torch.tensor(x)}) for x in (1.0, 2.0)]
            >>> Penalty.mean(parts).metrics
            {'mi': tensor(1.5000)}
        """
        if not penalties:
            raise ValueError("the mean needs at least one penalty, got none")
        first = penalties[0]
        if any(p.metrics.keys() != first.metrics.keys() for p in penalties):
            raise ValueError("the penalties must come from one regularizer, got different metrics")

        def average(values: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(values)).mean(0)

        parts = zip(*(p.parts for p in penalties), strict=True)
        return cls(
            average([p.loss for p in penalties]),
            average([p.critic_loss for p in penalties]),
            {name: average([p.metrics[name] for p in penalties]) for name in first.metrics},
            tuple(cls.mean(part) for part in parts),
            {name: average([p.observed[name] for p in penalties]) for name in first.observed},
            {name: torch.cat([p.codes[name] for p in penalties]) for name in first.codes},
        )


class Regularizer(nn.Module):
    r"""The interface that all regularizers share. A sum of two is one, and so is one times a number.

    Each step of a training loop calls a regularizer for a :class:`Penalty`, adds its two losses to that of the task, and hands the penalty to
    :meth:`update`, which moves the adaptive weights. The loop and its optimizer stay the user's.

    Example:
        >>> regularizer = 0.1 * mireg.VariationalBound() + mireg.ClassifierMI(32, 64)
        >>> posterior = mireg.diagonal_gaussian(torch.randn(8, 32), torch.zeros(8, 32))
        >>> penalty = regularizer(posterior.rsample(), torch.randn(8, 64), posterior)
        >>> sorted(penalty.metrics)
        ['accuracy', 'gamma', 'kl', 'mi', 'mi_average', 'multiplier']
    """

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        r"""Returns the penalty. It depends on the codes and the state alone: a second call returns the same numbers, and
        nothing is written, except by critics of the user's own that do so in training, as batch norm does.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`, or labels, with shape :math:`(N,)`; detached inside.
            posterior: The distribution :math:`q(\pi | x)` that `pi` was drawn from.
            groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are not negatives.
            given: What the information is conditional on, for a regularizer made with `given_classes` or `given_features`: labels with shape :math:`(N,)`, or
                codes with shape :math:`(N, D)`; detached inside.

        Returns:
            The losses and the metrics, in nats.

        Raises:
            TypeError: If codes or groups are not tensors, or the posterior is not a Distribution.
            ValueError: If a shape or a type is not what the regularizer was made for, or a bound gets no posterior.
        """
        raise NotImplementedError

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        r"""Returns the loss of the critics alone, for steps beside those of the encoders, as on a replay of earlier codes.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`; detached inside.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`, or labels; detached inside.
            posterior: Not used: it is here so that the same codes fit both calls.
            groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are not negatives.
            given: What the information is conditional on, for a regularizer made with `given_classes` or `given_features`: labels with shape :math:`(N,)`, or
                codes with shape :math:`(N, D)`; detached inside.

        Returns:
            The loss, a scalar; 0 if there is no critic to train.

        Raises:
            TypeError: If codes or groups are not tensors.
            ValueError: If a shape or a type is not what the regularizer was made for.
        """
        return no_loss(pi)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters that the critic loss trains, for an optimizer or a group of their own."""
        return iter(())

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters of learnable priors, which the loss of the penalty trains."""
        return iter(())

    def update(self, penalty: Penalty) -> None:
        """Moves the adaptive weights by what a penalty of this regularizer saw: call it once a step.

        Arguments:
            penalty: The penalty of this step; of one that accumulates gradients, :meth:`Penalty.mean` of those of its parts.

        Raises:
            ValueError: If the penalty is not of this regularizer.
        """

    def __call__(
        self,
        pi: Tensor,
        alpha: Tensor | Mapping[str, Tensor],
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | Mapping[str, Tensor] | None = None,
    ) -> Penalty:
        return cast(
            Penalty, super().__call__(pi, alpha, posterior, groups=groups, **condition_of(given))
        )

    def __add__(self, other: "Regularizer") -> "Regularizer":
        if not isinstance(other, Regularizer):
            return NotImplemented
        return Sum(self, other)

    def __radd__(self, other: object) -> "Regularizer":
        # The built-in sum starts at 0.
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> "Regularizer":
        if not isinstance(factor, Real):
            return NotImplemented
        return Scaled(self, float(factor))

    __rmul__ = __mul__


def condition_of(given: Tensor | Mapping[str, Tensor] | None) -> dict[str, Any]:
    """Returns a condition as keyword arguments, and none without one: a regularizer of a user's own need not know of conditions."""
    return {} if given is None else {"given": given}


def no_loss(pi: Tensor) -> Tensor:
    """Returns a loss of 0 that a user's loop may call `backward` on."""
    zero = torch.zeros((), device=pi.device)
    # A compiled graph cannot make such a leaf.
    return zero if torch.compiler.is_compiling() else zero.requires_grad_()


def check_parts(
    regularizer: Regularizer, penalty: Penalty, count: int, *names: str, only: bool = False
) -> None:
    """Raises if a penalty is not of a regularizer with so many parts and metrics of these names, or `only` these."""
    own = isinstance(penalty, Penalty) and len(penalty.parts) == count
    own = own and not (only and penalty.metrics.keys() - {*names})
    if not own or any(name not in penalty.metrics for name in names):
        given = type(penalty).__name__
        if isinstance(penalty, Penalty):
            given = f"one with {len(penalty.parts)} parts and the metrics {sorted(penalty.metrics)}"
        raise ValueError(
            f"update of {type(regularizer).__name__} takes the penalty that it returned for this step, got {given}"
        )


class Composition(Regularizer):
    """Creates a regularizer that is made of others."""

    def addends(self) -> list[Regularizer]:
        """Returns the others."""
        raise NotImplementedError

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        condition = condition_of(given)
        losses = [x.critic_loss(pi, alpha, groups=groups, **condition) for x in self.addends()]
        return torch.stack(losses).sum()

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        for term in self.addends():
            yield from term.critic_parameters()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        for term in self.addends():
            yield from term.prior_parameters()

    def update(self, penalty: Penalty) -> None:
        terms = self.addends()
        check_parts(self, penalty, len(terms))
        for term, part in zip(terms, penalty.parts, strict=True):
            term.update(part)


def added(parts: Sequence[Penalty], metrics: Metrics) -> Penalty:
    """Returns the sum of penalties, with metrics of its own."""
    loss = torch.stack([part.loss for part in parts]).sum()
    critic_loss = torch.stack([part.critic_loss for part in parts]).sum()
    return Penalty(loss, critic_loss, metrics, tuple(parts))


class Scaled(Composition):
    """Creates a regularizer whose loss is that of another times a factor.

    Arguments:
        inner: The other regularizer. Its critics and its weights are not scaled.
        factor: The factor, at least 0.

    Raises:
        ValueError: If the factor is below 0 or not finite.
    """

    def __init__(self, inner: Regularizer, factor: float) -> None:
        super().__init__()

        self.inner = inner
        self.factor = check_number("the factor of a regularizer", factor, least=0)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        part = self.inner(pi, alpha, posterior, groups=groups, given=given)
        return Penalty(self.factor * part.loss, part.critic_loss, part.metrics, (part,))

    def addends(self) -> list[Regularizer]:
        return [self.inner]

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class Sum(Composition):
    """Creates the sum of regularizers. Metrics that several of them have are named by position: `0.mi`, `1.mi`.

    Arguments:
        terms: The regularizers.
    """

    def __init__(self, *terms: Regularizer) -> None:
        super().__init__()

        flat: list[Regularizer] = []
        for term in terms:
            flat += term.addends() if isinstance(term, Sum) else [term]
        self.terms = nn.ModuleList(flat)

    def addends(self) -> list[Regularizer]:
        """Returns the terms: a sum of sums is one flat sum."""
        return [cast(Regularizer, term) for term in self.terms]

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        parts = tuple(
            term(pi, alpha, posterior, groups=groups, given=given) for term in self.addends()
        )
        names = [name for part in parts for name in part.metrics]
        metrics = {
            name if names.count(name) == 1 else f"{i}.{name}": value
            for i, part in enumerate(parts)
            for name, value in part.metrics.items()
        }
        return added(parts, metrics)
