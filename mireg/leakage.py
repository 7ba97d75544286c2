r"""Limits on any attack on a code that reveals at most :math:`\epsilon` nats.

Each bound holds for every attacker who sees one code, whatever model and data the attacker uses, if
the true :math:`I(\pi, \alpha) \leq \epsilon`. A critic's estimate of :math:`\epsilon` does not
imply this: see :func:`mireg.audit`. All functions take and return plain numbers, and raise a
`ValueError` for numbers out of range.
"""

__all__ = [
    "accuracy_bound",
    "pinsker_accuracy_bound",
    "epsilon_for_accuracy",
    "auc_bound",
    "epsilon_for_auc",
    "balanced_accuracy_bound",
    "parity_gap_bound",
    "gaussian_r_squared_bound",
    "bounded_r_squared_bound",
]

import math
from collections.abc import Sequence

import numpy as np

from ._checks import check_epsilon
from ._guesses import best_guess, divergence, entropy, logistic_score


def accuracy_bound(epsilon: float, chance: float) -> float:
    r"""Returns the accuracy that no attacker exceeds, by Fano's inequality.

    .. math:: & \max \{ p : d(p \,\|\, c) \leq \epsilon \}, \\
        & d(p \,\|\, c) = p \log \frac{p}{c} + (1 - p) \log \frac{1 - p}{1 - c}

    A guess is right with probability :math:`p` if :math:`\pi` and :math:`\alpha` belong together,
    and with probability at most :math:`c` if they are paired at random. By data processing,
    :math:`d(p \,\|\, c) \leq I(\pi, \alpha)`. For :math:`K` equally frequent classes this is Fano's
    inequality:

    .. math:: \log K - h(p) - (1 - p) \log (K - 1) \leq I(\pi, \alpha)

    For some codes an attacker attains the bound.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), section 2.10

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        chance: The accuracy :math:`c` without a code: the share of the most frequent class.

    Returns:
        The largest accuracy, from `chance` to 1.

    Example:
        >>> round(accuracy_bound(0.125, chance=0.5), 3)
        0.745
        >>> round(accuracy_bound(0.125, chance=0.1), 3)
        0.278
    """
    check_epsilon(epsilon)
    _check_share("chance", chance)
    if epsilon >= -math.log(chance):
        return 1.0
    low, high = chance, 1.0
    # The divergence is 0 at chance and increases with p.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(middle, chance) <= epsilon else (low, middle)
    return low


def pinsker_accuracy_bound(epsilon: float, chance: float) -> float:
    r"""Returns an accuracy that no attacker exceeds, by Pinsker's inequality.

    .. math:: c + \sqrt{\epsilon / 2}

    It is simpler than :func:`accuracy_bound`, and never smaller.

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        chance: The accuracy :math:`c` without a code: the share of the most frequent class.

    Returns:
        An accuracy from `chance` to 1.

    Example:
        >>> pinsker_accuracy_bound(0.125, chance=0.5)
        0.75
    """
    check_epsilon(epsilon)
    _check_share("chance", chance)
    return min(1.0, chance + math.sqrt(epsilon / 2))


def epsilon_for_accuracy(accuracy: float, chance: float) -> float:
    r"""Returns the largest target at which no attacker exceeds an accuracy.

    .. math:: \epsilon = d(p \,\|\, c)

    This is the inverse of :func:`accuracy_bound`.

    Arguments:
        accuracy: The accuracy :math:`p`, at least `chance`.
        chance: The accuracy :math:`c` without a code: the share of the most frequent class.

    Returns:
        The target :math:`\epsilon` in nats.

    Example:
        >>> round(epsilon_for_accuracy(0.55, chance=0.5), 4)
        0.005
    """
    _check_share("chance", chance)
    if not chance <= accuracy <= 1:
        raise ValueError(f"the accuracy must be from chance ({chance}) to 1, got {accuracy}")
    return float(divergence(accuracy, chance))


