r"""The adaptive weights γ and λ, as modules with buffers. Non-finite estimates are ignored."""

__all__ = [
    "Controller",
    "Estimates",
    "FixedGamma",
    "FixedMultiplier",
    "LogMultiplier",
    "MovingAverage",
    "Multiplier",
    "RelativeGamma",
    "RobustGamma",
    "VariationalGamma",
]

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import functional
from ._checks import check_number
from .averages import Controller, MovingAverage

LEAST = 1e-6
"""The smallest target in nats that the weights distinguish from 0."""


class Estimates(NamedTuple):
    """The estimates that move the weights, in nats, as detached scalars except `epsilon`.

    Example:
        >>> mi, mi_shadow = torch.tensor([0.3, 0.4])
        >>> seen = Estimates(mi, mi_shadow, mi, mi_shadow, epsilon=0.1)
        >>> multiplier = Multiplier(mu=0.1)
        >>> multiplier.update(seen)
        >>> multiplier
        Multiplier(mu=0.1, value=0.02)
    """

    mi: Tensor
    """The estimate of T for the batch."""
    mi_shadow: Tensor
    """The estimate of T' for the batch."""
    mi_average: Tensor
    """The moving average of `mi`."""
    mi_shadow_average: Tensor
    """The moving average of `mi_shadow`."""
    epsilon: float
    """The target."""
    held_out: tuple[Tensor, Tensor] | None = None
    """Both moving averages on held-out codes. Before there are some, those on training codes."""


def in_targets(nats: Tensor, epsilon: float) -> Tensor:
    """Returns information in units of the target."""
    return nats / max(epsilon, LEAST)


class Multiplier(Controller):
    r"""Creates the Lagrange multiplier λ of eqs. (22) and (23) of Esser et al., 2019.

    Arguments:
        mu: The weight :math:`\mu` of the square, and the rate of :math:`\lambda`.
        initial: The first value of :math:`\lambda`.

    Raises:
        ValueError: If :math:`\mu` is not above 0, or :math:`\lambda` is below 0.

    Example:
        >>> multiplier = Multiplier(mu=0.1, initial=0.05)
        >>> multiplier
        Multiplier(mu=0.1, value=0.05)
    """

    possible = (0.0, math.inf)

    def __init__(self, mu: float = 0.1, initial: float = 0.0) -> None:
        super().__init__(check_number("the multiplier λ", initial, least=0))

        self.mu = check_number("mu", mu, above=0)

    def forward(self, mi: Tensor, seen: Estimates) -> Tensor:
        r"""Returns the loss of eq. (22) for the estimate :math:`I_T` with its gradient."""
        weight = self.weight(mi.dtype)
        return functional.augmented_lagrangian(mi - seen.epsilon, weight, self.mu)

    @torch.no_grad()
    def update(self, seen: Estimates, accepted: Tensor | bool = True) -> None:
        """Takes the step of eq. (23), if `accepted`."""
        violation = (seen.mi - seen.epsilon).to(self.state.dtype)
        self.move(functional.multiplier_step(self.state, violation, self.mu), accepted)

    def extra_repr(self) -> str:
        return f"mu={self.mu}, value={self.number()}"


