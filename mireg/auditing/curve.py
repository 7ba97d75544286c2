r"""The learning curve: would the estimate rise with more training codes?"""

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
"""The divisors of the training groups for the smaller trainings: a quarter and half."""

TOLERANCE = 0.05
"""Two trainings of one critic differ by about this share of the estimate."""

LEAST_RISE = 0.005
"""A rise of fewer nats is ignored."""


class LearningCurve(NamedTuple):
    """The estimates of one critic, combined with the linear one, for three training sizes.

    All estimates use the same held-out samples.

    Example:
        >>> sizes, estimates, errors = (1000, 2000, 4000), (0.06, 0.09, 0.13), (0.01, 0.01, 0.01)
        >>> curve = LearningCurve(sizes, sizes, estimates, errors, rise=0.04, rise_error=0.005)
        >>> curve.rises, curve.points[-1]
        (True, (4000, 0.13, 0.01))
    """

    sizes: tuple[int, ...]
    """The numbers of training codes in a fold, which are about a quarter, half and all of them."""
    groups: tuple[int, ...]
    """The numbers of groups that these codes come from."""
    estimates: tuple[float, ...]
    """The estimates, in nats."""
    standard_errors: tuple[float, ...]
    """Their standard errors over groups, in nats."""
    rise: float
    """The last estimate minus the one before, in nats."""
    rise_error: float
    """The standard error of the rise. It is small since both estimates use the same samples."""

    @property
    def rises(self) -> bool:
        """Whether the last doubling added more than noise explains."""
        return still_rises(self.rise, self.rise_error, self.estimates[-1])

    @property
    def expected_rise(self) -> float:
        """What the next doubling may add, which is the last rise, or the mean rise if that is more.

        One small rise can be chance.
        """
        first, *_, last = self.estimates
        return max(self.rise, (last - first) / (len(self.estimates) - 1))

    @property
    def points(self) -> list[tuple[int, float, float]]:
        """The size, the estimate and the standard error of each point."""
        return list(zip(self.sizes, self.estimates, self.standard_errors, strict=True))


class Recognition(NamedTuple):
    r"""The success of a classifier in recognising the group of a held-out sample from π.

    The sample belongs to a group that the classifier learnt from.

    .. math:: I(\pi, \alpha) \leq I(\pi, g) + I(\pi, \alpha | g)

    This follows from the chain rule and data processing. The second term is 0 if π and α depend on
    each other only through the group :math:`g`: if all samples of a group share one α, or if α
    comes from another sample of the group than π. If π and α are codes of the same sample, the
    second term remains.

    The inequality holds for the true information, not for estimates. A classifier learns each group
    from the samples of that group, while critics learn from all groups with similar α. If the
    classifier finds less about the group than the panel finds about α, it is not a ceiling, and
    :meth:`meaning` says so.

    Example:
        >>> recognition = Recognition(0.44, 0.02, 0.04, 265)
        >>> recognition.meaning(0.58)
        'less than was found about alpha, so this is not a ceiling'
    """

    mi: float
    """What π reveals about the group, in nats. It is at most the log of the number of groups."""
    standard_error: float
    """Its standard error over groups, in nats."""
    accuracy: float
    """How often the group is recognised."""
    groups: int
    """The number of groups."""

    def missed(self, mi: float) -> bool:
        """Returns whether the classifier found less about the group than the panel about α.

        Arguments:
            mi: The estimate of what π reveals about α, in nats.

        Example:
            >>> Recognition(0.44, 0.02, 0.04, 265).missed(0.58)
            True
        """
        return self.mi + 2 * self.standard_error < (1 - TOLERANCE) * mi - LEAST_RISE

    @property
    def numbers(self) -> str:
        """The numbers as text."""
        return (
            f"{self.mi:.3f} ± {self.standard_error:.3f} nats, recognised in "
            f"{100 * self.accuracy:.1f} % of held-out samples of the same {self.groups} groups"
        )

    def meaning(self, mi: float) -> str:
        """Returns what follows from the numbers for an estimate of what π reveals about α."""
        if self.missed(mi):
            return "less than was found about alpha, so this is not a ceiling"
        return "a ceiling, as far as classifiers see, if alpha depends on pi through the group only"


