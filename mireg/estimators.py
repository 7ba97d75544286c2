r"""A critic with its way to pair a batch and to estimate :math:`I(\pi, \alpha)`: T is one, and so is T'."""

__all__ = ["CriticEstimator", "Measurement"]

from typing import TYPE_CHECKING, NamedTuple, Optional, cast

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from . import distributed, functional
from .pairing import Pairs, pairing
from .validation import check_choice

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Measurement(NamedTuple):
    """What a critic says of a batch."""

    mi: Tensor
    """The estimate in nats, a scalar."""
    standard_error: Tensor
    """The standard error of the mean logit of the joint pairs, a detached scalar."""


class CriticEstimator(nn.Module):
    r"""Creates an estimator of mutual information from a critic.

    `accuracy` is how well the critic told joint from marginal pairs of the batch that it last learnt from; 0.5 is chance.

    Arguments:
        critic: A module that takes `(pi, alpha)` and gives one logit a pair, with shape :math:`(N,)`.
        estimator: The estimate: `"mean_logit"` (eq. 12), `"nwj"`, `"dv"` or `"smile"`.
        pairs: The marginal pairs: `"roll"` for one a sample, a number for as many, `"all"` for every other sample.
        gather: Whether the partners of marginal pairs come from all ranks. Their codes carry no gradients.
        process_group: The ranks to gather from; the default group if `None`.

    Example:
        >>> estimator = mireg.CriticEstimator(mireg.ConcatenatedCritic(2, 3))
        >>> estimator.loss(torch.randn(8, 2), torch.randn(8, 3)).shape
        torch.Size([])
    """

    accuracy: Tensor

    def __init__(
        self,
        critic: nn.Module,
        estimator: str = "mean_logit",
        pairs: str | int = "roll",
        gather: bool = False,
        process_group: Optional["ProcessGroup"] = None,
    ) -> None:
        super().__init__()

        check_choice("estimator", estimator, functional.ESTIMATORS)
        if not isinstance(critic, nn.Module):
            raise TypeError(
                f"a critic must be a module that takes (pi, alpha), got {type(critic).__name__}"
            )
        self.critic = critic
        self.estimator = estimator
        self.pairs = pairs
        self.pairing = pairing(pairs)
        # Written by each loss and read by the penalty of the same step: no part of the state that a run resumes from.
        self.register_buffer("accuracy", torch.full((1,), 0.5), persistent=False)
        self.gather = gather
        self.process_group = process_group

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
        marginal: bool = True,
    ) -> Pairs:
        """Gives the critic's logits for the pairs of a batch; for joint pairs alone where no `marginal` is asked for."""
        if marginal:
            joined = distributed.join(alpha, groups, self.process_group) if self.gather else None
            return self.pairing(self.critic, pi, alpha, groups, generator, joined)
        joint = self.critic(pi, alpha)
        return Pairs(joint, joint.new_zeros(0), None)

    def loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Gives the loss of eqs. (10) and (11), which trains the critic and nothing else."""
        pairs = cast(Pairs, self(pi.detach(), alpha.detach(), groups, generator))
        with torch.no_grad():
            right = (
                (pairs.joint > 0).float().mean(),
                functional.masked_mean((pairs.marginal < 0).float(), pairs.mask, pairs.negatives),
            )
            self.accuracy.copy_(torch.stack(right).mean())
        return functional.critic_loss(*pairs)

    def estimate(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Gives the estimate in nats, with gradients for the codes and none for the critic."""
        return self.measure(pi, alpha, groups, generator).mi

    def measure(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Measurement:
        """Gives the estimate of :meth:`estimate`, and how noisy the mean over joint pairs is."""
        # The critic's parameters enter as constants: no flag has to be set and restored, in eager mode or compiled.
        constants = {name: p.detach() for name, p in self.named_parameters()}
        constants |= {name: buffer.clone() for name, buffer in self.named_buffers()}
        marginal = self.estimator != "mean_logit"
        arguments = (pi, alpha, groups, generator, marginal)
        pairs = cast(Pairs, functional_call(self, constants, arguments))
        joint = functional.full_precision(pairs.joint.detach())
        error = joint.std() / len(joint) ** 0.5
        return Measurement(functional.ESTIMATORS[self.estimator](*pairs), error)

    def extra_repr(self) -> str:
        return f"estimator={self.estimator!r}, pairs={self.pairs!r}"
