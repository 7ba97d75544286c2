r"""Correlations of a code with alpha: what many weak ones amount to, without a critic."""

__all__ = ["Correlations", "pillai", "strongest"]

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .._components import first_of_groups, principal, products, whitening
from .features import NormalScores, Standardize
from .inputs import AuditInputs

ERRORS = 3.0
"""The number of standard deviations of chance from which correlations count."""

MOST_ROWS = 20_000
"""The most samples that are compared."""

MOST_FEATURES = 1000
"""The most coordinates with their products that are compared, to save memory and time."""

LINEAR, PRODUCTS = 4, 10
"""The fewest samples for each coordinate, and for each product of two coordinates."""


class Correlations(NamedTuple):
    """The information that correlations of a code with alpha amount to.

    Example:
        >>> found = Correlations(nats=0.12, error=0.02, chance=0.01)
        >>> found.significant, round(found.lowest, 2)
        (True, 0.08)
    """

    nats: float
    """The information in nats, if coordinates are nearly Gaussian; below 0 only by chance."""
    error: float
    """Its standard error."""
    chance: float
    """The standard deviation over random pairings of the codes."""

    @property
    def significant(self) -> bool:
        """Whether independent codes would hardly be correlated as much."""
        return self.nats > ERRORS * self.chance

    @property
    def lowest(self) -> float:
        """The lower end of their interval, in nats."""
        return self.nats - 2 * self.error

    @property
    def unseen(self) -> str:
        """A warning that critics find less."""
        return (
            f"correlations of coordinates, or of products of two, amount to {self.nats:.3f} "
            "nats, more than the critics find with these samples: do not trust a small estimate"
        )


def pillai(x: Tensor, y: Tensor) -> Correlations:
    r"""Returns half of Pillai's trace, less its mean for independent codes.

    .. math:: \hat{I} = \frac{1}{2} \Big( \sum_i r_i^2 - \frac{p q}{n - 1} \Big)
        \Big/ \Big( 1 - \frac{p}{n} \Big) \Big( 1 - \frac{q}{n} \Big)

    :math:`r_i` are the canonical correlations of the samples. Weakly dependent Gaussian codes share
    :math:`\tfrac{1}{2} \sum_i \rho_i^2` nats. A critic with :math:`p q` weights must learn them
    all, and finds nothing if there is less than :math:`p q / 2 n` to find. The sum is found with
    an error of about :math:`\sqrt{p q / 2} / n`: the noise of single correlations averages out.

    Arguments:
        x: Codes, with shape (N, p).
        y: Codes, with shape (N, q).

    References:
        | Some New Test Criteria in Multivariate Analysis (Pillai, 1955)

    Example:
        >>> x = torch.randn(2000, 20)
        >>> pillai(x, 0.1 * x + torch.randn(2000, 20)).significant
        True
    """
    return _of_bases(_basis(x), _basis(y))


def _basis(x: Tensor) -> Tensor:
    """Returns an orthonormal basis of the centred columns, with shape (N, R)."""
    x = x.double() - x.double().mean(0)
    return x @ whitening(x) / math.sqrt(len(x))


def _of_bases(u: Tensor, v: Tensor) -> Correlations:
    """Returns the correlations of codes by their orthonormal bases."""
    n, p, q = len(u), u.shape[1], v.shape[1]
    trace = float((u.T @ v).square().sum())
    a, b = u.square().sum(1), v.square().sum(1)
    # The variance over random pairings: between samples, and of each sample with itself.
    apart = 2 * (p - a.square().sum()) * (q - b.square().sum()) / n**2
    alone = a.var() * b.var() * (n - 1)
    slope = (1 - p / n) * (1 - q / n)
    nats = (trace - p * q / (n - 1)) / 2 / slope
    chance = math.sqrt(max(0.0, float(apart + alone))) / 2 / slope
    return Correlations(nats, math.hypot(chance, math.sqrt(2 * max(0.0, nats) / n)), chance)


def strongest(inputs: AuditInputs, generator: Generator) -> Correlations:
    """Returns the correlations of coordinates, or of products of two if these show more.

    One sample of each group is compared, since other samples of a group repeat what it shows.
    Products are compared if there are enough samples. Codes of too many coordinates are not
    compared.

    Arguments:
        inputs: The codes.
        generator: The source of the choice of samples.
    """
    rows = torch.randperm(len(inputs.pi), generator=generator)
    rows = rows[first_of_groups(inputs.groups[rows])]
    rows = rows[torch.randperm(len(rows), generator=generator)[:MOST_ROWS]]
    alpha = inputs.alpha[rows]
    others = _indicators(alpha, inputs.classes) if inputs.classes else _features(alpha)
    bases = [[_basis(x) for x in part] for part in (_features(inputs.pi[rows]), others)]
    found = [_of_bases(u, v) for u in bases[0] for v in bases[1]]
    counted = [each for each in found if each.significant] or found[:1]
    # Not the largest: of many products, noise alone may amount to more than the truth.
    return max(counted, default=Correlations(0.0, 0.0, 0.0), key=lambda each: each.lowest)


def _indicators(labels: Tensor, classes: int) -> list[Tensor]:
    """Returns labels as indicators, if there are enough samples."""
    return [F.one_hot(labels, classes)] if LINEAR * classes <= len(labels) else []


def _features(code: Tensor) -> list[Tensor]:
    """Returns normal scores of a code, its values, and the scores with products of two.

    These are left out if there are too few samples.
    """
    n, d = code.shape
    if LINEAR * d > n:
        return []
    scores = NormalScores(code)(code).double()
    # The noise of ranks hides directions of little variance, which the values themselves show.
    found = [scores, Standardize(code)(code)]
    left = min(MOST_FEATURES, n // PRODUCTS) - d
    if left < 1:
        return found
    # The largest k with k (k + 1) / 2 products.
    k = (math.isqrt(8 * left + 1) - 1) // 2
    parts = scores if k >= d else principal(scores - scores.mean(0), k)
    return [*found, torch.cat((scores, products(parts)), dim=1)]
