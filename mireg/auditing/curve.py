r"""Whether more codes would find more: the panel is judged again with critics that learnt from a quarter and from half of the training groups."""

__all__ = [
    "LearningCurve",
    "Recognition",
    "estimate",
    "log_partition",
    "open_questions",
    "smaller_folds",
    "still_rises",
]

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .._numerics import log_mean_exp
from .inputs import FEW_GROUPS, Folds

SHARES = (4, 2)
"""The whole of the training groups over the part that critics of the curve learn from."""

TOLERANCE = 0.05
"""A rise of less than this share of the estimate is what two trainings of the same critic differ by."""

LEAST_RISE = 0.005
"""A rise of fewer nats is of no matter."""


class LearningCurve(NamedTuple):
    """Holds what one critic of the panel, beside the linear one, finds on the same held-out samples after learning from fewer and from all training codes."""

    sizes: tuple[int, ...]
    """The number of training codes of a fold: about a quarter, half and all of them."""
    groups: tuple[int, ...]
    """The number of groups that they come from."""
    estimates: tuple[float, ...]
    """The estimates, in nats."""
    standard_errors: tuple[float, ...]
    """Their standard errors over groups, in nats."""
    rise: float
    """The last estimate less the one before, in nats."""
    rise_error: float
    """The standard error of the rise: the same held-out samples are judged twice, which makes it less than that of the estimates."""

    @property
    def rises(self) -> bool:
        """Whether the last doubling added more than noise explains."""
        return still_rises(self.rise, self.rise_error, self.estimates[-1])

    @property
    def points(self) -> list[tuple[int, float, float]]:
        """The size, the estimate and the standard error of each point."""
        return list(zip(self.sizes, self.estimates, self.standard_errors, strict=True))


class Recognition(NamedTuple):
    r"""Holds how well π reveals which group a sample comes from, on other samples of the groups that critics learnt from.

    .. math:: I(\pi, \alpha) \leq I(\pi, g) + I(\pi, \alpha | g)

    by the chain rule and data processing. The second term is 0 if π and α depend on one another through the group :math:`g` alone: α is one code for all samples
    of a group, or comes from another sample of it than π. Where π and α are codes of the same sample, the second term stays.

    The inequality holds for the information, not for what is found of it. A classifier learns each group from its own samples, while critics learn from all groups
    that are alike in α. If it finds less of the group than the panel finds of α, it bounds nothing, and :meth:`meaning` says so.
    """

    mi: float
    """The estimate of what π reveals of the group, in nats: at most the logarithm of the number of groups."""
    standard_error: float
    """Its standard error over groups, in nats."""
    accuracy: float
    """How often the group is named."""
    groups: int
    """The number of groups."""

    def missed(self, mi: float) -> bool:
        """Tells whether the classifier found less of the group than was found of α: then it is no ceiling.

        Arguments:
            mi: The estimate of what π reveals of α, in nats.

        Example:
            >>> Recognition(0.44, 0.02, 0.04, 265).missed(0.58), Recognition(1.0, 0.02, 0.4, 71).missed(0.58)
            (True, False)
        """
        return self.mi + 2 * self.standard_error < (1 - TOLERANCE) * mi - LEAST_RISE

    @property
    def numbers(self) -> str:
        """The numbers in words."""
        return (
            f"{self.mi:.3f} ± {self.standard_error:.3f} nats by pi, named in {100 * self.accuracy:.1f} % "
            f"of other samples of the same {self.groups} groups"
        )

    def meaning(self, mi: float) -> str:
        """Gives what follows from the numbers beside an estimate of what π reveals of α."""
        if self.missed(mi):
            return "less than was found of alpha, and so no ceiling"
        return "a ceiling, as far as classifiers see, on an alpha that is tied to pi by the group alone"


