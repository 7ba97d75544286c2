r"""The interface of regularizers, and their sums and multiples."""

__all__ = ["Regularizer", "Scaled", "Sum"]

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._checks import check_number
from .metrics import Metrics
from .penalty import Penalty, check_parts


class Regularizer(nn.Module):
    r"""The interface of all regularizers. Sums and multiples of regularizers are regularizers.

    Each step of the user's training loop calls the regularizer, adds both losses of the
    :class:`Penalty` to that of the task, and passes the penalty to :meth:`update`, which moves the
    adaptive weights.

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
        r"""Returns the penalty, without changing state: a second call returns the same numbers.

        Only custom critics may change their own state in training, as batch norm does.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`, or labels, with shape
                :math:`(N,)`; detached inside.
            posterior: The distribution :math:`q(\pi | x)` that `pi` was drawn from.
            groups: The identity of each sample, with shape :math:`(N,)`. Pairs within a group are
                not negatives.
            given: The condition y if the regularizer was made with `given_classes` or
                `given_features`: labels with shape :math:`(N,)`, or codes with shape
                :math:`(N, D)`; detached inside.

        Raises:
            TypeError: If codes or groups are not tensors, or the posterior is not a Distribution.
            ValueError: If a shape or dtype does not match the regularizer, or a posterior is
                missing.
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
        r"""Returns the loss of the critics alone, a scalar, for critic steps without encoder steps.

        It is 0 if there is no critic.

        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`; detached inside.
            alpha: As in :meth:`forward`.
            posterior: Ignored, so that both calls take the same arguments.
            groups: As in :meth:`forward`.
            given: As in :meth:`forward`.

        Raises:
            TypeError: If codes or groups are not tensors.
            ValueError: If a shape or dtype does not match the regularizer.
        """
        return no_loss(pi)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters that the critic loss trains, for a separate optimizer or group."""
        return iter(())

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters of learnable priors, which `penalty.loss` trains."""
        return iter(())

    def faults(self) -> dict[str, str]:
        """Returns the warnings that apply to the state, by short names; waits for the device.

        Those about the loop are of its last check, after 100, 200, 300, 400, 600, 800, ... updates.
        A warning is given once, and stays here as long as it applies.
        """
        return {}

    def update(self, penalty: Penalty, held_out: Penalty | None = None) -> None:
        r"""Moves the adaptive weights by the estimates of a penalty. Call it once per step.

        If each sample is seen many times, estimates on training codes are not those of new codes:
        too high if critics memorise which codes belong together, too low if the encoder memorises
        its samples. Then give `held_out` codes too. λ rises if the estimate on them, or that of T'
        on training codes, is above :math:`\epsilon`:

        .. code-block:: python

            with torch.no_grad():
                held_out = constraint(*codes_of(validation_batch))
            constraint.update(penalty, held_out)

        A batch in every second step is enough. Its rows must not be those of the final audit.

        Arguments:
            penalty: The penalty of this step, or :meth:`Penalty.mean` if gradients are accumulated.
            held_out: The penalty of samples that no encoder is trained on. Critics do not learn
                from it.

        Raises:
            TypeError: If λ ignores held-out codes, as that of :meth:`RobustMIConstraint.paper`
                does.
            ValueError: If a penalty was not returned by this regularizer, or both are the same.

        References:
            | Training Well-Generalizing Classifiers for Fairness Metrics and Other Data-Dependent
            | Constraints (Cotter et al., 2019), multipliers that follow held-out data
            | https://arxiv.org/abs/1807.00028
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
    """Returns keyword arguments; none without a condition, for regularizers that take none."""
    return {} if given is None else {"given": given}


def no_loss(pi: Tensor) -> Tensor:
    """Returns a loss of 0 that supports `backward`."""
    zero = torch.zeros((), device=pi.device)
    # A compiled graph cannot make such a leaf.
    return zero if torch.compiler.is_compiling() else zero.requires_grad_()


class Composition(Regularizer):
    """Creates a regularizer that is composed of others."""

    def addends(self) -> list[Regularizer]:
        """Returns the parts."""
        raise NotImplementedError

    def named(self) -> dict[str, Regularizer]:
        """Returns the parts by name."""
        return {str(i): part for i, part in enumerate(self.addends())}

    def faults(self) -> dict[str, str]:
        return {
            f"{name}.{fault}": text
            for name, part in self.named().items()
            for fault, text in part.faults().items()
        }

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

    def update(self, penalty: Penalty, held_out: Penalty | None = None) -> None:
        terms = self.addends()
        check_parts(self, penalty, len(terms))
        others: Sequence[Penalty | None] = [None] * len(terms)
        if held_out is not None:
            check_parts(self, held_out, len(terms))
            others = held_out.parts
        for term, part, other in zip(terms, penalty.parts, others, strict=True):
            # Custom regularizers need no second argument until held-out codes are given.
            term.update(*(part,) if other is None else (part, other))


def added(parts: Sequence[Penalty], metrics: Metrics) -> Penalty:
    """Returns the sum of penalties, with the given metrics."""
    loss = torch.stack([part.loss for part in parts]).sum()
    critic_loss = torch.stack([part.critic_loss for part in parts]).sum()
    return Penalty(loss, critic_loss, metrics, tuple(parts))


class Scaled(Composition):
    """Creates the product of a regularizer's loss and a factor.

    Arguments:
        inner: The regularizer. Its critic loss and weights are not scaled.
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
    """Creates the sum of regularizers. Shared metrics are named by position: `0.mi`, `1.mi`.

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
        """Returns the terms. A sum of sums is flattened."""
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
