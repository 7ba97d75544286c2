r"""The preprocessing of codes, as scaled codes or as normal scores.

Normal scores do not change under monotone transformations of a coordinate. Everything is fitted on
training samples only. A function of :math:`\pi` contains no more information than :math:`\pi`, so
no choice here can raise the information above the truth.
"""

__all__ = [
    "PREPROCESSING",
    "NormalScores",
    "Preprocessing",
    "Squares",
    "Standardize",
    "Whitened",
    "with_radius",
]

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._components import whitening

LIMIT = 8.0
"""Values are clipped to this number of standard deviations, so that no outlier dominates."""


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

    Ties get the middle of their ranks. Values between two training samples are interpolated.

    Arguments:
        x: The training samples, with shape (N, D).
        knots: The most quantiles to store for each coordinate.
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
    r"""Returns codes with the logarithm of their length as a further coordinate, if D is above 1.

    Heavy tails and rotations depend on the length, which networks learn slowly.

    Arguments:
        x: Preprocessed codes, with shape (N, D).
    """
    if x.shape[1] == 1:
        return x
    return torch.cat((x, x.square().mean(1, keepdim=True).add(1e-6).log()), dim=1)


class Whitened(nn.Module):
    """Creates the map of codes (F, N, D) to uncorrelated coordinates of unit variance.

    What a direction of little variance reveals is then as easy to find as all else.

    Arguments:
        codes: The training codes of each fold, with shape (N, D).
    """

    mean: Tensor
    whiten: Tensor

    def __init__(self, codes: list[Tensor]) -> None:
        super().__init__()

        exact = [x.double() for x in codes]
        maps = [whitening(x - x.mean(0)) for x in exact]
        most = max(part.shape[1] for part in maps)
        self.register_buffer("mean", torch.stack([x.mean(0) for x in exact]))
        padded = [F.pad(part, (0, most - part.shape[1])) for part in maps]
        self.register_buffer("whiten", torch.stack(padded))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.of_fold(k, codes) for k, codes in enumerate(x)])

    def of_fold(self, k: int, x: Tensor) -> Tensor:
        """Returns the coordinates of fold k for codes (N, D), with shape (N, R)."""
        return ((x.double() - self.mean[k]) @ self.whiten[k]).clamp(-LIMIT, LIMIT).float()


class Squares(nn.Module):
    r"""Creates the map of codes (\*, D) to (\*, 2 D): with squares, at most 9, as coordinates.

    If :math:`\alpha` changes only the spread of a code, as a posterior can show it, linear critics
    of these coordinates find the dependence in far fewer samples than networks need.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, x.square().clamp(max=9)), dim=-1)
