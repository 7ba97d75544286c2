r"""The adaptive weights γ and λ, and the moving averages that move them, as modules with buffers.

A non-finite estimate moves nothing: one bad batch must not set a weight to NaN for good.
"""

__all__ = [
    "Controller",
    "FixedGamma",
    "MovingAverage",
    "Multiplier",
    "RobustGamma",
    "VariationalGamma",
]

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from typing_extensions import Self

from . import functional


def saved(x: Tensor) -> Tensor:
    """Copies a vector of one number for the backward pass.

    The backward pass of a compiled graph makes most copies again, and would find what an update in the same graph has
    written meanwhile. The result of `flip` is among those that it keeps.
    """
    return x.flip(0)


class Controller(nn.Module):
    """A module whose state stays in double precision when the model is cast.

    Steps of 1e-4 on a weight of 7 are lost in half precision.
    """

    persistent = True
    """Whether a run that is resumed needs the state."""

    state: Tensor

    def __init__(self, *initial: float) -> None:
        super().__init__()

        # A vector even for one number: compiled graphs of torch 2.13 lose what is written to scalars of float64.
        state = torch.tensor(initial, dtype=torch.float64)
        self.register_buffer("state", state, persistent=self.persistent)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # The move itself is made in float32: MPS takes no double precision.
        before = self.state
        self.state = before.float()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        dtype = torch.float32 if self.state.device.type == "mps" else torch.float64
        source = self.state if before.is_meta else before
        self.state = source.to(dtype).to(self.state.device)
        return self

    @property
    def value(self) -> Tensor:
        """The number that the state stands for, a scalar."""
        return self.state[0]

    def weight(self, dtype: torch.dtype) -> Tensor:
        """Gives the number as it is now, a scalar for a loss that an update before its backward pass leaves alone."""
        return saved(self.state[:1])[0].to(dtype)

    def move(self, state: Tensor, accepted: Tensor | bool = True) -> None:
        """Takes a new state where it is finite and `accepted`."""
        taken = state.abs() < math.inf
        if accepted is not True:
            taken = taken & accepted
        self.state.copy_(torch.where(taken, state, self.state))

    def number(self) -> str:
        """Gives the value for people to read."""
        return "unknown" if self.state.is_meta else f"{self.value.item():.4g}"


class MovingAverage(Controller):
    r"""Creates an exponential moving average with bias correction.

    .. math:: m \leftarrow \beta m + (1 - \beta) x, \qquad w \leftarrow \beta w + (1 - \beta), \qquad \bar{x} = m / w

    Arguments:
        decay: The decay :math:`\beta`; 0.99 averages about 200 batches.

    Raises:
        ValueError: If the decay is not in [0, 1).

    Example:
        >>> average = MovingAverage(0.9)
        >>> average.update(torch.tensor(2.0))
        >>> average.value
        tensor(2., dtype=torch.float64)
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__(0.0, 0.0)

        if not 0 <= decay < 1:
            raise ValueError(f"the decay of a moving average must be in [0, 1), got {decay}")
        self.decay = decay

    @property
    def value(self) -> Tensor:
        """The average, 0 before the first update."""
        mean, weight = self.state.unbind()
        return mean / weight.clamp(min=torch.finfo(weight.dtype).tiny)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Takes one more value, a scalar."""
        # The one is NaN where the value is not finite: neither number moves then.
        seen = torch.stack((x, 0 * x + 1)).to(self.state.dtype)
        self.move(self.state.lerp(seen, 1 - self.decay))

    def extra_repr(self) -> str:
        return f"decay={self.decay}, value={self.number()}"


class Multiplier(Controller):
    r"""Creates the Lagrange multiplier λ of eqs. (22) and (23) of Esser et al., 2019.

    Arguments:
        mu: The weight :math:`\mu` of the square, and the rate of :math:`\lambda`.
        initial: The first value of :math:`\lambda`.

    Raises:
        ValueError: If :math:`\mu` is not above 0, or :math:`\lambda` is below.

    Example:
        >>> multiplier = Multiplier(mu=0.1)
        >>> multiplier.update(torch.tensor(0.5))
        >>> multiplier
        Multiplier(mu=0.1, value=0.05)
        >>> multiplier(torch.tensor(1.0))
        tensor(0.1000)
    """

    def __init__(self, mu: float = 0.1, initial: float = 0.0) -> None:
        super().__init__(initial)

        if mu <= 0:
            raise ValueError(f"mu must be positive, got {mu}")
        if initial < 0:
            raise ValueError(f"the multiplier λ must start at 0 or above, got {initial}")
        self.mu = mu

    def forward(self, violation: Tensor) -> Tensor:
        r"""Gives the loss of eq. (22) for the violation :math:`I_T - \epsilon`, in nats."""
        return functional.augmented_lagrangian(violation, self.weight(violation.dtype), self.mu)

    def active(self, violation: Tensor) -> Tensor:
        r"""Tells whether eq. (22) has a slope: :math:`\lambda + \mu (I_T - \epsilon) > 0`, a boolean scalar."""
        return self.value + self.mu * violation > 0

    @torch.no_grad()
    def update(self, violation: Tensor, active: Tensor | bool = True) -> None:
        """Takes the step of eq. (23), where `active`."""
        moved = functional.multiplier_step(self.value, violation.to(self.state.dtype), self.mu)
        self.move(moved, active)

    def extra_repr(self) -> str:
        return f"mu={self.mu}, value={self.number()}"


