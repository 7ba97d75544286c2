r"""Finite-sample bounds on divergences and mutual information, each proven in the guide."""

__all__ = [
    "divergence_radius",
    "information_interval",
    "kl_limits",
    "moment_ratio",
    "plug_in_information",
]

import math

import numpy as np

from ._guesses import divergence

SLOPES = np.geomspace(1e-4, 0.95, 200)
"""The exponents s over which an interval is optimised. Any fixed set is valid."""

LABEL_SHARE, LOWER_SHARE, UPPER_SHARE = 0.05, 0.2, 0.75
"""How the error probability is split: label shares, lower limit, upper limit."""


def moment_ratio(s: np.ndarray, x: float) -> np.ndarray:
    r"""Returns the ratio :math:`r_s(x)` that bounds the moments of an information density.

    .. math:: r_s(x) = \frac{1 - e^{-s x} - s (1 - e^{-x})}{x + e^{-x} - 1}

    If :math:`X \leq x` and :math:`\mathbb{E} e^{-X} \leq 1 + \eta`, then
    :math:`\mathbb{E} e^{-s X} \leq 1 - r_s(x) \, \mathbb{E} X + (s - r_s(x)) \, \eta` for each
    :math:`s < 1` except 0.

    Arguments:
        s: The exponents, below 1, with any shape.
        x: The upper limit of X, above 0.

    Example:
        >>> moment_ratio(np.array([0.5]), 1e-3).round(3)  # tends to s (1 - s) as x tends to 0
        array([0.25])
    """
    return (-np.expm1(-s * x) + s * math.expm1(-x)) / (x + math.expm1(-x))


def divergence_radius(degrees: int, error: float, units: int) -> float:
    r"""Returns a limit in nats on the divergence of an empirical from the true distribution.

    The divergence exceeds it with probability at most :math:`\delta`.

    .. math:: P(n \, \mathrm{KL}(\hat{p} \,\|\, p) \geq 2 \log 1 / \delta + 2 d \log 2) \leq \delta

    References:
        | Finite-Sample Concentration of the Multinomial in Relative Entropy (Agrawal, 2020),
        | whose moment bound is applied at 1/2
        | https://arxiv.org/abs/1904.02291

    Arguments:
        degrees: The degrees of freedom d: one less than the number of values, summed over
            independent distributions.
        error: The error probability :math:`\delta`.
        units: The number n of independent units.

    Example:
        >>> round(divergence_radius(degrees=9, error=0.05, units=10_000), 5)
        0.00185
    """
    return 2 * (math.log(1 / error) + degrees * math.log(2)) / units


def kl_limits(mean: np.ndarray, radius: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    r"""Returns the least and largest :math:`p` with :math:`\mathrm{kl}(m \,\|\, p) \leq \rho`.

    Here kl is the divergence between two Bernoulli distributions.

    Arguments:
        mean: The values :math:`m` from 0 to 1, with any shape.
        radius: The radius :math:`\rho` in nats, broadcast against `mean`.

    Example:
        >>> [float(limit.round(3)) for limit in kl_limits(np.array(0.9), 0.01)]
        [0.852, 0.937]
    """
    mean, radius = np.broadcast_arrays(np.asarray(mean, float), np.asarray(radius, float))

    def search(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        for _ in range(60):
            middle = (inside + outside) / 2
            near = divergence(mean, middle) <= radius
            inside, outside = np.where(near, middle, inside), np.where(near, outside, middle)
        return outside

    return search(mean, np.zeros_like(mean)), search(mean, np.ones_like(mean))


def plug_in_information(table: np.ndarray) -> float:
    r"""Returns :math:`I(c; y | z)` of a table of probabilities, in nats.

    Arguments:
        table: Probabilities up to a factor, with shape (Z, K, M) for strata, cells and labels.

    Example:
        >>> round(plug_in_information(np.eye(2)[None]), 3)  # one bit
        0.693
    """

    def entropy(counts: np.ndarray) -> float:
        p = counts[counts > 0]
        return -float((p * np.log(p)).sum())

    p = table / table.sum()
    found = entropy(p.sum(2)) + entropy(p.sum(1)) - entropy(p) - entropy(p.sum((1, 2)))
    return max(0.0, found)


def information_interval(table: np.ndarray, units: int, error: float) -> tuple[float, float]:
    r"""Returns an interval that contains :math:`I(c; y | z)` with probability :math:`1 - \delta`.

    Arguments:
        table: The shares of strata, cells and labels in the sample, with shape (Z, K, M), and a
            column for every label that can occur.
        units: The number of independent units n in the table.
        error: The error probability :math:`\delta`.

    Returns:
        The limits in nats, from 0 to the logarithm of the number of labels.

    Example:
        >>> table = np.array([[[0.4, 0.1], [0.1, 0.4]]])  # two cells by two labels
        >>> [round(limit, 3) for limit in information_interval(table, units=5000, error=0.05)]
        [0.161, 0.221]
    """
    p = table / table.sum()
    p = p[p.sum((1, 2)) > 0]
    labels = p.shape[2]
    found = plug_in_information(p)
    of_stratum = p.sum((1, 2))[:, None]
    of_label = p.sum(1)
    radius = divergence_radius(len(p) * (labels - 1), LABEL_SHARE * error, units)
    least = kl_limits(of_label / of_stratum, radius / of_stratum)[0]

    # The information density of labels rarer than 1 in n exceeds log n. The excess is bounded.
    cap = math.log(units)
    rare = int((least * units < 1).sum(1).max())
    limit = cap if rare else min(cap, -math.log(least.min()))
    extra = rare / units**2
    beyond = (of_label * (-np.log(np.maximum(least, 1e-300)) - cap).clip(min=0)).sum()

    log = math.log(1 / (UPPER_SHARE * error)) / units
    ratio = moment_ratio(SLOPES, limit)
    bounds = (-np.expm1(-SLOPES * (found + radius) - log) + (SLOPES - ratio) * extra) / ratio
    upper = float(bounds.min()) + rare / (math.e * units)

    # Lower limit: subtract the information that chance alone puts into a table of this many cells.
    part = LOWER_SHARE * error / 2
    occupied = int((p.sum(2) > 0).sum())
    least_found = found - divergence_radius(occupied * (labels - 1), part, units) - beyond
    log = math.log(1 / part) / units
    ratio = -moment_ratio(-SLOPES, limit)
    with np.errstate(over="ignore"):
        bounds = (np.expm1(SLOPES * least_found - log) - (ratio - SLOPES) * extra) / ratio
    lower = float(bounds.max())
    return max(0.0, lower), min(upper, math.log(labels))
