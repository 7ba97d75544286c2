r"""The upper bound from a posterior, and a check that the posterior belongs to the codes."""

__all__ = ["bound_from_above", "check_posterior"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    Normal,
    OneHotCategorical,
)

from ..functional import variational_bound
from .kinds import as_values


def check_posterior(posterior: Distribution, pi: Any) -> tuple[str, ...]:
    """Returns warnings if codes do not look like samples of a posterior.

    Raises:
        TypeError: If it is not a distribution.
        ValueError: If the shapes differ.
    """
    if not isinstance(posterior, Distribution):
        raise TypeError(
            f"the posterior must be a torch distribution, got {type(posterior).__name__}: "
            "mireg.diagonal_gaussian(mean, log_var) makes one"
        )
    x = as_values("pi", pi)
    shape, wanted = tuple(posterior.batch_shape + posterior.event_shape), tuple(x.shape)
    if len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    if shape != wanted:
        raise ValueError(
            "the posterior must belong to the codes, with one row for each row of pi: pi has "
            f"shape {wanted}, got batch {tuple(posterior.batch_shape)} and event "
            f"{tuple(posterior.event_shape)}"
        )
    base = _base(posterior)
    if not isinstance(base, Normal):
        return ()
    codes = torch.as_tensor(x).reshape(base.loc.shape).to(base.loc)
    distance = float(((codes - base.loc) / base.scale).detach().square().mean())
    if distance < 0.25:
        text = "pi is closer to the posterior's mean than samples are. The variational bound holds "
        return (
            text + "for samples only; means reveal more. If these are samples, check that log_var "
            "is the logarithm of the variance",
        )
    noise = 4 * math.sqrt(2 / codes.numel())
    if not 0.8 - noise < distance < 1.25 + noise:
        text = f"pi is {distance**0.5:.2f} standard deviations from the posterior's mean, samples "
        return (
            text + "are 1. Is it the posterior of these codes, in this order, with the logarithm "
            "of the variance (not a deviation) as log_var?",
        )
    return ()


def bound_from_above(posterior: Distribution, known: Tensor | None = None) -> float:
    """Returns the upper bound of eq. (9), with a prior that has the moments of the codes.

    The prior of categories has their frequencies: the bound is then the least that eq. (9) allows.

    Arguments:
        posterior: The posterior of all samples.
        known: Which samples are audited, with shape (N,). Defaults to all.
    """
    base = _base(posterior)
    if isinstance(base, Categorical | OneHotCategorical):
        p = base.probs.detach().cpu().double()
        p = p if known is None else p[known]
        ratio = (p.clamp(min=1e-12) / p.mean(0).clamp(min=1e-12)).log()
        return float((p * ratio).flatten(1).sum(1).mean())
    shape = posterior.batch_shape + posterior.event_shape
    prior: Distribution = Normal(torch.zeros(shape[1:]), torch.ones(shape[1:]))
    if isinstance(base, Normal):
        mean, scale = base.loc.detach().cpu(), base.scale.detach().cpu()
        if known is not None:
            mean, scale = mean[known], scale[known]
        prior = Normal(mean.mean(0), (scale.square().mean(0) + mean.var(0)).sqrt())
        posterior = Independent(Normal(mean, scale), len(shape) - 1)
    return float(variational_bound(posterior, Independent(prior, len(shape) - 1)))


def _base(posterior: Distribution) -> Distribution:
    base = posterior.base_dist if isinstance(posterior, Independent) else posterior
    return _base(base) if isinstance(base, Independent) else base