class FixedGamma(Controller):
    r"""Creates a weight γ that stays what it is, column d of Table 1 of Esser et al., 2019.

    Arguments:
        initial: The weight :math:`\gamma`.

    Raises:
        ValueError: If it is below 0.

    Example:
        >>> FixedGamma(0.5)(torch.tensor(3.0))
        tensor(1.5000)
    """

    minimum = 0.0
    """The least value that an update gives."""

    def __init__(self, initial: float = 1.0) -> None:
        super().__init__(initial)

        if initial < 0:
            raise ValueError(f"the weight γ must be 0 or above, got {initial}")

    @property
    def at_minimum(self) -> Tensor:
        r"""Tells whether :math:`\gamma` can fall no further, a boolean scalar."""
        return self.value <= self.minimum

    def forward(self, kl: Tensor) -> Tensor:
        """Gives the loss of eq. (21) for a bound in nats."""
        return functional.variational_penalty(kl, self.weight(kl.dtype))

    def step(self, mi: Tensor, mi_shadow: Tensor) -> Tensor:
        """Gives the next value for the two estimates, in nats."""
        return self.value

    @torch.no_grad()
    def update(self, mi: Tensor, mi_shadow: Tensor, active: Tensor | bool = True) -> None:
        """Takes a step, where `active`."""
        moved = self.step(mi.to(self.state.dtype), mi_shadow.to(self.state.dtype))
        self.move(moved.clamp(min=self.minimum), active)

    def extra_repr(self) -> str:
        return f"value={self.number()}"


def check_minimum(minimum: float) -> float:
    """Gives the least value of γ if it is one, and raises otherwise."""
    if not minimum >= 0:
        raise ValueError(f"the least value of γ must be 0 or above, got {minimum}")
    return minimum


class RobustGamma(FixedGamma):
    r"""Creates the weight γ of eq. (18): it rises where the shadow critic sees what the critic does not.

    Arguments:
        initial: The first value of :math:`\gamma`.
        rate: The rate :math:`l_\gamma`.
        bias: The bias :math:`b_\gamma` in nats; 0 is column c of Table 1.
        minimum: The least value of :math:`\gamma`, 0 in the paper.

    Raises:
        ValueError: If the first or the least value is below 0.

    Example:
        >>> gamma = RobustGamma(rate=0.1)
        >>> gamma.update(mi=torch.tensor(0.0), mi_shadow=torch.tensor(0.51))
        >>> gamma
        RobustGamma(rate=0.1, bias=0.01, minimum=0.0, value=1.05)
    """

    def __init__(
        self, initial: float = 1.0, rate: float = 0.01, bias: float = 0.01, minimum: float = 0.0
    ) -> None:
        super().__init__(initial)

        self.rate, self.bias, self.minimum = rate, bias, check_minimum(minimum)

    def step(self, mi: Tensor, mi_shadow: Tensor) -> Tensor:
        return functional.gamma_robust(self.value, mi_shadow, mi, self.rate, self.bias)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, bias={self.bias}, minimum={self.minimum}, {super().extra_repr()}"


class VariationalGamma(FixedGamma):
    r"""Creates the weight γ of eq. (24): it rises where the shadow critic sees more than :math:`\epsilon`.

    Arguments:
        epsilon: The target :math:`\epsilon` in nats.
        initial: The first value of :math:`\gamma`.
        rate: The rate :math:`l_\gamma`.
        minimum: The least value of :math:`\gamma`, 0 in the paper.

    Raises:
        ValueError: If the first or the least value is below 0.

    Example:
        >>> gamma = VariationalGamma(epsilon=0.1, rate=0.1)
        >>> gamma.update(mi=torch.tensor(0.0), mi_shadow=torch.tensor(0.6))
        >>> gamma
        VariationalGamma(epsilon=0.1, rate=0.1, minimum=0.0, value=1.05)
    """

    def __init__(
        self, epsilon: float, initial: float = 1.0, rate: float = 0.01, minimum: float = 0.0
    ) -> None:
        super().__init__(initial)

        self.epsilon, self.rate, self.minimum = epsilon, rate, check_minimum(minimum)

    def step(self, mi: Tensor, mi_shadow: Tensor) -> Tensor:
        return functional.gamma_variational(self.value, mi_shadow, self.epsilon, self.rate)

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon}, rate={self.rate}, minimum={self.minimum}, {super().extra_repr()}"
