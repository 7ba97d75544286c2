r"""The variational bound: a KL divergence to a prior."""

__all__ = ["VariationalBound"]

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn
from torch.distributions import Distribution

from .. import functional
from .._checks import check_codes, check_part, check_positive, check_posterior
from ..priors import as_prior
from ..ranks import Ranks
from ..weights import FixedGamma
from .base import Regularizer, no_loss
from .penalty import Penalty, check_parts


class VariationalBound(Regularizer):
    r"""Creates the loss :math:`L_{VB}`, eqs. (9) and (21) of Esser et al., 2019.

    .. math:: & L_{VB} = \gamma \, \mathbb{E}_x \, \mathrm{KL}(q(\pi | x) \,\|\, r(\pi)), \\
        & I(\pi, \alpha) \leq \mathbb{E}_x \, \mathrm{KL}

    It is an upper bound. It penalises all information in :math:`\pi`, not only that about
    :math:`\alpha`.

    Arguments:
        prior: The prior :math:`r(\pi)`: `"standard_normal"`, a :class:`mireg.LearnableGaussian`, a
            torch Distribution, or a module that returns one.
        gamma: The weight :math:`\gamma`.
        samples: The number of Monte Carlo samples, if torch registers no KL divergence.
        ranks: The ranks that share a batch.

    Metrics: `kl` in nats, `gamma`.

    Raises:
        TypeError: If the prior is none of these.
        ValueError: If the weight is below 0, or `samples` below 1.

    Example:
        >>> bound = VariationalBound(gamma=0.5)
        >>> posterior = mireg.diagonal_gaussian(torch.ones(8, 2), torch.zeros(8, 2))
        >>> bound(posterior.rsample(), torch.zeros(8, 3), posterior).loss
        tensor(0.5000)
    """

    def __init__(
        self,
        prior: Distribution | nn.Module | Literal["standard_normal"] = "standard_normal",
        gamma: float = 1.0,
        *,
        samples: int = 1,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()

        self.prior = as_prior(prior)
        self.gamma = FixedGamma(gamma)
        self.samples = check_positive("the number of Monte Carlo samples", samples)
        check_part("ranks", ranks, Ranks, "mireg.Ranks(gather=True)")
        self.ranks = Ranks() if ranks is None else ranks

    def kl(self, pi: Tensor, posterior: Distribution | None) -> Tensor:
        """Returns the bound of eq. (9) in nats, a scalar."""
        posterior = check_posterior(pi, posterior)
        kl = functional.variational_bound(posterior, self.prior(pi, posterior), self.samples)
        return self.ranks.average(kl)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        posterior: Distribution | None = None,
        *,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Penalty:
        self.ranks.check_size(pi)
        check_codes(pi, alpha, groups)
        kl = self.kl(pi, posterior)
        gamma = self.gamma.weight(kl.dtype)
        loss = functional.variational_penalty(kl, gamma)
        return Penalty(loss, no_loss(pi), {"kl": kl.detach(), "gamma": gamma})

    def update(self, penalty: Penalty, held_out: Penalty | None = None) -> None:
        check_parts(self, penalty, 0, "kl", "gamma", only=True)

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        return self.prior.parameters()