def auc_bound(epsilon: float, share: float) -> float:
    r"""Returns the AUC that no score computed from :math:`\pi` exceeds, for a class of share s.

    .. math:: & \max_q \frac{\int_0^1 u \, q(u) \, du / s - s / 2}{1 - s} \quad \text{with} \\
        & \int_0^1 q(u) \, du = s, \quad h(s) - \int_0^1 h(q(u)) \, du \leq \epsilon, \\
        & q(u) = \frac{1}{1 + e^{-a - b u}} \text{ at the maximum}

    Proof. Replace each score by its rank :math:`u` in [0, 1], with ties spread evenly. Let
    :math:`q(u)` be the probability of the class at rank :math:`u`. The AUC is the probability that
    a sample of the class has the higher rank. The class has density :math:`q(u) / s` and the rest
    :math:`(1 - q(u)) / (1 - s)`, which yields the expression above. The score is a function of
    :math:`\pi`, so its information about the class, :math:`h(s) - \int h(q)` with the binary
    entropy :math:`h`, is at most :math:`\epsilon`. The AUC is linear in :math:`q` and the
    information convex. For each :math:`u` the Lagrangian :math:`b u q + a q + h(q)` is maximal at
    the logistic :math:`q`. A score with this :math:`q` attains the bound.

    For several classes, apply it to each class against the rest: :math:`\pi` reveals at most as
    much about one class as about all.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), section 2.8
        | Convex Optimization (Boyd and Vandenberghe, 2004), section 5.5.3

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        share: The share :math:`s` of the class.

    Returns:
        The largest AUC, from 0.5 to 1.

    Example:
        >>> round(auc_bound(0.05, share=0.5), 3)
        0.68
        >>> round(auc_bound(0.05, share=0.08), 3)
        0.814
    """
    check_epsilon(epsilon)
    _check_share("share", share)
    if epsilon >= entropy(share):
        return 1.0
    if epsilon == 0:
        return 0.5
    return min(1.0, max(0.5, _at(0, epsilon, share)[1]))


def epsilon_for_auc(auc: float, share: float) -> float:
    r"""Returns the largest target at which no score exceeds an AUC, for a class of share s.

    This is the inverse of :func:`auc_bound`. For a rare class, a given AUC takes few nats.

    Arguments:
        auc: The AUC, from 0.5 to 1.
        share: The share :math:`s` of the class.

    Returns:
        The target :math:`\epsilon` in nats.

    Example:
        >>> round(epsilon_for_auc(0.6, share=0.5), 4), round(epsilon_for_auc(0.6, share=0.06), 4)
        (0.0151, 0.0034)
    """
    _check_share("share", share)
    if not 0.5 <= auc <= 1:
        raise ValueError(f"the AUC must be from 0.5 to 1, got {auc}")
    if auc == 0.5:
        return 0.0
    return min(entropy(share), max(0.0, _at(1, auc, share)[0]))


def _at(which: int, value: float, share: float) -> tuple[float, float]:
    """Returns the information and the AUC at which one of them has a value."""
    # Both increase with the slope b.
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        reached = logistic_score(math.exp(middle), share)[which] <= value
        low, high = (middle, high) if reached else (low, middle)
    return logistic_score(math.exp(high), share)


def balanced_accuracy_bound(epsilon: float, shares: float | Sequence[float]) -> float:
    r"""Returns the balanced accuracy (mean recall over the classes) that no attacker exceeds.

    .. math:: \min_{b > 0} \frac{1}{b} \Big( \epsilon
        + \max_m \sum_c s_c \log \big( 1 + m_c (e^{b / (K s_c)} - 1) \big) \Big)

    The maximum is over :math:`m_c \geq 0` with sum 1, for :math:`K` classes of shares :math:`s_c`.

    Proof. A guess is a function of :math:`\pi`. Let :math:`P_c` be its distribution on class
    :math:`c`, and :math:`m = \sum_c s_c P_c`. Then
    :math:`\sum_c s_c \, \mathrm{KL}(P_c \| m) \leq \epsilon`. For each class the variational
    formula of Donsker and Varadhan states

    .. math:: \frac{b}{K s_c} P_c(c) \leq \mathrm{KL}(P_c \| m)
        + \log \big( 1 + m_c (e^{b / (K s_c)} - 1) \big).

    Multiply by :math:`s_c`, sum, and take the maximum over :math:`m`. This is a bound for every
    :math:`b`. The lowest is attained, since it is the dual of the rate-distortion problem with
    distortion 0 for a right guess and :math:`1 / (K s_c)` for a wrong one.

    For two classes, twice its excess over 1/2 is the largest gap of demographic parity.
    :func:`parity_gap_bound` is simpler, and never smaller.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), sections 10.7 and 10.8

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        shares: The share of one of two classes, or the shares of all.

    Returns:
        The largest balanced accuracy, from 1 / K to 1.

    Example:
        >>> round(balanced_accuracy_bound(0.05, 0.5), 3)
        0.657
        >>> round(balanced_accuracy_bound(0.05, 0.08), 3)
        0.781
        >>> round(balanced_accuracy_bound(0.05, [0.5, 0.3, 0.2]), 3)
        0.498
    """
    check_epsilon(epsilon)
    s = np.array([shares, 1 - shares] if isinstance(shares, float | int) else shares, dtype=float)
    if len(s) < 2 or not (s > 0).all() or abs(s.sum() - 1) > 1e-6:
        raise ValueError(f"shares must be above 0 with sum 1, for 2 classes or more, got {shares}")

    def bound(log_b: float) -> float:
        b = math.exp(log_b)
        return (epsilon + best_guess(b / (len(s) * s), s)) / b

    # The bound has one minimum in b, found by golden-section search.
    low, high, golden = -20.0, 20.0, (math.sqrt(5) - 1) / 2
    for _ in range(90):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if bound(left) <= bound(right) else (left, high)
    return min(1.0, max(1 / len(s), bound(low)))


