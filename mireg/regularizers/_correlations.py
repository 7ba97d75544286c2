r"""Correlations of remembered codes: what critics may miss, without a critic."""

__all__ = ["Shared", "correlations"]

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .._components import first_of_groups, principal, products
from ..scaling import logarithmic

BLOCK = 256
"""The number of consecutive codes that are paired. Samples of a data set rarely repeat in them."""

FEWEST_BLOCKS = 8
"""The fewest blocks, which determine the error."""

FEWEST_SAMPLES = 1000
"""The number of different samples that the remembered codes may come from, for the error."""

COORDINATES = 512
"""The most coordinates of a code that are compared."""

COMPONENTS, MULTIPLIED = 32, 16
"""The most principal components, and the most of them whose products are compared."""

ERRORS = 2.0
"""The number of standard errors below the estimate at which it counts."""


class Shared(NamedTuple):
    """What correlations amount to.

    Example:
        >>> round(Shared(nats=0.5, error=0.1).lowest, 2)
        0.3
    """

    nats: float
    """The information in nats, if components are nearly Gaussian."""
    error: float
    """Its standard error."""

    @property
    def lowest(self) -> float:
        """What correlations amount to at least, in nats."""
        return self.nats - ERRORS * self.error


def correlations(
    pi: Tensor, alpha: Tensor, groups: Tensor, multiplied: int = MULTIPLIED
) -> Shared | None:
    r"""Returns what correlations of consecutive codes amount to, or `None` for too few codes.

    .. math:: \hat{I} = \frac{1}{2} \sum_i r_i^2

    The sum of squared correlations :math:`r_i` of whitened components is estimated without bias,
    from pairs of samples of one block. Samples that the memory holds several times, and codes that
    move between blocks, then add nothing. Components are the principal ones. Products of two are
    also compared, and count if they show more. With labels, they show up to six times too much.

    References:
        | Feature Selection via Dependence Maximization (Song et al., 2012), for the estimate

    Arguments:
        pi: Consecutive codes, with shape (N, D).
        alpha: Their partners, with shape (N, E).
        groups: Their groups, with shape (N,). One sample of each group in a block is used.
        multiplied: The most principal components whose products are compared; 0 for none.

    Example:
        >>> x = torch.randn(4096, 3)
        >>> found = correlations(x, x + 3 * torch.randn(4096, 3), torch.arange(4096))
        >>> found.lowest > 0.05
        True
    """
    count = len(pi) // BLOCK
    if count < FEWEST_BLOCKS or not (pi.isfinite().all() and alpha.isfinite().all()):
        return None
    rows = slice(len(pi) - count * BLOCK, None)
    blocks = groups[rows].unflatten(0, (count, BLOCK))
    chosen = [first_of_groups(block) for block in blocks]
    if min(map(len, chosen)) < BLOCK // 8:
        return None
    sides = [_features(x[rows].flatten(1), count, multiplied) for x in (pi, alpha)]
    found = [_of_blocks(u, v, chosen) for u in sides[0] for v in sides[1]]
    return max(found, default=None, key=lambda each: each.lowest)


def _features(x: Tensor, count: int, multiplied: int) -> list[Tensor]:
    """Returns principal components, and with products of two, with shape (blocks, B, P)."""
    d = x.shape[1]
    if d > COORDINATES:
        generator = torch.Generator().manual_seed(0)
        x = x[:, torch.randperm(d, generator=generator)[:COORDINATES].to(x.device)]
    x = _centred(x.double(), count)
    x = logarithmic(x / x.std(0).clamp(min=1e-12))
    parts = principal(_centred(x, count), COMPONENTS)
    found = [parts] if parts.shape[1] else []
    if found and multiplied:
        more = _centred(products(parts[:, -multiplied:]), count)
        found.append(principal(torch.cat((parts, more), dim=1), len(parts)))
    return [each.unflatten(0, (count, BLOCK)) for each in found]


def _centred(x: Tensor, count: int) -> Tensor:
    """Returns values less the mean of their block, since codes move between blocks."""
    blocks: Tensor = x.unflatten(0, (count, BLOCK))
    return torch.sub(blocks, blocks.mean(1, keepdim=True)).flatten(0, 1)


def _of_blocks(u: Tensor, v: Tensor, chosen: list[Tensor]) -> Shared:
    """Returns the sum over all blocks, with the larger of its theoretical and observed error."""
    totals, pairs = [], 0
    for x, y, rows in zip(u, v, chosen, strict=True):
        n = len(rows)
        k, m = (z[rows] @ z[rows].T for z in (x, y))
        k.fill_diagonal_(0)
        m.fill_diagonal_(0)
        apart = (k.sum() * m.sum() / (n - 1) - 2 * (k.sum(0) @ m.sum(0))) / (n - 2)
        totals.append((k * m).sum() + apart)
        pairs += n * (n - 3)
    each = torch.stack(totals) / pairs / 2
    theoretical = math.sqrt(2 * u.shape[-1] * v.shape[-1] / min(pairs, FEWEST_SAMPLES**2)) / 2
    observed = float(each.std()) * math.sqrt(len(each))
    return Shared(float(each.sum()), max(theoretical, observed))