class LogMultiplier(Controller):
    r"""Creates a multiplier λ, the price of a leaked nat in the task loss, with logarithmic steps.

    .. math:: \log \lambda \leftarrow \log \lambda
        + \eta \, \mathrm{clip}(\hat{I} / \epsilon - 1, -1, 1)

    .. math:: \hat{I} = \max \big( I_T, \; 2 I_{T'} - \max(0, I_T) \big)

    :math:`\hat{I}` is the greater of the moving average of :math:`I_T` and of what critics would
    estimate with unlimited codes. A critic that learns from n codes per step misses about
    :math:`c / n` nats. T' learns from twice as many codes as T and misses half of what T misses, so
    that :math:`I_{T'} - I_T` is what T' still misses. Once :meth:`mireg.Regularizer.update` was
    given held-out codes, both averages are those on held-out codes, and :math:`\hat{I}` is at
    least :math:`I_{T'}` on training codes.

    The loss has the slope :math:`\lambda \hat{I}_b / \epsilon`, which is that of eq. (22) with
    :math:`\mu = \lambda / \epsilon` at :math:`\hat{I}_b`. This is :math:`\hat{I}` with the
    estimate of T for this batch instead of its average,
    :math:`\hat{I}_b = \hat{I} + I_T^{batch} - I_T`. Averages are late, and codes would oscillate
    around the target. Steps do not depend on the scale of the task loss.

    Arguments:
        rate: The rate :math:`\eta`. A change by a factor of 1,000 takes at least 350 steps.
        initial: The first value of :math:`\lambda`.

    Raises:
        ValueError: If the rate or the first value is not above 0.

    Example:
        >>> LogMultiplier(initial=0.5)
        LogMultiplier(rate=0.02, value=0.5)
    """

    LOWEST, HIGHEST = -12.0, 16.0
    """The limits of the logarithm."""
    possible = (LOWEST, HIGHEST)

    def __init__(self, rate: float = 0.02, initial: float = 1.0) -> None:
        log = math.log(check_number("the multiplier λ", initial, above=0))
        if not self.LOWEST <= log <= self.HIGHEST:
            low, high = math.exp(self.LOWEST), math.exp(self.HIGHEST)
            raise ValueError(
                f"the multiplier λ must be from {low:.2g} to {high:.2g}, got {initial:g}"
            )
        super().__init__(log)

        self.rate = check_number("the rate of λ", rate, above=0)

    @property
    def value(self) -> Tensor:
        return self.state[0].exp()

    def weight(self, dtype: torch.dtype) -> Tensor:
        return super().weight(dtype).exp()

    @staticmethod
    def excess(seen: Estimates) -> Tensor:
        r"""Returns :math:`\hat{I} / \epsilon`, a scalar."""
        mi, mi_shadow = seen.held_out or (seen.mi_average, seen.mi_shadow_average)
        # At most twice the estimate of T', however far below 0 that of T is.
        unlimited = 2 * mi_shadow - mi.clamp(min=0)
        highest = torch.maximum(torch.maximum(mi, unlimited), seen.mi_shadow_average)
        return in_targets(highest, seen.epsilon)

    def forward(self, mi: Tensor, seen: Estimates) -> Tensor:
        r"""Returns :math:`\lambda \hat{I}_b / \epsilon \, I_T`, in units of the task loss."""
        change = in_targets(seen.mi - seen.mi_average, seen.epsilon)
        slope = self.weight(mi.dtype) * (self.excess(seen) + change).clamp(0, 5).to(mi.dtype)
        return slope * mi

    @torch.no_grad()
    def update(self, seen: Estimates, accepted: Tensor | bool = True) -> None:
        """Takes a step, if `accepted`."""
        step = self.rate * (self.excess(seen) - 1).clamp(-1, 1)
        moved = (self.state + step.to(self.state.dtype)).clamp(self.LOWEST, self.HIGHEST)
        self.move(moved, accepted)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, value={self.number()}"


class FixedMultiplier(Controller):
    r"""Creates a constant multiplier λ; 0 for column a of Table 1 of Esser et al., 2019.

    Arguments:
        initial: The weight :math:`\lambda`.

    Raises:
        ValueError: If the weight is below 0.

    Example:
        >>> FixedMultiplier(0.5)
        FixedMultiplier(value=0.5)
    """

    possible = (0.0, math.inf)

    def __init__(self, initial: float) -> None:
        super().__init__(check_number("the multiplier λ", initial, least=0))

    def forward(self, mi: Tensor, seen: Estimates) -> Tensor:
        r"""Returns :math:`\lambda I_T`."""
        return self.weight(mi.dtype) * mi

    @torch.no_grad()
    def update(self, seen: Estimates, accepted: Tensor | bool = True) -> None:
        """Takes no step."""

    def extra_repr(self) -> str:
        return f"value={self.number()}"


class FixedGamma(Controller):
    r"""Creates a constant weight γ; 1 for column d of Table 1 of Esser et al., 2019.

    Arguments:
        initial: The weight :math:`\gamma`.

    Raises:
        ValueError: If the weight is below 0.

    Example:
        >>> FixedGamma(0.5)
        FixedGamma(value=0.5)
    """

    possible = (0.0, math.inf)

    def __init__(self, initial: float = 1.0) -> None:
        super().__init__(check_number("the weight γ", initial, least=0))

    def forward(self, multiplier: Tensor) -> Tensor:
        r"""Returns :math:`\gamma` for the multiplier :math:`\lambda`."""
        return self.weight(multiplier.dtype)

    def step(self, seen: Estimates) -> Tensor:
        """Returns the next state."""
        return self.state

    @torch.no_grad()
    def update(self, seen: Estimates, accepted: Tensor | bool = True) -> None:
        """Takes a step, if `accepted`."""
        self.move(self.step(seen), accepted)

    def extra_repr(self) -> str:
        return f"value={self.number()}"


