r"""Standardisation of codes, so that no estimate depends on the unit of a code."""

__all__ = ["Standardization"]

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ._checks import Shape, as_shape, check_number
from ._numerics import full_precision
from .averages import Controller
from .ranks import Ranks

FLAT = 1e-6
"""A feature whose variance is smaller by this factor, or whose deviation relative to its mean is,
is taken for constant in a batch: it is 0 and gets no gradient."""

OUTLIER = 3.0
"""The number of standard deviations beyond which distances are logarithmic."""


class Unit(NamedTuple):
    """The mean and standard deviation by which codes are standardised."""

    centre: Tensor
    """The mean."""
    scale: Tensor
    """The standard deviation."""
    observed: Tensor
    """The moments of the batch, a vector."""

    def __call__(self, x: Tensor) -> Tensor:
        """Returns `x` standardised. The distances of outliers are logarithmic."""
        return logarithmic((full_precision(x) - self.centre) / self.scale)


def logarithmic(x: Tensor) -> Tensor:
    """Returns standardised values, beyond 3 deviations with logarithmic distances.

    Example:
        >>> logarithmic(torch.tensor([-2.0, 4.0]))
        tensor([-2.0000,  3.6931])
    """
    beyond = (x.abs() - OUTLIER).relu()
    return x.clamp(-OUTLIER, OUTLIER) + x.sign() * beyond.log1p()


def channels_at(shape: tuple[int, ...]) -> int:
    """Returns the dimension of channels or features in a batch of codes of a shape.

    Example:
        >>> channels_at((64, 8, 8)), channels_at((10, 64)), channels_at((64,))
        (1, 2, 1)
    """
    return 1 if len(shape) >= 3 else len(shape)


class Standardization(nn.Module):
    r"""Creates a layer that standardises codes by their running mean and standard deviation.

    Moments are per channel for maps :math:`(C, H, W)` and volumes :math:`(C, D, H, W)`, and per
    feature for token sequences :math:`(L, C)`. :meth:`measure` changes no state: it returns the
    moments of a batch, by which :meth:`update` moves the running ones. Before the first update, the
    moments of the batch are used.

    The distance of a value to the mean is logarithmic beyond 3 standard deviations. No information
    is lost. Without this, one large income in a batch has logits that outweigh all other pairs, and
    its gradient would ruin the encoder.

    Arguments:
        features: The number of features of a code, or its shape.
        decay: The decay of the running moments.

    Example:
        >>> dollars = 50_000 + 30_000 * torch.randn(1000, 1)
        >>> x = Standardization(1)(dollars)
        >>> bool(x.mean().abs() < 0.01), bool((x.std() - 1).abs() < 0.01)
        (True, True)
    """

    def __init__(self, features: Shape, decay: float = 0.99) -> None:
        super().__init__()

        shape = as_shape(features)
        # The dimension of channels of x, and all other dimensions.
        self.at = channels_at(shape)
        self.channels = shape[self.at - 1]
        self.others = [i for i in range(len(shape) + 1) if i != self.at]
        self.view = [self.channels if i == self.at else 1 for i in range(len(shape) + 1)]
        self.decay = check_number("the decay of running moments", decay, least=0)
        # The weight of the average, then mean and variance multiplied by it.
        self.moments = Controller(*[0.0] * (1 + 2 * self.channels))

    def measure(self, x: Tensor, ranks: Ranks, counted: Tensor | None = None) -> "Unit":
        r"""
        Arguments:
            x: The codes of a batch, with shape :math:`(N, *)`.
            ranks: The ranks that share the batch.
            counted: Which codes count, with shape :math:`(N,)`; all by default.

        Returns:
            The map to zero mean and unit variance, with the moments of the batch.
        """
        seen = full_precision(x.detach())
        share: Tensor | float = 1.0
        if counted is not None:
            share = ranks.average(counted.to(seen.dtype).mean()).clamp(min=1e-12)

        def mean_of(x: Tensor) -> Tensor:
            if counted is not None:
                x = torch.where(counted.view(-1, *[1] * (x.ndim - 1)), x, 0)
            return ranks.average(x.mean(self.others)) / share

        weight, mean, variance = self.moments.state.to(seen.dtype).split(
            (1, self.channels, self.channels)
        )
        known = weight > 0
        total = torch.where(known, weight, 1)
        batch_mean = mean_of(seen)
        centre = torch.where(known, mean / total, batch_mean)
        # Deviations from the running mean, since those from 0 lose small variances of large
        # numbers.
        squares = mean_of((seen - centre.view(self.view)).square())
        variance = torch.where(known, variance / total, squares)
        resolved = (FLAT * centre).square()
        scale = torch.maximum(variance, resolved).sqrt().clamp(min=1e-12)
        # A tiny scale would be a huge gradient for a feature that reveals nothing.
        flat = squares <= torch.maximum(FLAT * variance, resolved)
        scale = torch.where(flat, torch.inf, scale)
        observed = torch.cat((batch_mean, squares))
        if isinstance(share, Tensor):
            # No counted codes have no moments, and NaN moves no average.
            observed = torch.where(share > 1e-12, observed, torch.nan)
        return Unit(centre.view(self.view), scale.view(self.view), observed)

    def forward(self, x: Tensor, ranks: Ranks | None = None) -> Tensor:
        """Returns the codes `x` with zero mean and unit variance."""
        return self.measure(x, ranks or Ranks())(x)

    def constant(self) -> bool:
        """Returns whether no feature has varied. Waits for the device."""
        weight, mean, variance = self.moments.state.split((1, self.channels, self.channels))
        return bool(
            (weight > 0) & (variance <= 1e-12 * mean.square() / weight.clamp(min=1e-12)).all()
        )

    @torch.no_grad()
    def update(self, observed: Tensor, accepted: Tensor | bool = True) -> None:
        """Moves the running moments by those of a batch, if these are finite and `accepted`."""
        state = self.moments.state
        seen = torch.cat((torch.ones_like(observed[:1]), observed)).to(state.dtype)
        finite = seen.isfinite().all() & torch.as_tensor(accepted, device=state.device)
        self.moments.move(state.lerp(seen, 1 - self.decay), finite)

    def extra_repr(self) -> str:
        return f"{self.channels}, decay={self.decay}"