def still_rises(rise: float, error: float, estimate: float) -> bool:
    """Tells whether an estimate still grows with the number of training codes, by more than noise explains.

    Noise is two standard errors of the held-out samples, and what two trainings differ by: 0.005 nats or 5 % of the estimate.

    Arguments:
        rise: What the last doubling of the training codes added, in nats.
        error: Its standard error, in nats.
        estimate: The estimate with all training codes, in nats.

    Example:
        >>> still_rises(0.04, 0.01, 0.12), still_rises(0.04, 0.03, 0.12), still_rises(0.04, 0.01, 1.2)
        (True, False, False)
    """
    return rise > max(2 * error, LEAST_RISE, TOLERANCE * estimate)


def smaller_folds(folds: Folds, groups: Tensor, share: int) -> Folds:
    """Keeps one group of `share` of those that train; what stops and what judges stays.

    Arguments:
        folds: The folds, in which samples of one group are neighbours.
        groups: The group of each sample, with shape (N,).
        share: The whole over the part that is kept.

    Example:
        >>> groups = torch.arange(400) // 2
        >>> folds = Folds([torch.arange(320)], [torch.arange(320, 360)], [torch.arange(360, 400)])
        >>> len(smaller_folds(folds, groups, 4).train[0])
        80
    """
    train = []
    for rows in folds.train:
        _, place = groups[rows].unique_consecutive(return_inverse=True)
        # Fewer than five groups have none to tell how many canonical pairs count.
        kept = max(5, math.ceil((int(place[-1]) + 1) / share))
        train.append(rows[place < kept])
    return folds._replace(train=train)


def log_partition(marginal: list[Tensor]) -> float:
    r"""Gives :math:`\log \mathbb{E}_{p(\pi) p(\alpha)} e^T`, in nats. Samples count alike, whatever the number of their shifts.

    Arguments:
        marginal: The logits of marginal pairs in blocks, one shift a row, with shape (S, n): minus infinity for pairs that do not count.
    """
    counts = torch.cat([block.isfinite().sum(0) for block in marginal])
    sums = torch.cat([block.double().logsumexp(0) for block in marginal])
    counted = counts > 0
    return float(log_mean_exp(sums[counted] - counts[counted].double().log(), None))


def estimate(joint: list[Tensor], marginal: list[Tensor]) -> float:
    r"""Gives the estimate of :math:`I(\pi, \alpha)`: the mean logit of joint pairs, less log Z where that is below 0, in nats.

    Critics that say too little of marginal pairs say too little of joint ones. Those that say too much of a few mean nothing by it.

    Arguments:
        joint: The logits of joint pairs in blocks, with shape (n,).
        marginal: The logits of marginal pairs in blocks, with shape (S, n).

    Example:
        >>> estimate([torch.tensor([0.5, 0.1])], [torch.full((4, 2), -0.2)])
        0.5...
    """
    mean = float(torch.cat(joint).double().mean())
    return mean - min(0.0, log_partition(marginal))


def open_questions(curve: LearningCurve, groups: int) -> tuple[str, ...]:
    """Gives what keeps an estimate from being settled, in words, and which codes would settle it; nothing if it is.

    It is not settled if the learning curve still rises, and never with few groups: they are too few to learn how α differs between groups that critics have not seen.
    That a classifier finds little of the group settles nothing either, since it learns each group from its few samples.

    Arguments:
        curve: The learning curve.
        groups: The number of groups.

    Example:
        >>> flat = LearningCurve((1000, 2000, 4000), (1000, 2000, 4000), (0.09, 0.1, 0.1), (0.01,) * 3, 0.0, 0.01)
        >>> open_questions(flat, 5000)
        ()
    """
    reasons = []
    if still_rises(curve.rise, curve.rise_error, curve.estimates[-1]):
        alone = curve.groups == curve.sizes
        of_groups = "" if alone else f" of {curve.groups[-1]:,} groups"
        reasons.append(
            f"the estimate still rises, by {curve.rise:.3f} ± {curve.rise_error:.3f} nats from half "
            f"to all of the {curve.sizes[-1]:,} training codes{of_groups}: it takes at least twice as "
            f"many {'samples' if alone else 'groups'} to see where it ends"
        )
    if groups < FEW_GROUPS:
        reasons.append(
            f"{groups} groups are too few to learn how much of that alpha shares: it takes {FEW_GROUPS} or more"
        )
    return tuple(reasons)