def still_rises(rise: float, error: float, estimate: float) -> bool:
    """Returns whether an estimate rises with the number of training codes by more than noise.

    Noise is the largest of two standard errors, 0.005 nats and 5 % of the estimate. The last two
    are the difference between two trainings of one critic.

    Arguments:
        rise: The rise over the last doubling of the training codes, in nats.
        error: The standard error of the rise, in nats.
        estimate: The estimate with all training codes, in nats.

    Example:
        >>> still_rises(0.04, 0.01, 0.12), still_rises(0.04, 0.03, 0.12)
        (True, False)
    """
    return rise > max(2 * error, LEAST_RISE, TOLERANCE * estimate)


def smaller_folds(folds: Folds, groups: Tensor, share: int) -> Folds:
    """Returns folds with one in `share` training groups, and all stopping and test samples.

    Arguments:
        folds: The folds, in which samples of one group are neighbours.
        groups: The group of each sample, with shape (N,).
        share: The divisor: 4 keeps a quarter.

    Example:
        >>> groups = torch.arange(400) // 2
        >>> folds = Folds([torch.arange(320)], [torch.arange(320, 360)], [torch.arange(360, 400)])
        >>> len(smaller_folds(folds, groups, 4).train[0])
        80
    """
    train = []
    for rows in folds.train:
        _, place = groups[rows].unique_consecutive(return_inverse=True)
        # Every fifth group is held back to choose the number of canonical pairs.
        kept = max(5, math.ceil((int(place[-1]) + 1) / share))
        train.append(rows[place < kept])
    return folds._replace(train=train)


def log_partition(marginal: list[Tensor]) -> float:
    r"""Returns :math:`\log \mathbb{E}_{p(\pi) p(\alpha)} e^T` in nats, with equal sample weights.

    Arguments:
        marginal: The logits of marginal pairs in blocks, one shift per row, with shape (S, n);
            minus infinity for pairs that do not count.
    """
    counts = torch.cat([block.isfinite().sum(0) for block in marginal])
    sums = torch.cat([block.double().logsumexp(0) for block in marginal])
    counted = counts > 0
    return float(log_mean_exp(sums[counted] - counts[counted].double().log(), None))


def estimate(joint: list[Tensor], marginal: list[Tensor]) -> float:
    r"""Returns the mean logit of joint pairs, minus log Z if that is below 0, in nats.

    This estimates :math:`I(\pi, \alpha)`. If log Z is below 0, all logits are too low by about that
    much. If it is above 0, the usual cause is a few marginal pairs with too high logits.
    Subtracting it would make the estimate far too low.

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
    """Returns why an estimate is not settled, and what could settle it; empty if it is settled.

    An estimate is not settled if the learning curve still rises, or if there are fewer than 200
    groups: critics cannot learn from so few how α differs between groups.

    Arguments:
        curve: The learning curve.
        groups: The number of groups.

    Example:
        >>> sizes, estimates = (1000, 2000, 4000), (0.09, 0.1, 0.1)
        >>> flat = LearningCurve(sizes, sizes, estimates, (0.01,) * 3, 0.0, 0.01)
        >>> open_questions(flat, 5000)
        ()
    """
    reasons = []
    if still_rises(curve.rise, curve.rise_error, curve.estimates[-1]):
        alone = curve.groups == curve.sizes
        of_groups = "" if alone else f" of {curve.groups[-1]:,} groups"
        reasons.append(
            f"the estimate still rises, by {curve.rise:.3f} ± {curve.rise_error:.3f} nats from "
            f"half to all of the {curve.sizes[-1]:,} training codes{of_groups}: repeat the audit "
            f"with at least twice as many {'samples' if alone else 'groups'}"
        )
    if groups < FEW_GROUPS:
        reasons.append(
            f"{groups} groups are too few to learn how alpha differs between groups: give "
            f"{FEW_GROUPS} or more"
        )
    return tuple(reasons)
