r"""The variational bound: a KL divergence to a prior."""

__all__ = ["VariationalBound"]

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Optional

from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from .. import distributed, functional
from ..controllers import FixedGamma
from ..priors import as_prior
from ..validation import check_codes, check_finite, check_posterior
from .base import Penalty, Regularizer

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class VariationalBound(Regularizer):
    r"""Creates the loss :math:`L_{VB}`, eqs. (9) and (21) of Esser et al., 2019.

    .. math:: L_{VB} = \gamma \, \mathbb{E}_x \, \mathrm{KL}(q(\pi | x) \,\|\, r(\pi)), \qquad I(\pi, \alpha) \leq \mathbb{E}_x \, \mathrm{KL}

    It is the only part of the library that bounds from above, and it cannot tell what :math:`\pi` reveals of :math:`\alpha` from what it must keep.

    Arguments:
        prior: The prior :math:`r(\pi)`: `"standard_normal"`, a :class:`mireg.LearnableGaussian`, a torch Distribution, or a module that gives one.
        gamma: The weight :math:`\gamma`, or the controller that holds it.
        samples: The number of Monte Carlo samples where torch registers no KL divergence.
        finite_check: Whether to raise at non-finite codes, which waits for the device.
        process_group: The ranks to average over; the default group if `None`.

    Metrics: `kl` in nats, `gamma`.

    Raises:
        TypeError: If the prior is none of these.
        ValueError: If the weight is below 0, or there is no sample.

    Example:
        >>> bound = VariationalBound(gamma=0.5)
        >>> posterior = mireg.diagonal_gaussian(torch.ones(8, 2), torch.zeros(8, 2))
        >>> bound(posterior.rsample(), torch.zeros(8, 3), posterior).loss
        tensor(0.5000)
    """

    def __init__(
        self,
        prior: Literal["standard_normal"] | Distribution | nn.Module = "standard_normal",
        gamma: float | FixedGamma = 1.0,
        *,
        samples: int = 1,
        finite_check: bool = False,
        process_group: Optional["ProcessGroup"] = None,
    ) -> None:
        super().__init__()

        if samples < 1:
            raise ValueError(f"the number of Monte Carlo samples must be 1 or more, got {samples}")
        self.prior = as_prior(prior)
        self.gamma_controller = gamma if isinstance(gamma, FixedGamma) else FixedGamma(gamma)
        self.samples = samples
        self.finite_check = finite_check
        self.process_group = process_group

    @property
    def gamma(self) -> Tensor:
        r"""The weight :math:`\gamma`."""
        return self.gamma_controller.value

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Penalty:
        check_codes(pi, alpha, groups)
        posterior = check_posterior(pi, posterior)
        if self.finite_check:
            check_finite(pi=pi)
        kl = functional.variational_bound(posterior, self.prior(pi, posterior), self.samples)
        kl = distributed.average(kl, self.process_group)
        metrics = {"kl": kl.detach(), "gamma": self.gamma.to(kl.dtype, copy=True)}
        return Penalty(self.gamma_controller(kl), metrics)

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        return self.prior.parameters()
