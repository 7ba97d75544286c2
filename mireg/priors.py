r"""Priors :math:`r(\pi)` of the variational bound, as modules that return a distribution."""

__all__ = ["LazyPrior", "LearnableGaussian", "Prior", "StandardNormal", "as_prior"]

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    kl_divergence,
    register_kl,
)

from ._checks import Shape, as_shape
from .encoders import diagonal_gaussian


class Prior(nn.Module):
    """The interface of a prior."""

    def forward(self, pi: Tensor, posterior: Distribution) -> Distribution:
        """Returns the prior of the codes `pi`, with their event shape, type and device."""
        raise NotImplementedError


class StandardGaussian(Independent):  # type: ignore[type-arg]
    """Creates :math:`N(0, I)`, with a KL divergence of half the operations.

    Arguments:
        zeros: Zeros of the shape of a code.
    """

    def __init__(self, zeros: Tensor) -> None:
        normal = Normal(zeros, torch.ones_like(zeros), validate_args=False)
        super().__init__(normal, zeros.ndim, validate_args=False)


@register_kl(Independent, StandardGaussian)  # type: ignore[untyped-decorator]
def _divergence(posterior: "Independent[Distribution]", prior: StandardGaussian) -> Tensor:
    normal, dims = posterior.base_dist, prior.reinterpreted_batch_ndims
    if type(normal) is not Normal or posterior.event_shape != prior.event_shape:
        return kl_divergence(posterior, Independent(prior.base_dist, dims))
    kl = 0.5 * (normal.loc.square() + normal.scale.square() - 1) - normal.scale.log()
    return kl.flatten(-dims).sum(-1)


# torch looks up the formula for two types once, in code that it cannot compile. Do so here.
kl_divergence(
    diagonal_gaussian(torch.zeros(1, 1), torch.zeros(1, 1)), StandardGaussian(torch.zeros(1))
)


class StandardNormal(Prior):
    """Creates the prior :math:`N(0, I)` of the paper, with the shape of the codes.

    For cells, as of :class:`mireg.QuantizedEncoder`, the prior is uniform instead.

    Example:
        >>> posterior = mireg.diagonal_gaussian(torch.zeros(8, 2), torch.zeros(8, 2))
        >>> StandardNormal()(posterior.rsample(), posterior).event_shape
        torch.Size([2])
    """

    def forward(self, pi: Tensor, posterior: Distribution) -> Distribution:
        zeros = pi.new_zeros(pi.shape[1:])
        if isinstance(posterior, OneHotCategorical):
            return OneHotCategorical(logits=zeros, validate_args=False)
        if isinstance(posterior, MultivariateNormal | LowRankMultivariateNormal):
            # torch registers no divergence between a multivariate normal and an Independent.
            eye = torch.eye(zeros.shape[-1], dtype=pi.dtype, device=pi.device)
            return MultivariateNormal(zeros, scale_tril=eye, validate_args=False)
        return StandardGaussian(zeros)


class LearnableGaussian(Prior):
    r"""Creates a diagonal Gaussian whose mean and variance are in `constraint.parameters()`.

    Arguments:
        features: The number of features of :math:`\pi`, or its shape.

    Example:
        >>> bound = mireg.VariationalBound(prior=LearnableGaussian(2))
        >>> [tuple(p.shape) for p in bound.prior_parameters()]
        [(2,), (2,)]
    """

    def __init__(self, features: Shape) -> None:
        super().__init__()

        self.mean = nn.Parameter(torch.zeros(as_shape(features)))
        self.log_var = nn.Parameter(torch.zeros(as_shape(features)))

    def forward(self, pi: Tensor, posterior: Distribution) -> Distribution:
        if self.mean.shape != pi.shape[1:]:
            raise ValueError(
                f"pi must have the shape (N, *{tuple(self.mean.shape)}) of its prior, got "
                f"{tuple(pi.shape)}"
            )
        return diagonal_gaussian(self.mean, self.log_var, batch_dims=0)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.mean.shape))


class LazyPrior(Prior):
    """Creates a prior from a distribution, or from a module that returns one without arguments.

    Arguments:
        source: The distribution, whose tensors stay on their device, or the module, which follows
            `.to()`.
    """

    def __init__(self, source: Distribution | nn.Module) -> None:
        super().__init__()

        self.source = source

    def forward(self, pi: Tensor, posterior: Distribution) -> Distribution:
        prior = self.source() if isinstance(self.source, nn.Module) else self.source
        if prior.event_shape != pi.shape[1:]:
            raise ValueError(
                f"the prior must have the event shape {tuple(pi.shape[1:])} of pi, got "
                f"{tuple(prior.event_shape)}: torch.distributions.Independent turns batch "
                "dimensions into event dimensions"
            )
        return prior

    def extra_repr(self) -> str:
        return "" if isinstance(self.source, nn.Module) else repr(self.source)


def as_prior(prior: Literal["standard_normal"] | Distribution | nn.Module) -> Prior:
    """Returns a prior as a module."""
    if prior == "standard_normal":
        return StandardNormal()
    if isinstance(prior, Prior):
        return prior
    if isinstance(prior, Distribution | nn.Module):
        return LazyPrior(prior)
    raise TypeError(
        "the prior must be 'standard_normal', a torch Distribution, or a module that returns one, "
        f"got {prior!r}"
    )