class RobustGamma(FixedGamma):
    r"""Creates the weight γ of eq. (18), which rises if the shadow critic estimates more than T.

    Arguments:
        initial: The first value of :math:`\gamma`.
        rate: The rate :math:`l_\gamma`.
        bias: The bias :math:`b_\gamma` in nats; 0 for column c of Table 1.

    Raises:
        ValueError: If the first value or the rate is below 0, or a number is not finite.

    Example:
        >>> RobustGamma(rate=0.1)
        RobustGamma(rate=0.1, bias=0.01, value=1)
    """

    def __init__(self, initial: float = 1.0, rate: float = 0.01, bias: float = 0.01) -> None:
        super().__init__(initial)

        self.rate = check_number("the rate of γ", rate, least=0)
        self.bias = check_number("the bias of γ", bias)

    def step(self, seen: Estimates) -> Tensor:
        shadow, mi = (x.to(self.state.dtype) for x in (seen.mi_shadow_average, seen.mi_average))
        return functional.gamma_robust(self.state, shadow, mi, self.rate, self.bias)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, bias={self.bias}, {super().extra_repr()}"


class VariationalGamma(FixedGamma):
    r"""Creates the weight γ of eq. (24), which rises if :math:`I_{T'} > \epsilon` (column a).

    Arguments:
        initial: The first value of :math:`\gamma`.
        rate: The rate :math:`l_\gamma`.

    Raises:
        ValueError: If the first value or the rate is below 0.

    Example:
        >>> VariationalGamma(rate=0.1)
        VariationalGamma(rate=0.1, value=1)
    """

    def __init__(self, initial: float = 1.0, rate: float = 0.01) -> None:
        super().__init__(initial)

        self.rate = check_number("the rate of γ", rate, least=0)

    def step(self, seen: Estimates) -> Tensor:
        shadow = seen.mi_shadow_average.to(self.state.dtype)
        return functional.gamma_variational(self.state, shadow, seen.epsilon, self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, {super().extra_repr()}"


class RelativeGamma(Controller):
    r"""Creates a weight γ that is a fraction ρ of λ, moved by eq. (18) in units of ε.

    .. math:: \gamma &= \rho \lambda, \\
        \log \rho &\leftarrow \log \rho
        + l_\rho \, \mathrm{clip}((I_{T'} - I_T) / \epsilon - b_\rho, -0.3, 1)

    The fraction ρ starts at its upper limit. It falls slowly if T' finds little more than T, and
    rises fast otherwise. If ρ started low, codes could hide information at a scale that neither
    critic detects, and there would be no gap.

    It falls only if :math:`\hat{I}` of :class:`LogMultiplier` is between :math:`\epsilon / 2` and
    :math:`2 \epsilon`. While codes still change fast, the absence of a gap shows nothing.

    Arguments:
        initial: The first value of :math:`\rho`.
        rate: The rate :math:`l_\rho`; 0 for a constant fraction.
        bias: The bias :math:`b_\rho`, in units of :math:`\epsilon`. T' learns from twice as many
            codes as T and always estimates slightly more.

    Raises:
        ValueError: If the first value is not above 0, the rate is below 0, or a number is not
            finite.

    Example:
        >>> RelativeGamma(0.02)
        RelativeGamma(rate=0.01, bias=0.22, rho=0.02)
    """

    LOWEST, HIGHEST = math.log(3e-4), math.log(0.1)
    """The limits of the logarithm. A first value outside becomes a limit itself."""

    def __init__(self, initial: float = 0.1, rate: float = 0.01, bias: float = 0.22) -> None:
        log = math.log(check_number("the fraction ρ", initial, above=0))
        super().__init__(log)

        self.limits = min(log, self.LOWEST), max(log, self.HIGHEST)
        self.rate = check_number("the rate of ρ", rate, least=0)
        self.bias = check_number("the bias of ρ", bias)

    @property
    def value(self) -> Tensor:
        return self.state[0].exp()

    def forward(self, multiplier: Tensor) -> Tensor:
        r"""Returns :math:`\gamma` for the multiplier :math:`\lambda`."""
        return self.weight(multiplier.dtype).exp() * multiplier

    def stays_high(self, gap: float, epsilon: float) -> bool:
        r"""Returns whether a gap in nats keeps :math:`\rho` at half of its upper limit or more."""
        high = float(self.state) >= self.limits[1] - math.log(2)
        return high and self.rate > 0 and gap > self.bias * max(epsilon, LEAST)

    @torch.no_grad()
    def update(self, seen: Estimates, accepted: Tensor | bool = True) -> None:
        """Takes a step, if `accepted`."""
        if not self.rate:
            return
        gap = in_targets(seen.mi_shadow_average - seen.mi_average, seen.epsilon)
        step = (gap - self.bias).clamp(-0.3, 1)
        excess = LogMultiplier.excess(seen)
        moves = (step > 0) | ((excess > 0.5) & (excess < 2))
        step = self.rate * torch.where(moves, step, 0)
        self.move((self.state + step.to(self.state.dtype)).clamp(*self.limits), accepted)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, bias={self.bias}, rho={self.number()}"
