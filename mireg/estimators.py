r"""A critic with its way to pair a batch and to estimate :math:`I(\pi, \alpha)`: T is one, and so is T'."""

__all__ = ["CriticEstimator", "Measurement"]

from typing import TYPE_CHECKING, NamedTuple, Optional, cast

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from . import distributed, functional
from .controllers import Controller
from .pairing import Pairs, pairing
from .reductions import full_precision, masked_mean
from .validation import check_choice

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Measurement(NamedTuple):
    """What a critic says of a batch."""

    mi: Tensor
    """The estimate in nats, a scalar."""
    standard_error: Tensor
    """The standard error of the mean logit of the joint pairs, a detached scalar."""


class Reading(Controller):
    """Holds what a critic said of a batch before it learnt from it: test, then train.

    A critic that has just learnt from a batch sees more in it than in others of its kind, the more the faster it learns. What is said of one batch is given
    for no other: the first and the last number of the codes tell.
    """

    persistent = False

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0.0, 0.0, 0.5)

    @property
    def accuracy(self) -> Tensor:
        """How well joint and marginal pairs were told apart, a scalar; 0.5 is chance."""
        return self.state[4]

    @torch.no_grad()
    def write(self, pi: Tensor, mi: Tensor, accuracy: Tensor) -> None:
        """Takes what a critic says of a batch, unless the last waits to be read: what comes between are batches to learn more from."""
        values = (torch.ones_like(mi), *self.ends(pi), mi, accuracy)
        state = torch.stack([value.to(self.state.dtype) for value in values])
        self.move(state, self.state[0] == 0)

    @torch.no_grad()
    def take(self, pi: Tensor, mi: Tensor) -> Tensor:
        """Gives what was written of this batch, once, and `mi` where nothing was."""
        waits, first, last, written, _ = self.state.unbind()
        ends = [end.to(self.state.dtype) for end in self.ends(pi)]
        known = (waits > 0) & (first == ends[0]) & (last == ends[1])
        taken = torch.where(known, written.to(mi.dtype), mi)
        self.state[:1].zero_()
        return taken

    @staticmethod
    def ends(pi: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the first and the last number of a batch."""
        return pi[0].reshape(-1)[0], pi[-1].reshape(-1)[-1]


class CriticEstimator(nn.Module):
    r"""Creates an estimator of mutual information from a critic.

    Arguments:
        critic: A module that takes `(pi, alpha)` and gives one logit a pair, with shape :math:`(N,)`.
        estimator: The estimate: `"mean_logit"` (eq. 12), `"nwj"`, `"dv"` or `"smile"`.
        pairs: The marginal pairs: `"roll"` for one a sample, a number for as many, `"all"` for every other sample.
        gather: Whether the partners of marginal pairs come from all ranks. Their codes carry no gradients.
        process_group: The ranks to gather from; the default group if `None`.

    Raises:
        TypeError: If the critic is no module.
        ValueError: If the estimate or the pairs are none of these.

    Example:
        >>> estimator = mireg.CriticEstimator(mireg.ConcatenatedCritic(2, 3))
        >>> estimator.loss(torch.randn(8, 2), torch.randn(8, 3)).shape
        torch.Size([])
    """

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
        self.reading = Reading()
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
                masked_mean((pairs.marginal < 0).float(), pairs.mask, pairs.negatives),
            )
            mi = self.joined(pairs)
            self.reading.write(pi, mi, torch.stack(right).mean().to(mi.dtype))
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
        # The critic's parameters enter as constants: no flag has to be set and restored, in eager mode or compiled. What its
        # buffers keep of the codes that it sees is for its training alone.
        constants = {f"critic.{name}": b.clone() for name, b in self.critic.named_buffers()}
        if torch.is_grad_enabled():
            constants |= {
                f"critic.{name}": p.detach() for name, p in self.critic.named_parameters()
            }
        marginal = self.estimator != "mean_logit"
        arguments = (pi, alpha, groups, generator, marginal)
        pairs = cast(
            Pairs, functional_call(self, constants, arguments) if constants else self(*arguments)
        )
        joint = full_precision(pairs.joint.detach())
        error = joint.std() / len(joint) ** 0.5
        return Measurement(self.joined(pairs), error)

    def joined(self, pairs: Pairs) -> Tensor:
        """Gives the estimate for a rank's pairs, of which the mean over ranks is that of the joined batch."""
        mi = functional.ESTIMATORS[self.estimator](*pairs)
        alone = distributed.ranks(self.process_group) == 1
        if self.estimator in functional.LOG_PARTITION and not alone:
            # The logarithm of a mean over ranks is not the mean of their logarithms.
            mean = functional.mean_logit(*pairs)
            mi = mean - distributed.log_average(mean - mi, self.process_group)
        return mi

    def extra_repr(self) -> str:
        return f"estimator={self.estimator!r}, pairs={self.pairs!r}"
