r"""What a target in nats buys: how well anyone can attack a code that tells at most :math:`\epsilon` nats.

Each bound holds for every attacker who sees one code, of any size and trained on any number of samples, if the true :math:`I(\pi, \alpha) \leq \epsilon`. An
estimate of a critic that reads :math:`\epsilon` promises less: see :func:`mireg.audit`. All functions take and give plain numbers, and raise a `ValueError` at those
that are out of range.
"""

__all__ = [
    "accuracy_bound",
    "pinsker_accuracy_bound",
    "epsilon_for_accuracy",
    "parity_gap_bound",
    "r_squared_bound",
]

import math

from ._checks import check_epsilon


def accuracy_bound(epsilon: float, chance: float) -> float:
    r"""Gives the accuracy that no attacker exceeds, by Fano's inequality.

    .. math:: \max \{ p : d(p \,\|\, c) \leq \epsilon \}, \qquad d(p \,\|\, c) = p \log \frac{p}{c} + (1 - p) \log \frac{1 - p}{1 - c}

    A guess is right with probability :math:`p` where :math:`\pi` and :math:`\alpha` belong together, and with no more than :math:`c` where they are paired at random. No
    function of both brings the two cases further apart than they are, so :math:`d(p \,\|\, c) \leq I(\pi, \alpha)`. For :math:`K` classes of equal shares this is
    Fano's inequality, :math:`\log K - h(p) - (1 - p) \log (K - 1) \leq I(\pi, \alpha)`, which some attacker meets.

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
    # The divergence rises from 0 at chance.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(middle, chance) <= epsilon else (low, middle)
    return low


def pinsker_accuracy_bound(epsilon: float, chance: float) -> float:
    r"""Gives an accuracy that no attacker exceeds, by Pinsker's inequality: simpler than :func:`accuracy_bound`, and never below it.

    .. math:: c + \sqrt{\epsilon / 2}

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
    r"""Gives the largest target that keeps every attacker at an accuracy: the inverse of :func:`accuracy_bound`.

    .. math:: \epsilon = d(p \,\|\, c)

    Arguments:
        accuracy: The accuracy :math:`p` to allow, at least `chance`.
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
    return _divergence(accuracy, chance)


def parity_gap_bound(epsilon: float, share: float = 0.5) -> float:
    r"""Gives how far the rates of any decision on :math:`\pi` can differ between two groups: the gap of demographic parity.

    .. math:: |P(\hat{y} = 1 | \alpha = 1) - P(\hat{y} = 1 | \alpha = 0)| \leq \sqrt{\frac{\epsilon}{2 s (1 - s)}}

    It follows from Pinsker's inequality for each group against the whole.

    Arguments:
        epsilon: The information :math:`\epsilon` in nats that :math:`\pi` has of the group.
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


def r_squared_bound(epsilon: float, dims: int = 1) -> float:
    r"""Gives the coefficient of determination that no regressor exceeds, averaged over independent Gaussian factors.

    .. math:: R^2 \leq 1 - e^{-2 \epsilon / n}

    It is the rate-distortion function of a Gaussian source. Factors of another distribution can be predicted better or worse.

    References:
        | Elements of Information Theory (Cover and Thomas, 2006), section 10.3

    Arguments:
        epsilon: The information :math:`\epsilon` in nats.
        dims: The number :math:`n` of factors.

    Returns:
        The largest average, from 0 to 1.

    Example:
        >>> round(r_squared_bound(0.125, dims=4), 3)
        0.061
    """
    check_epsilon(epsilon)
    if dims < 1:
        raise ValueError(f"dims is a number of factors and must be 1 or more, got {dims}")
    return 1 - math.exp(-2 * epsilon / dims)


def _divergence(p: float, q: float) -> float:
    """Gives the Kullback-Leibler divergence of a coin from another, in nats."""
    parts = ((p, q), (1 - p, 1 - q))
    return sum(a * math.log(a / b) for a, b in parts if a > 0)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value}")
