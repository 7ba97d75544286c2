"""Coins, and the best guesses of a label, from which limits on attacks are computed."""

__all__ = ["best_guess", "divergence", "entropy", "logistic_score"]

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def entropy(share: float) -> float:
    """Returns the entropy of a coin, in nats."""
    return -share * math.log(share) - (1 - share) * math.log1p(-share)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def logistic_score(b: float, s: float) -> tuple[float, float]:
    """Returns the information and the AUC of a score, for a class of share s.

    The class has probability sigmoid(a + b u) at rank u of the score.
    """

    def log_expm1(x: float) -> float:
        return x + math.log(-math.expm1(-x))

    # This a makes the mean of the probability s.
    a = log_expm1(s * b) - s * b - log_expm1((1 - s) * b)
    # Further out, the probability is 0 or 1 in double precision.
    low, high = max(a, -40.0), min(a + b, 40.0)
    x = (low + high) / 2 + (high - low) / 2 * _NODES
    weights = (high - low) / 2 * _WEIGHTS / b
    q = 1 / (1 + np.exp(-x))
    zeros, ones = (low - a) / b, (a + b - high) / b
    information = weights @ divergence(q, s) - zeros * math.log1p(-s) - ones * math.log(s)
    of_ranks = weights @ ((x - a) / b * q) + ones * (1 - ones / 2)
    return float(information), float((of_ranks / s - s / 2) / (1 - s))


def best_guess(gain: Numbers, s: Numbers) -> float:
    """Returns the largest sum of s log(1 + m (e^gain - 1)) over probabilities m."""
    # At the maximum, m = s / level - 1 / (e^gain - 1) for the classes with the highest s (e^gain -
    # 1) and 0 for the others.
    inverse = np.exp(-gain) / -np.expm1(-gain)
    order = np.argsort(inverse / s)
    s, inverse, gain = s[order], inverse[order], gain[order]
    levels = s.cumsum() / (1 + inverse.cumsum())
    guessed = s > inverse * levels
    count = int(guessed.sum())
    level = levels[count - 1]
    # log(1 + m / inverse) = log(s / level) + log(e^gain - 1)
    return float((s * (np.log(s / level) + gain + np.log(-np.expm1(-gain))))[:count].sum())


def divergence(p: npt.ArrayLike, q: npt.ArrayLike) -> Numbers:
    """Returns the KL divergence between two coins, in nats, with any shape."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        heads = np.where(p > 0, p * np.log(p / q), 0.0)
        tails = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)
    return np.asarray(heads + tails)
