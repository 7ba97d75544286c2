r"""Products of coordinates that are chosen for their correlation with :math:`\alpha`."""

__all__ = ["Products", "screen"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._components import whitening

CLIP = 3.0
"""Coordinates are clipped to this number before they are multiplied."""

BY_CHANCE = 0.1
"""How many products are chosen on average if the codes are independent."""

MOST_CHOSEN = 32
"""The most products of a fold."""

MOST_SUMMED = 2_000_000_000
"""The most products of numbers in a screening, which limits its samples."""

FEWEST_ROWS = 1000
"""The fewest samples of a screening, unless there are fewer."""


class Products(nn.Module):
    r"""Creates the map of codes (F, N, D) to products of pairs of coordinates and their signs.

    The result has shape (F, N, 2 P). Pairs are rows of two indices into the coordinates and a
    constant: index 0 is the constant 1, so a pair can be a coordinate alone, or its square. Folds
    with fewer pairs get constant products.

    Arguments:
        pairs: The pairs of each fold, with shape (P, 2).
    """

    first: Tensor
    second: Tensor

    def __init__(self, pairs: list[Tensor]) -> None:
        super().__init__()

        most = max(map(len, pairs))
        padded = torch.stack([F.pad(part, (0, 0, 0, most - len(part))) for part in pairs])
        self.register_buffer("first", padded[..., 0])
        self.register_buffer("second", padded[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.of_fold(k, codes) for k, codes in enumerate(x)])

    def of_fold(self, k: int, x: Tensor) -> Tensor:
        """Returns the products and signs of fold k for codes (N, D), with shape (N, 2 P)."""
        x = _with_constant(x)
        products = x[:, self.first[k]] * x[:, self.second[k]]
        return torch.cat((products, products.sign()), dim=1)


def screen(x: Tensor, targets: Tensor) -> Tensor:
    r"""Returns the pairs of coordinates whose products are correlated with targets, (P, 2).

    .. math:: s_{ij} = n \sum_k \frac{\mathrm{Cov}(x_i x_j, t_k)^2}{\mathrm{Var}(x_i x_j)}

    with uncorrelated targets :math:`t_k` of unit variance. For independent samples and without
    dependence, :math:`s_{ij}` has a :math:`\chi^2` distribution. A product is chosen if its score
    is so high that 0.1 products are expected by chance. Thus a dependence on one product among many
    is found in few samples, where a regression on all of them would overfit. Indices are those of
    :class:`Products`. Nothing is chosen if there are too many products for a screening.

    References:
        | Sure independence screening for ultrahigh dimensional feature space (Fan and Lv, 2008)

    Arguments:
        x: Training codes, with shape (N, D).
        targets: The functions of :math:`\alpha`, with shape (N, K).
    """
    cost = targets.shape[1] * max((x.shape[1] + 1) ** 2, targets.shape[1])
    n = min(len(x), MOST_SUMMED // cost)
    if n < max(2, min(len(x), FEWEST_ROWS)):
        return torch.zeros(0, 2, dtype=torch.int64)
    x, t = _with_constant(x[:n]).double(), targets[:n].double()
    t = t - t.mean(0)
    t = t @ whitening(t)
    mean = x.T @ x / n
    variance = x.square().T @ x.square() / n - mean.square()
    score = torch.zeros_like(mean)
    for of_target in t.T:
        score += ((x * of_target[:, None]).T @ x / n).square()
    score = torch.where(variance > 1e-6, n * score / variance.clamp(min=1e-6), 0)
    pairs = torch.triu_indices(*mean.shape)
    scores = score[pairs[0], pairs[1]]
    least = _chi_squared(t.shape[1], BY_CHANCE / len(scores))
    best = scores.topk(min(MOST_CHOSEN, len(scores)))
    chosen: Tensor = pairs.T[best.indices[best.values > least]]
    return chosen


def _with_constant(x: Tensor) -> Tensor:
    return F.pad(x.clamp(-CLIP, CLIP), (1, 0), value=1.0)


def _chi_squared(freedom: int, tail: float) -> float:
    """Returns the quantile of the upper tail, by Wilson and Hilferty's approximation."""
    z = -float(torch.special.ndtri(torch.tensor(tail, dtype=torch.float64)))
    spread = 2 / (9 * max(1, freedom))
    quantile: float = max(1, freedom) * (1 - spread + z * math.sqrt(spread)) ** 3
    return quantile
