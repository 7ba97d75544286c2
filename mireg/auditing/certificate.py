r"""What held-out logits prove: a lower bound on :math:`I(\pi, \alpha)` that holds with a stated confidence."""

__all__ = [
    "Logits",
    "best_clip",
    "bernstein_bound",
    "ceiling",
    "certified_bound",
    "count_units",
    "unit_values",
]

import math

import torch
from torch import Tensor

Logits = tuple[Tensor, Tensor, Tensor]
"""Joint logits, swapped logits and groups of some samples."""


def count_units(blocks: list[Logits]) -> int:
    """Gives the number of independent values that :func:`unit_values` makes of all blocks: pairs of groups."""
    return sum(len(groups.unique_consecutive()) // 2 for _, _, groups in blocks)


def unit_values(joint: Tensor, swapped: Tensor, groups: Tensor, clip: float) -> Tensor:
    r"""Gives independent values whose mean is the bound of Nguyen, Wainwright and Jordan (2010).

    .. math:: I(\pi, \alpha) \geq \mathbb{E}_{p(\pi, \alpha)} T - \mathbb{E}_{p(\pi) p(\alpha)} e^T + 1

    Each value comes from two groups: their joint pairs, and those that samples of one make with samples of the other.

    Arguments:
        joint: The logits of joint pairs, with shape (N,).
        swapped: The logits of each sample with its partner in the other group of its pair, with shape (N,).
        groups: The groups, with shape (N,), those of one group neighbours.
        clip: The logits are clipped to [-clip, clip]: a clipped critic is a critic.

    Returns:
        The values, with shape (G // 2,), between :math:`1 - c - e^c` and :math:`1 + c`.
    """
    _, group, sizes = groups.unique_consecutive(return_inverse=True, return_counts=True)
    values = joint.double().clamp(-clip, clip) - swapped.double().clamp(-clip, clip).exp() + 1
    sums = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, group, values)
    means: Tensor = sums / sizes
    pairs = len(sizes) // 2
    return means[: 2 * pairs].view(pairs, 2).mean(1)


def bernstein_bound(
    values: Tensor, width: float, confidence: float, count: int | None = None
) -> float:
    r"""The empirical Bernstein bound of Maurer and Pontil (2009) on a mean, from below.

    .. math:: \bar{v} - \sqrt{\frac{2 s^2 \ln(2 / \delta)}{m}} - \frac{7 w \ln(2 / \delta)}{3 (m - 1)}

    Arguments:
        values: Independent values, with shape (m,).
        width: The width :math:`w` of an interval that holds them all.
        confidence: The confidence :math:`1 - \delta`.
        count: The number of values to promise a bound for, if these are a sample of them; their own number by default.
    """
    m = len(values) if count is None else count
    log = math.log(2 / (1 - confidence))
    spread = math.sqrt(2 * float(values.var()) * log / m)
    return float(values.mean()) - spread - 7 * width * log / (3 * (m - 1))


def _width(clip: float) -> float:
    return 2 * clip + math.exp(clip)


def best_clip(stop: list[Logits], units: int, confidence: float) -> float:
    """Finds the clip that promises the highest bound, on samples that the bound is not made of.

    Arguments:
        stop: Joint logits, swapped logits and groups of the stopping samples of each fold.
        units: The number of values that the bound will be made of.
        confidence: The confidence.
    """

    def promise(clip: float) -> float:
        values = torch.cat([unit_values(*fold, clip) for fold in stop])
        return bernstein_bound(values, _width(clip), confidence, units)

    clips: list[float] = torch.linspace(0.25, ceiling(units), 24).tolist()
    return max(clips, key=promise)


def ceiling(units: int) -> float:
    """Gives about the most that so many independent values can prove, half the logarithm of their number, in nats."""
    return math.log(units) / 2


def certified_bound(blocks: list[Logits], stop: list[Logits], confidence: float) -> float:
    r"""Gives a lower bound on :math:`I(\pi, \alpha)` that holds with a confidence, at least 0, in nats.

    The critic of a fold is fixed on other data. As always where folds are crossed, the values of different folds are counted as
    independent.

    Arguments:
        blocks: Joint logits, swapped logits and groups of held-out samples.
        stop: The same of the samples that told critics when to stop.
        confidence: The confidence.
    """
    clip = best_clip(stop, count_units(blocks), confidence)
    values = torch.cat([unit_values(*block, clip) for block in blocks])
    return max(0.0, bernstein_bound(values, _width(clip), confidence))
