r"""Lower bounds on a mean by betting against it: what a gambler wins on bounded values is proof that their mean is greater."""

__all__ = ["MOST_UNITS", "betting_bound", "block_means", "log_wealth", "promise"]

import math
from collections.abc import Callable

import torch
from torch import Tensor

MOST_UNITS = 4096
"""More values than these are averaged in blocks first: so many prove as much, and cost less."""

SPREAD = (0.25, 0.5, 1.0, 2.0)
"""The bets, as multiples of the one that is best for a mean and a variance that were guessed on other data. The wealth is shared between them."""


def log_wealth(values: Tensor, mean: float, bets: Tensor) -> Tensor:
    r"""Gives the logarithm of what bets win: :math:`\log \prod_i (1 + \lambda (v_i - m))`.

    If the true mean is at most m, the product is at least :math:`1 / \delta` with a probability of no more than :math:`\delta` (Ville, 1939).

    References:
        | Estimating Means of Bounded Random Variables by Betting (Waudby-Smith and Ramdas, 2024)
        | https://arxiv.org/abs/2010.09686

    Arguments:
        values: Independent values, with shape (..., m).
        mean: The mean :math:`m` to bet against.
        bets: The bets :math:`\lambda`, with shape (B,), below the reciprocal of the mean less the least value.

    Returns:
        The logarithms, with shape (B, ...).
    """
    return torch.stack([(bet * (values - mean)).log1p().sum(-1) for bet in bets])


def promise(mean: float, variance: float, least: float, units: int, confidence: float) -> float:
    """Gives about the bound that so many values with this mean and variance will give, for choosing on data that the bound is not made of."""
    log = math.log(1 / (1 - confidence)) / units
    return mean - math.sqrt(2 * variance * log) - (mean - least) * log / 3


def best_bets(variance: float, units: int, confidence: float) -> Tensor:
    """Gives the bets to share the wealth between, for values with this variance, with shape (B,)."""
    best = math.sqrt(2 * math.log(1 / (1 - confidence)) / (units * max(variance, 1e-6)))
    return best * torch.tensor(SPREAD, dtype=torch.float64)


def betting_bound(
    wealth: Callable[[float, Tensor], Tensor],
    bets: Tensor,
    least: float,
    most: float,
    confidence: float,
    boldest: float = 0.95,
) -> float:
    r"""Gives the greatest mean that the wealth proves to be too low, with a confidence.

    Arguments:
        wealth: Gives the logarithm of the wealth of each bet against a mean, with shape (B,), falling in the mean.
        bets: The bets, with shape (B,); lowered where a value could ruin them.
        least: What no value is below.
        most: What the mean is below, if only of the sample.
        confidence: The confidence :math:`1 - \delta`.
        boldest: The share of the wealth that a bet can lose at most.

    Returns:
        The bound, `least` if nothing is proved.
    """
    wanted = math.log(1 / (1 - confidence))
    low, high = least, most
    for _ in range(25):
        middle = (low + high) / 2
        safe = bets.clamp(max=boldest / max(middle - least, 1e-9))
        won = float(wealth(middle, safe).logsumexp(0)) - math.log(len(bets))
        low, high = (middle, high) if won >= wanted else (low, middle)
    return low


def block_means(values: Tensor) -> Tensor:
    """Gives means of blocks of equal size, with shape (B, *), of values with shape (m, *); at most a block less one is left out."""
    size = max(1, len(values) // MOST_UNITS)
    blocks = len(values) // size
    in_blocks: Tensor = values[: size * blocks].unflatten(0, (blocks, size))
    return in_blocks.mean(1)
