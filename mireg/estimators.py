r"""Estimates of :math:`I(\pi, \alpha)` from a critic's logits, averaged over ranks."""

__all__ = ["Calibrated", "DonskerVaradhan", "Estimator", "Logits", "MeanLogit", "NWJ", "SMILE"]

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from . import functional
from ._checks import check_number
from ._numerics import full_precision, log_mean_exp, mean
from .averages import Controller, saved
from .pairs import Pairs
from .ranks import Ranks


class Logits(NamedTuple):
    """The logits of a critic for the pairs of a batch.

    Example:
        >>> logits = Logits(joint=torch.ones(4), marginal=torch.zeros(3, 4))
        >>> mireg.functional.nwj(*logits), mireg.functional.nwj(*logits.scaled(0.5))
        (tensor(1.), tensor(0.5000))
    """

    joint: Tensor
    """The logits of joint pairs, with shape :math:`(N,)`."""
    marginal: Tensor
    """The logits of marginal pairs, with shape :math:`(K, N)` or :math:`(N, M)`."""
    joint_weights: Tensor | None = None
    """The weight of each joint pair; all equal if `None`."""
    marginal_weights: Tensor | None = None
    """The weight of each marginal pair; all equal if `None`."""

    def first(self, n: int, pairs: Pairs) -> "Logits":
        r"""Returns the logits of the first `n` codes :math:`\pi`, with the weights of `pairs`."""
        marginal = self.marginal[:n] if pairs.marginal is None else self.marginal[:, :n]
        return Logits(self.joint[:n], marginal, *pairs.weights)

    def scaled(self, factor: Tensor | float) -> "Logits":
        """Returns the logits times a factor."""
        return self._replace(joint=self.joint * factor, marginal=self.marginal * factor)

    def detached(self) -> "Logits":
        """Returns the logits without gradients."""
        return self._replace(joint=self.joint.detach(), marginal=self.marginal.detach())


class Estimator(nn.Module):
    """The interface of an estimate. If it is linear in expectations, :meth:`value` suffices.

    Arguments:
        decay: The decay of the moving average of the estimate that moves the weights; 0.95 averages
            about 40 batches.

    Example:
        >>> class Between(mireg.estimators.Estimator):
        ...     def value(self, logits):
        ...         f = mireg.functional
        ...         return (f.nwj(*logits) + f.mean_logit(*logits)) / 2
        >>> constraint = mireg.ClassifierMI(2, 3, estimator=Between())
    """

    def __init__(self, decay: float = 0.95) -> None:
        super().__init__()

        self.decay = check_number("the decay of the average of an estimate", decay, least=0)

    def value(self, logits: Logits) -> Tensor:
        """Returns the estimate in nats for the logits of this rank, a scalar."""
        raise NotImplementedError

    def forward(self, logits: Logits, ranks: Ranks) -> Tensor:
        """Returns the estimate over all ranks in nats, a scalar with the gradient of this rank."""
        return ranks.average(self.value(logits))

    def observe(self, logits: Logits, ranks: Ranks) -> Tensor:
        """Returns what :meth:`update` needs from a batch, a detached vector."""
        return logits.joint.new_zeros(0)

    @torch.no_grad()
    def update(self, observed: Tensor, accepted: Tensor | bool = True) -> None:
        """Updates the state with the result of :meth:`observe`, if `accepted`."""


class MeanLogit(Estimator):
    """Creates the estimate of eq. (12): :func:`mireg.functional.mean_logit`.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3, estimator=MeanLogit())
        >>> MeanLogit()(Logits(torch.tensor([1.0, 0.0]), torch.zeros(2)), mireg.Ranks())
        tensor(0.5000)
    """

    def value(self, logits: Logits) -> Tensor:
        return functional.mean_logit(*logits)


class NWJ(Estimator):
    """Creates the lower bound of Nguyen, Wainwright and Jordan: :func:`mireg.functional.nwj`.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3, estimator=NWJ())
        >>> NWJ()(Logits(torch.ones(4), torch.zeros(4)), mireg.Ranks())
        tensor(1.)
    """

    def value(self, logits: Logits) -> Tensor:
        return functional.nwj(*logits)


