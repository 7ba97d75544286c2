r"""Lower bounds on the mean of bounded values, by betting against smaller means."""

__all__ = ["MOST_UNITS", "betting_bound", "block_means", "log_wealth", "promise"]

import math
from collections.abc import Callable

import torch
from torch import Tensor

MOST_UNITS = 4096
"""More values than this are averaged in blocks first: the bound is as tight, and costs less."""

SPREAD = (0.25, 0.5, 1.0, 2.0)
"""The bets, as multiples of the best bet for other data. Each gets an equal part of the wealth."""


def log_wealth(values: Tensor, mean: float, bets: Tensor) -> Tensor:
    r"""Returns the logarithm of the wealth that bets reach:
    :math:`\log \prod_i (1 + \lambda (v_i - m))`.

    If the true mean is at most m, the product is at least :math:`1 / \delta` with a probability of
    no more than :math:`\delta` (Ville, 1939).

    References:
        | Estimating Means of Bounded Random Variables by Betting (Waudby-Smith and Ramdas, 2024)
        | https://arxiv.org/abs/2010.09686

    Arguments:
        values: Independent values, with shape (..., m).
        mean: The mean :math:`m` to bet against.
        bets: The bets :math:`\lambda`, with shape (B,), below the reciprocal of the mean minus the
            least value.

    Returns:
        The logarithms, with shape (B, ...).
    """
    return torch.stack([(bet * (values - mean)).log1p().sum(-1) for bet in bets])


def promise(mean: float, variance: float, least: float, units: int, confidence: float) -> float:
    """Returns the approximate bound for a mean and a variance, to choose settings on other data."""
    log = math.log(1 / (1 - confidence)) / units
    return mean - math.sqrt(2 * variance * log) - (mean - least) * log / 3


def best_bets(variance: float, units: int, confidence: float) -> Tensor:
    """Returns bets for values with this variance, with shape (B,)."""
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
    r"""Returns the greatest refuted mean, which is a lower bound on the true mean.

    Arguments:
        wealth: Returns the logarithm of the wealth of each bet against a mean, with shape (B,). It
            must decrease with the mean.
        bets: The bets, with shape (B,). A bet that one value could ruin is lowered.
        least: A lower limit of the values.
        most: An upper limit of the bound, such as the sample mean.
        confidence: The confidence :math:`1 - \delta`.
        boldest: The largest share of the wealth that one value may lose.

    Returns:
        The bound; `least` if no mean is refuted.
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
    """Returns the means of equal blocks of values, with shape (B, *); a rest is dropped."""
    size = max(1, len(values) // MOST_UNITS)
    blocks = len(values) // size
    in_blocks: Tensor = values[: size * blocks].unflatten(0, (blocks, size))
    return in_blocks.mean(1)
