r"""What a regularizer is, and how two make one."""

__all__ = ["Penalty", "Regularizer", "Scaled", "Sum"]

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from .metrics import Metrics


class Penalty(NamedTuple):
    """What a regularizer adds to the loss of a step, and what it saw.

    Example:
        >>> pi, alpha = torch.randn(8, 2), torch.randn(8, 3)
        >>> penalty = mireg.ClassifierMI(2, 3)(pi, alpha)
        >>> penalty.loss.shape, penalty.metrics["multiplier"]
        (torch.Size([]), tensor(0.))
    """

    loss: Tensor
    """The term to add to the loss of the encoders, in nats, a scalar."""
    metrics: Metrics
    """Detached scalars by stable names: `mi`, `mi_shadow`, `kl`, `gamma`, `multiplier`, `violation`, …"""
    parts: tuple["Penalty", ...] = ()
    """The penalties that a composed regularizer is made of."""

    @classmethod
    def mean(cls, penalties: Sequence["Penalty"]) -> "Penalty":
        """Averages the penalties of one regularizer over the parts of a large batch, for one :meth:`Regularizer.update`.

        Arguments:
            penalties: The penalties, of parts of equal size.

        Returns:
            The penalty whose loss and metrics are the means.

        Raises:
            ValueError: If there are none, or their metrics differ.

        Example:
            >>> parts = [Penalty(torch.tensor(x), {"mi": torch.tensor(x)}) for x in (1.0, 2.0)]
            >>> Penalty.mean(parts).metrics
            {'mi': tensor(1.5000)}
        """
        if not penalties:
            raise ValueError("the mean needs at least one penalty, got none")
        first = penalties[0]
        if any(p.metrics.keys() != first.metrics.keys() for p in penalties):
            raise ValueError("the penalties must come from one regularizer, got different metrics")
        loss = torch.stack([p.loss for p in penalties]).mean()
        metrics = {
            name: torch.stack([p.metrics[name] for p in penalties]).mean() for name in first.metrics
        }
        parts = zip(*(p.parts for p in penalties), strict=True)
        return cls(loss, metrics, tuple(cls.mean(part) for part in parts))


class Regularizer(nn.Module):
    r"""The interface that all regularizers share. A sum of two is one, and so is one times a number.

    Each step of a training loop calls three methods: :meth:`critic_loss` trains the critics, :meth:`forward` gives the penalty for the encoders, and
    :meth:`update` moves the adaptive weights. The loop and its optimizers stay the user's.

    Example:
        >>> regularizer = 0.1 * mireg.VariationalBound() + mireg.ClassifierMI(32, 64)
        >>> posterior = mireg.diagonal_gaussian(torch.randn(8, 32), torch.zeros(8, 32))
        >>> penalty = regularizer(posterior.rsample(), torch.randn(8, 64), posterior)
        >>> sorted(penalty.metrics)
        ['accuracy', 'active', 'gamma', 'kl', 'mi', 'mi_standard_error', 'multiplier', 'violation', 'violation_rate']
    """

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        r"""Gives the penalty for the encoder of :math:`\pi`. No critic gets a gradient from it.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`, or labels, with shape :math:`(N,)`.
            posterior: The distribution :math:`q(\pi | x)` that `pi` was drawn from.
            groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are no negatives.
            generator: Makes the random pairs repeatable.

        Returns:
            The loss and the metrics, in nats.

        Raises:
            TypeError: If codes, groups or posterior are no tensors and no Distribution.
            ValueError: If a shape or a type is not what the regularizer was made for, or a bound gets no posterior.
        """
        raise NotImplementedError

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        r"""Gives the loss that trains the critics. No encoder gets a gradient from it.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`; detached inside.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`, or labels; detached inside.
            groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are no negatives.
            generator: Makes the random pairs repeatable.

        Returns:
            The loss, a scalar; 0 if there is no critic to train.

        Raises:
            TypeError: If codes or groups are no tensors.
            ValueError: If a shape or a type is not what the regularizer was made for.
        """
        # The user's loop may call backward on it, critics or not; a compiled graph cannot make such a leaf.
        zero = torch.zeros((), device=pi.device)
        return zero if torch.compiler.is_compiling() else zero.requires_grad_()

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Gives the parameters that :meth:`critic_loss` trains: hand them to an optimizer of their own."""
        return iter(())

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Gives the parameters of learnable priors, which :meth:`forward` trains: hand them to the optimizer of the encoders."""
        return iter(())

    def update(self, penalty: Penalty) -> None:
        """Moves the adaptive weights by what a penalty of this regularizer saw: call it once a step.

        Arguments:
            penalty: The penalty of this step; of one that accumulates gradients, :meth:`Penalty.mean` of those of its parts.
        """

    def __call__(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        return cast(
            Penalty, super().__call__(pi, alpha, posterior, groups=groups, generator=generator)
        )

    def __add__(self, other: "Regularizer") -> "Regularizer":
        if not isinstance(other, Regularizer):
            return NotImplemented
        return Sum(self, other)

    def __radd__(self, other: object) -> "Regularizer":
        # The built-in sum starts at 0.
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> "Regularizer":
        if not isinstance(factor, int | float):
            return NotImplemented
        return Scaled(self, factor)

    __rmul__ = __mul__


class Scaled(Regularizer):
    """Creates a regularizer whose loss is that of another times a factor.

    Arguments:
        inner: The other regularizer. Its critics and its weights are not scaled.
        factor: The factor, at least 0.
    """

    def __init__(self, inner: Regularizer, factor: float) -> None:
        super().__init__()

        if not factor >= 0:
            raise ValueError(f"a regularizer can be scaled by a factor of at least 0, got {factor}")
        self.inner = inner
        self.factor = float(factor)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        part = self.inner(pi, alpha, posterior, groups=groups, generator=generator)
        return Penalty(self.factor * part.loss, part.metrics, (part,))

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        return self.inner.critic_loss(pi, alpha, groups=groups, generator=generator)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        return self.inner.critic_parameters()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        return self.inner.prior_parameters()

    def update(self, penalty: Penalty) -> None:
        self.inner.update(penalty.parts[0])

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


class Sum(Regularizer):
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
        """Gives the terms: a sum of sums is one flat sum."""
        return [cast(Regularizer, term) for term in self.terms]

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        parts = tuple(
            term(pi, alpha, posterior, groups=groups, generator=generator)
            for term in self.addends()
        )
        names = [name for part in parts for name in part.metrics]
        metrics = {
            name if names.count(name) == 1 else f"{i}.{name}": value
            for i, part in enumerate(parts)
            for name, value in part.metrics.items()
        }
        return Penalty(torch.stack([part.loss for part in parts]).sum(), metrics, parts)

    def critic_loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        losses = [
            term.critic_loss(pi, alpha, groups=groups, generator=generator)
            for term in self.addends()
        ]
        return torch.stack(losses).sum()

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        for term in self.addends():
            yield from term.critic_parameters()

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        for term in self.addends():
            yield from term.prior_parameters()

    def update(self, penalty: Penalty) -> None:
        for term, part in zip(self.addends(), penalty.parts, strict=True):
            term.update(part)
