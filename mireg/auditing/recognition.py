r"""The AUC and the balanced accuracy of labels, to which each label contributes equally."""

__all__ = [
    "Share",
    "clustered_error",
    "of_labels",
    "placements",
    "ratios_of_two",
    "wilson_interval",
]

import math
from typing import NamedTuple

import torch
from torch import Tensor

Z = 1.96


class Share(NamedTuple):
    """A number from 0 to 1, and its 95 % interval."""

    value: float
    """The number."""
    low: float
    """The lower end of its interval."""
    high: float
    """The upper end of its interval."""


def clustered_error(residuals: Tensor, groups: Tensor) -> float:
    r"""Returns the standard error of a mean of samples whose groups are independent.

    .. math:: \frac{1}{N} \sqrt{\frac{G}{G - 1} \sum_g \Big( \sum_{i \in g} r_i \Big)^2}

    Arguments:
        residuals: The value of each sample minus the mean, with shape (N,).
        groups: The group of each sample, with shape (N,).
    """
    _, index = groups.unique(return_inverse=True)
    count = int(index.max()) + 1
    sums = torch.zeros(count, dtype=residuals.dtype).index_add(0, index, residuals)
    return float(sums.square().sum().sqrt()) / len(residuals) * math.sqrt(count / (count - 1))


def wilson_interval(value: float, error: float, units: float) -> Share:
    r"""Returns the interval of Wilson (1927) for a share, with the sample size its error implies.

    .. math:: \frac{p + z^2 / 2m \pm z \sqrt{p (1 - p) / m + z^2 / 4 m^2}}{1 + z^2 / m}, \qquad
        m = \frac{p (1 - p)}{\sigma^2}

    It stays within 0 and 1, and does not shrink to a point if all samples were right.

    References:
        | Probable Inference, the Law of Succession, and Statistical Inference (Wilson, 1927)
        | Confidence Intervals for Proportions with Small Expected Number of Positive Counts
        | Estimated From Survey Data (Korn and Graubard, 1998), for m

    Arguments:
        value: The share :math:`p`.
        error: Its standard error :math:`\sigma`.
        units: The number of independent samples, which replaces :math:`m` if the error is 0.
    """
    m = value * (1 - value) / error**2 if error > 0 and 0 < value < 1 else units
    centre = value + Z * Z / (2 * m)
    spread = Z * math.sqrt(value * (1 - value) / m + Z * Z / (4 * m * m))
    low, high = ((centre + sign * spread) / (1 + Z * Z / m) for sign in (-1, 1))
    return Share(value, max(0.0, low), min(1.0, high))


def placements(scores: Tensor, positive: Tensor) -> Tensor:
    r"""Returns the share of the other class that each sample is ranked correctly against.

    Ties count half.

    The mean over either class is the AUC. The variance of the placements determines that of the
    AUC.

    References:
        | Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves
        | (DeLong et al., 1988)

    Arguments:
        scores: The scores, with shape (N,).
        positive: Which samples are of the class, with shape (N,).
    """
    scores = scores.double()
    result = torch.empty_like(scores)
    for of, sign in ((positive, 1), (~positive, -1)):
        own, others = sign * scores[of], (sign * scores[~of]).sort().values
        below = torch.searchsorted(others, own) + torch.searchsorted(others, own, right=True)
        result[of] = below.double() / 2 / len(others)
    return result


def ratios_of_two(joint: Tensor, labels: Tensor) -> Tensor:
    r"""Returns the logits of both labels from those of the true label: probabilities sum to 1.

    .. math:: \log \frac{1 - p e^t}{1 - p}

    Arguments:
        joint: The logits :math:`t` for the true labels, with shape (N,).
        labels: The labels, 0 or 1, with shape (N,).

    Returns:
        The logits, with shape (2, N).
    """
    shares = labels.bincount(minlength=2).double() / len(labels)
    own = shares[labels]
    other = ((1 - own * joint.double().exp()).clamp(min=1e-12) / (1 - own)).log()
    return torch.stack([torch.where(labels == c, joint.double(), other) for c in range(2)])


def of_labels(
    ratios: Tensor, labels: Tensor, groups: Tensor, classes: int
) -> tuple[Share, Share] | None:
    r"""Returns the AUC (each label against the rest, averaged) and the balanced accuracy.

    The guess is the label with the largest ratio. By the largest probability, a rare label would
    never be guessed. Standard errors are over groups (Obuchowski, Nonparametric Analysis of
    Clustered ROC Curve Data, 1997, for the AUC).

    Arguments:
        ratios: The critics' :math:`\log q(\alpha | \pi) - \log p(\alpha)` of held-out samples for
            every label, with shape (C, N).
        labels: Their labels, with shape (N,).
        groups: Their groups, with shape (N,).
        classes: The number of labels C.

    Returns:
        Both, or `None` if fewer than two labels occur.
    """
    counts = labels.bincount(minlength=classes)
    there = [c for c in range(classes) if 0 < counts[c] < len(labels)]
    if len(there) < 2:
        return None
    n = len(labels)
    right = (ratios.argmax(0) == labels).double()
    # A label has as many independent samples as groups.
    units = {c: len(groups[labels == c].unique()) for c in there}
    rarest = min(units.values())
    auc = balanced = unseen = 0.0
    of_auc, of_balanced = (torch.zeros(n, dtype=torch.float64) for _ in range(2))
    for c in there:
        own = labels == c
        share = int(counts[c]) / n
        placed = placements(ratios[c], own)
        area, recall = float(placed[own].mean()), float(right[own].mean())
        auc += area / len(there)
        balanced += recall / len(there)
        weights = torch.where(own, 1 / share, 1 / (1 - share))
        of_auc += (placed - area) * weights / len(there)
        of_balanced[own] += (right[own] - recall) / share / len(there)
        if recall in (0, 1):
            # A few samples that are all wrong, or all right, still leave the recall uncertain.
            chance = 2 / (units[c] + 4)
            unseen += chance * (1 - chance) / units[c] / len(there) ** 2
    error = clustered_error(of_balanced, groups)
    return (
        wilson_interval(auc, clustered_error(of_auc, groups), rarest),
        wilson_interval(balanced, math.hypot(error, math.sqrt(unseen)), rarest),
    )
