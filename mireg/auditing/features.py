r"""How codes are shown to critics: scaled, or as normal scores, which no monotone transformation of a coordinate changes.

Everything is fitted on training samples alone. A function of :math:`\pi` holds no more information than :math:`\pi`, so that no choice here can raise what
an audit finds above the truth.
"""

__all__ = ["PREPROCESSING", "NormalScores", "Preprocessing", "Standardize", "with_radius"]

import math
from collections.abc import Callable

import torch
from torch import Tensor

LIMIT = 8.0
"""Values further out than so many standard deviations are brought back: one outlier must not drown the rest."""


class Standardize:
    """Creates the map that centres and scales each coordinate.

    Arguments:
        x: The training samples, with shape (N, D).
    """

    def __init__(self, x: Tensor) -> None:
        self.mean = x.double().mean(0)
        # A coordinate that is constant in one fold stays at 0 there.
        self.scale = x.double().std(0).clamp(min=1e-12 + 1e-6 * self.mean.abs())

    def __call__(self, x: Tensor) -> Tensor:
        return ((x.double() - self.mean) / self.scale).clamp(-LIMIT, LIMIT).float()


class NormalScores:
    r"""Creates the map of each coordinate to the normal quantile of its rank.

    .. math:: x \mapsto \Phi^{-1}((r(x) + 1/2) / (n + 1))

    Ties take the middle of their ranks, and values between two of the training samples are interpolated.

    Arguments:
        x: The training samples, with shape (N, D).
        knots: The most quantiles to keep of each coordinate.
    """

    def __init__(self, x: Tensor, knots: int = 20_000) -> None:
        values = x.double().T.sort(dim=1).values
        n = values.shape[1]
        if n > knots:
            values = values[:, torch.linspace(0, n - 1, knots).round().long()]
        self.values = values.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        values, n = self.values, self.values.shape[1]
        x = x.double().T.contiguous()
        left = torch.searchsorted(values, x)
        right = torch.searchsorted(values, x, right=True)
        # Between two neighbours the rank grows linearly; among equals it is the middle one.
        low = values.gather(1, (left - 1).clamp(0, n - 1))
        high = values.gather(1, left.clamp(0, n - 1))
        between = ((x - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        rank = torch.where(right > left, (left + right) / 2, left - 0.5 + between)
        rank = torch.where((left == 0) & (right == 0), 0.25, rank)
        rank = torch.where(left == n, n - 0.25, rank)
        return (math.sqrt(2) * torch.erfinv(2 * rank / n - 1)).T.float()


Preprocessing = Callable[[Tensor], Tensor]

PREPROCESSING: dict[str, Callable[[Tensor], Preprocessing]] = {
    "standard": Standardize,
    "scores": NormalScores,
}
"""The preprocessings by name."""


def with_radius(x: Tensor) -> Tensor:
    r"""Adds the logarithm of the length of a code: heavy tails and rotations depend on it, and networks are slow to find it.

    Arguments:
        x: Preprocessed codes, with shape (N, D).

    Returns:
        The codes with one more coordinate where D > 1, with shape (N, D + 1).
    """
    if x.shape[1] == 1:
        return x
    return torch.cat((x, x.square().mean(1, keepdim=True).add(1e-6).log()), dim=1)