def parity_gap_bound(epsilon: float, share: float = 0.5) -> float:
    r"""Returns the largest gap of demographic parity of any decision based on :math:`\pi`.

    .. math:: |P(\hat{y} = 1 | \alpha = 1) - P(\hat{y} = 1 | \alpha = 0)|
        \leq \sqrt{\frac{\epsilon}{2 s (1 - s)}}

    It follows from Pinsker's inequality for each group against the whole.

    Arguments:
        epsilon: The information :math:`\epsilon` of :math:`\pi` about the group, in nats.
        share: The share :math:`s` of one of the two groups.

    Returns:
        The largest gap, from 0 to 1.

    Example:
        >>> round(parity_gap_bound(0.005), 3)
        0.1
    """
    check_epsilon(epsilon)
    _check_share("share", share)
    return min(1.0, math.sqrt(epsilon / (2 * share * (1 - share))))


def gaussian_r_squared_bound(epsilon: float, dims: int = 1) -> float:
    r"""Returns the mean :math:`R^2` over independent Gaussian factors that no regressor exceeds.

    .. math:: R^2 \leq 1 - e^{-2 \epsilon / n}

    It is the rate-distortion function of a Gaussian source, and holds for Gaussian factors only. At
    :math:`\epsilon = 0.125` a fair coin can be predicted with :math:`R^2 = 0.24`, and a Gaussian
    with 0.22. For other factors use :func:`bounded_r_squared_bound`.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), section 10.3

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        dims: The number :math:`n` of factors.

    Returns:
        The largest average, from 0 to 1.

    Example:
        >>> round(gaussian_r_squared_bound(0.125, dims=4), 3)
        0.061
    """
    check_epsilon(epsilon)
    _check_dims(dims)
    return 1 - math.exp(-2 * epsilon / dims)


def bounded_r_squared_bound(epsilon: float, spread: float, dims: int = 1) -> float:
    r"""Returns the mean :math:`R^2` over independent bounded factors that no regressor exceeds.

    .. math:: R^2 \leq \min \Big\{ 1, \frac{w^2 \epsilon}{2 n} \Big\}, \quad
        w = \frac{\max \alpha - \min \alpha}{\sigma}

    Proof. No regressor is better than the mean :math:`\mathbb{E}[\alpha | \pi]`, whose :math:`R^2`
    is its variance over :math:`\sigma^2`. A factor with range :math:`r` has
    :math:`|\mathbb{E}[\alpha | \pi] - \mathbb{E} \alpha| \leq r \, \mathrm{TV}`, with the total
    variation between its distributions with and without :math:`\pi`. By Pinsker's inequality
    :math:`\mathrm{TV}^2 \leq \mathrm{KL} / 2`. The mean of this divergence over :math:`\pi` is the
    information about the factor. For independent factors, these sum to :math:`\epsilon` or less.

    An unbounded factor has no such bound: if a rare, huge value makes up its variance, a code can
    reveal it with almost no information.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), section 11.6

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        spread: The range :math:`w` of a factor in standard deviations, the largest of all factors:
            2 for a fair coin, 3.46 for a uniform factor, never below 2.
        dims: The number :math:`n` of independent factors.

    Returns:
        The largest average, from 0 to 1.

    Example:
        >>> bounded_r_squared_bound(0.125, spread=2)
        0.25
        >>> round(bounded_r_squared_bound(0.125, spread=12**0.5, dims=4), 2)
        0.19
    """
    check_epsilon(epsilon)
    _check_dims(dims)
    # No factor has a spread below that of a coin, 2. The tolerance is for a measured spread.
    if not 2 - 1e-6 <= spread < math.inf:
        raise ValueError(
            "spread is the range of a factor divided by its standard deviation and must be 2 or "
            f"more, got {spread}"
        )
    return min(1.0, spread**2 * epsilon / (2 * dims))


def _check_dims(dims: int) -> None:
    if dims < 1:
        raise ValueError(f"dims, the number of factors, must be 1 or more, got {dims}")


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value}")
