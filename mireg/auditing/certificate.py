r"""Certified lower bounds on :math:`I(\pi, \alpha)` from held-out logits.

The critic of a fold is fixed on other data. As usual in cross-fitting, values of different folds
are counted as independent.
"""

__all__ = [
    "Block",
    "ceiling",
    "code_bound",
    "count_units",
    "group_means",
    "label_bound",
    "pair_values",
]

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..concentration import kl_limits
from .betting import best_bets, betting_bound, block_means, log_wealth, promise

MATCHINGS = 100
"""The number of ways to pair groups, if enough pairs of groups were evaluated."""

FLOORS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""The candidate shares of the prior in a mixture with the classifier, which bounds log scores."""

LABEL_SHARE = 0.1
"""The share of the error probability that is spent on the label frequencies."""

Stop = list[tuple[Tensor, Tensor, Tensor]]
"""Joint logits, swapped logits and groups of the stopping samples of each fold, shape (N,)."""


class Block(NamedTuple):
    """Logits of one critic for held-out samples. Samples of one group are neighbours."""

    joint: Tensor
    """The logits of joint pairs, with shape (N,)."""
    swapped: Tensor
    """The logits of each sample with a partner in the other group of a pair, with shape (N,)."""
    groups: Tensor
    """The groups, with shape (N,)."""
    marginal: Tensor | None = None
    """The logits of more marginal pairs, with shape (S, N)."""
    partners: Tensor | None = None
    """The partner of each sample in `marginal`, as an index of the block, with shape (S, N)."""


def count_units(blocks: list[Block]) -> int:
    """Returns the number of independent values: disjoint pairs of groups."""
    return sum(len(block.groups.unique_consecutive()) // 2 for block in blocks)


def ceiling(units: int) -> float:
    """Returns about the largest bound in nats that this many independent values can prove."""
    return math.log(units) / 2


def group_means(values: Tensor, groups: Tensor) -> Tensor:
    """Returns the mean of each group, with shape (G, *). Samples of one group are neighbours."""
    _, group, sizes = groups.unique_consecutive(return_inverse=True, return_counts=True)
    sums = values.new_zeros(len(sizes), *values.shape[1:]).index_add(0, group, values)
    means: Tensor = sums / sizes.view(-1, *[1] * (values.ndim - 1))
    return means


# --- codes ------------------------------------------------------------------


def pair_values(block: Block, clip: tuple[float, float], seed: int = 0) -> Tensor:
    r"""Returns independent values whose mean is the bound of Nguyen, Wainwright and Jordan (2010).

    .. math:: I(\pi, \alpha) \geq \mathbb{E}_{p(\pi, \alpha)} T
        - \mathbb{E}_{p(\pi) p(\alpha)} e^T + 1

    Each value comes from two groups: from their joint pairs, and from pairs of one sample of each.
    There are several ways to pair groups.

    Arguments:
        block: The logits.
        clip: The limits :math:`a < 0 < b` to which logits are clipped. A clipped critic is a valid
            critic.
        seed: The seed of the ways to pair groups.

    Returns:
        The values, with shape (J, G // 2), not below :math:`1 + a - e^b`. J is 1 if few pairs of
        groups were evaluated.
    """
    joint = group_means(block.joint.double().clamp(*clip), block.groups) + 1
    count = len(joint) // 2
    swapped = block.swapped.double().clamp(*clip).exp()
    alone = (joint - group_means(swapped, block.groups))[: 2 * count].view(1, count, 2).mean(2)
    marginal = _of_pairs_of_groups(block, clip, len(joint))
    if marginal is None:
        return alone
    generator = torch.Generator().manual_seed(seed)
    ways = torch.rand(20 * MATCHINGS, len(joint), generator=generator).argsort(1)
    first, second = ways[:, : 2 * count].view(-1, count, 2).unbind(2)
    judged = marginal[first, second].isfinite().all(1)
    if not bool(judged.any()):
        return alone
    first, second = first[judged][:MATCHINGS], second[judged][:MATCHINGS]
    return (joint[first] + joint[second]) / 2 - marginal[first, second]


def _of_pairs_of_groups(block: Block, clip: tuple[float, float], count: int) -> Tensor | None:
    """Returns the mean of e^T for pairs of groups, shape (G, G), or `None` if few are known.

    Pairs that were not evaluated are NaN.
    """
    if block.marginal is None or block.partners is None or count**2 > block.marginal.numel():
        return None
    _, group = block.groups.unique_consecutive(return_inverse=True)
    place = (group * count + group[block.partners]).flatten()
    values = block.marginal.double().clamp(*clip).exp().flatten()
    sums = torch.zeros(count**2, dtype=torch.float64).index_add(0, place, values)
    sums, judged = sums.view(count, count), place.bincount(minlength=count**2).view(count, count)
    means: Tensor = (sums + sums.T) / (judged + judged.T)
    return means


def code_bound(blocks: list[Block], stop: Stop, confidence: float) -> float:
    r"""Returns a lower bound on :math:`I(\pi, \alpha)` at a confidence, at least 0, in nats.

    For one way to pair groups, the values are independent. The wealth is averaged over several
    ways, which is valid since an average of fair bets is a fair bet.

    Arguments:
        blocks: The logits of held-out samples.
        stop: The logits of the stopping samples, on which limits and bets are chosen.
        confidence: The confidence.
    """
    units = count_units(blocks)
    chosen = (-math.inf, (-1.0, 1.0), 1.0)
    for a in (-0.5, -1.0, -2.0, -4.0):
        for b in (0.25, 0.5, 0.7, 1.0, 1.4, *[x / 2 for x in range(4, 2 * int(ceiling(units)))]):
            values = torch.cat([pair_values(Block(*fold), (a, b))[0] for fold in stop])
            moments = float(values.mean()), float(values.var())
            promised = promise(*moments, 1 + a - math.exp(b), units, confidence)
            chosen = max(chosen, (promised, (a, b), moments[1]))
    _, clip, variance = chosen
    least = 1 + clip[0] - math.exp(clip[1])
    of_blocks = [pair_values(block, clip, seed) for seed, block in enumerate(blocks)]
    if all(len(ways) == 1 for ways in of_blocks):
        of_blocks = [block_means(torch.cat(of_blocks, 1)[0])[None]]

    def wealth(mean: float, bets: Tensor) -> Tensor:
        won = [
            log_wealth(ways, mean, bets).logsumexp(1) - math.log(len(ways)) for ways in of_blocks
        ]
        return torch.stack(won).sum(0)

    most = max(float(ways.mean()) for ways in of_blocks)
    bets = best_bets(variance, units, confidence)
    return max(0.0, betting_bound(wealth, bets, least, max(most, least), confidence))


# --- labels -----------------------------------------------------------------


def label_bound(
    blocks: list[Block],
    labels: list[Tensor],
    log_prior: list[Tensor],
    stop: Stop,
    confidence: float,
) -> float:
    r"""Returns a lower bound on :math:`I(\pi, y)` from a classifier q, at least 0, in nats.

    .. math:: I(\pi, y) \geq \mathbb{E} \log \frac{q(y | \pi)}{p(y)}

    The shares of the sample replace the unknown shares :math:`p(y)` of labels. The largest possible
    error from this is subtracted: see the guide.

    Arguments:
        blocks: The logits :math:`\log q(y | \pi) - \log r(y)` of held-out samples.
        labels: Their labels, with shape (N,).
        log_prior: The logarithm of :math:`r(y)` for the critic of each block, with shape (C,).
        stop: The logits of the stopping samples, on which the floor and the bets are chosen.
        confidence: The confidence.
    """
    units = sum(len(block.groups.unique_consecutive()) for block in blocks)
    error = 1 - confidence
    share, within = LABEL_SHARE * error, 1 - (1 - LABEL_SHARE) * error

    def floored(logits: Tensor, floor: float) -> Tensor:
        return (floor + (1 - floor) * logits.double().exp()).log()

    chosen = (-math.inf, FLOORS[0], 1.0)
    for floor in FLOORS:
        values = torch.cat([group_means(floored(t, floor), groups) for t, _, groups in stop])
        moments = float(values.mean()), float(values.var())
        promised = promise(*moments, math.log(floor), units, within)
        chosen = max(chosen, (promised, floor, moments[1]))
    _, floor, variance = chosen

    scores, shares = [], []
    for block, y, prior in zip(blocks, labels, log_prior, strict=True):
        scores.append(group_means(floored(block.joint, floor) + prior.double()[y], block.groups))
        one_hot = torch.nn.functional.one_hot(y, len(prior)).double()
        shares.append(group_means(one_hot, block.groups))
    both = block_means(torch.cat((torch.cat(scores)[:, None], torch.cat(shares)), 1))
    score, share_of = both[:, 0], both[:, 1:]
    seen = share_of.mean(0) > 0
    share_of = share_of[:, seen]
    p = share_of.mean(0)
    radius = math.log(2 * len(p) / share) / units
    low, high = (torch.from_numpy(limit) for limit in kl_limits(p.numpy(), radius))
    least = math.log(floor) + min(float((prior[seen] - high.log()).min()) for prior in log_prior)
    values = score - share_of @ p.log()
    shift = float((p / low).log().max()), float((high / p).log().max())

    def wealth(mean: float, bets: Tensor) -> Tensor:
        z = 1 + bets[:, None] * (values - mean)
        return z.log().sum(1) - _price_of_shares(z, share_of, p, bets, shift)

    bets = best_bets(variance, len(values), within)
    return max(0.0, betting_bound(wealth, bets, least, float(values.mean()), within, 0.7))


def _price_of_shares(
    z: Tensor, share_of: Tensor, p: Tensor, bets: Tensor, shift: tuple[float, float]
) -> Tensor:
    r"""Returns an upper bound on the fall of the log wealth for other label shares (B,).

    With :math:`b_y = \log (\hat{p}_y / p_y)`, a value changes by :math:`f_i \cdot b`. By
    :math:`\log (1 + u) \geq u - u^2` and
    :math:`\hat{p} \cdot b = \mathrm{KL}(\hat{p} \,\|\, p) \geq \hat{p} \cdot b^2 / 2 c`, the fall
    is at most the depth of a parabola.

    Arguments:
        z: The factors :math:`1 + \lambda (v_i - m)` of the wealth, with shape (B, m).
        share_of: The shares :math:`f_i` of labels in each value, with shape (m, C).
        p: Their means :math:`\hat{p}`, with shape (C,).
        bets: The bets :math:`\lambda`, with shape (B,).
        shift: The upper limits of :math:`b` and of :math:`-b`.
    """
    up, largest = shift[0], max(shift)
    c = max(1.0, up**2 / 2 / (up + math.expm1(-up)))
    of_label = z.reciprocal() @ share_of
    squares = z.square().reciprocal() @ share_of
    total = of_label.sum(1, keepdim=True)
    slope = ((of_label - total * p).square() / p).sum(1)
    bend = bets * total[:, 0] / (2 * c) - bets**2 * (squares / p).amax(1)
    price = bets**2 * slope / (4 * bend)
    valid = (bend > 0) & (bets * largest <= 0.68 * z.amin(1))
    return torch.where(valid, price, math.inf)