class DonskerVaradhan(Estimator):
    """Creates the Donsker-Varadhan bound: :func:`mireg.functional.donsker_varadhan`.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3, estimator=DonskerVaradhan())
        >>> DonskerVaradhan()(Logits(torch.ones(4), torch.ones(4)), mireg.Ranks())
        tensor(0.)
    """

    def value(self, logits: Logits) -> Tensor:
        return functional.donsker_varadhan(*logits)

    def forward(self, logits: Logits, ranks: Ranks) -> Tensor:
        # The logarithm of a mean over ranks is not the mean of their logarithms.
        joint = ranks.average(mean(full_precision(logits.joint), logits.joint_weights))
        marginal = full_precision(logits.marginal)
        of_rank = log_mean_exp(marginal, logits.marginal_weights, empty=-1e9)
        partition = ranks.log_average(of_rank)
        # Nothing is subtracted if no rank has a marginal pair.
        return joint - torch.where(partition > -1e8, partition, 0)


class SMILE(DonskerVaradhan):
    r"""Creates the estimate of Song and Ermon: :func:`mireg.functional.smile`.

    Arguments:
        clip: The threshold :math:`\tau`.
        decay: The decay of the moving average of the estimate.

    Raises:
        ValueError: If the threshold is not above 0.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3, estimator=SMILE(clip=5))
        >>> SMILE(clip=5)(Logits(torch.full((4,), 7.0), torch.full((4,), 7.0)), mireg.Ranks())
        tensor(2.)
    """

    def __init__(self, clip: float = 5.0, decay: float = 0.95) -> None:
        super().__init__(decay)

        self.clip = check_number("the threshold of SMILE", clip, above=0)

    def value(self, logits: Logits) -> Tensor:
        return functional.smile(*logits, clip=self.clip)

    def forward(self, logits: Logits, ranks: Ranks) -> Tensor:
        marginal = full_precision(logits.marginal).clamp(-self.clip, self.clip)
        return super().forward(logits._replace(marginal=marginal), ranks)


class Calibrated(Estimator):
    r"""Creates the Donsker-Varadhan bound of :math:`a T`, with a calibrated temperature :math:`a`.

    .. math:: I(\pi, \alpha) \geq \mathbb{E}_{p(\pi, \alpha)} a T
        - \log \mathbb{E}_{p(\pi) p(\alpha)} e^{a T}

    It is a lower bound for any :math:`a`. The temperature is the one with the largest bound on
    recent batches. A critic that separates pairs well can be overconfident. The bound of its raw
    logits is then far too low.

    Arguments:
        rate: The weight of the newest batch in the moving average of each temperature's bound.
        decay: The decay of the moving average of the estimate.

    Raises:
        ValueError: If the rate is not above 0.

    Example:
        >>> pairs = mireg.estimators.Logits(torch.ones(4), torch.zeros(4))
        >>> Calibrated()(pairs, mireg.Ranks())
        tensor(1.)
    """

    TEMPERATURES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
    SEEN = 8192
    """The number of marginal pairs on which temperatures are compared."""

    factors: Tensor

    def __init__(self, rate: float = 0.05, decay: float = 0.95) -> None:
        super().__init__(decay)

        self.rate = check_number("the rate of a calibration", rate, above=0)
        self.inner = DonskerVaradhan()
        self.register_buffer("factors", torch.tensor(self.TEMPERATURES))
        # Before the first update, the temperature is 1.
        self.bounds = Controller(*(-abs(a - 1) * 1e-6 for a in self.TEMPERATURES))

    @property
    def temperature(self) -> Tensor:
        """The temperature :math:`a`, a scalar."""
        bounds = saved(self.bounds.state)
        return self.factors.flip(0).gather(0, bounds.argmax(0, keepdim=True))[0]

    def forward(self, logits: Logits, ranks: Ranks) -> Tensor:
        full = logits._replace(
            joint=full_precision(logits.joint), marginal=full_precision(logits.marginal)
        )
        return cast(Tensor, self.inner(full.scaled(self.temperature), ranks))

    @torch.no_grad()
    def observe(self, logits: Logits, ranks: Ranks) -> Tensor:
        joint, marginal, joint_weights, weights = logits.detached()
        step = -(-marginal.numel() // self.SEEN)
        marginal = full_precision(marginal[::step]).flatten()
        if weights is None:
            weights = torch.full_like(marginal, 1 / marginal.numel())
        else:
            weights = weights[::step].flatten()
            weights = weights / ranks.average(weights.sum()).clamp(min=1e-9)
        logs = torch.where(weights > 0, weights, 1).log().masked_fill(weights <= 0, -1e9)
        factors = self.factors.to(marginal.dtype)
        partition = ranks.log_average((factors[:, None] * marginal + logs).logsumexp(1))
        return factors * ranks.average(mean(full_precision(joint), joint_weights)) - partition

    @torch.no_grad()
    def update(self, observed: Tensor, accepted: Tensor | bool = True) -> None:
        state = self.bounds.state
        self.bounds.move(state.lerp(observed.to(state.dtype), self.rate), accepted)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
