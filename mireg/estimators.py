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
    joint: Tensor
    """The logits of the joint pairs, detached."""
    accuracy: Tensor
    """How well the critic told joint and marginal pairs apart before it learnt from the batch, a detached scalar."""


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
        # What is not finite is not taken, and then nothing waits.
        said = torch.stack((0 * mi + 1, mi, accuracy)).to(self.state.dtype)
        waits, mi, accuracy = said.split(1)
        self.move(torch.cat((waits, self.ends(pi), mi, accuracy)), self.state[0] == 0)

    @torch.no_grad()
    def take(self, pi: Tensor, mi: Tensor) -> Tensor:
        """Gives what was written of this batch, once, and `mi` where nothing was."""
        waits, ends, written, _ = self.state.split((1, 2, 1, 1))
        known = (ends == self.ends(pi)).all() & (waits > 0)
        taken = torch.where(known, written.to(mi.dtype), mi)[0]
        waits.zero_()
        return taken

    def ends(self, pi: Tensor) -> Tensor:
        """Gives the first and the last number of a batch."""
        numbers = pi.detach().reshape(-1)
        return numbers[:: len(numbers) - 1].to(self.state.dtype)


class CriticEstimator(nn.Module):
    r"""Creates an estimator of mutual information from a critic.

    Arguments:
        critic: A module that takes `(pi, alpha)` and gives one logit a pair, with shape :math:`(N,)`.
        estimator: The estimate: `"mean_logit"` (eq. 12), `"nwj"`, `"dv"` or `"smile"`.
        pairs: The marginal pairs: `"roll"` for one a sample, a number for as many, `"all"` for every other sample.
        gather: Whether the partners of marginal pairs come from all ranks. Their codes carry no gradients.
        process_group: The ranks to gather from; the default group if `None`.
        test_then_train: Whether :meth:`measure` gives what the critic said of the batch before it learnt from it.

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
        test_then_train: bool = True,
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
        self.test_then_train = test_then_train

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
            of_joint = (pairs.joint > 0).float().mean()
            of_marginal = masked_mean((pairs.marginal < 0).float(), pairs.mask, pairs.negatives)
            accuracy = 0.5 * (of_joint + of_marginal)
            if self.test_then_train:
                mi = self.joined(pairs)
                self.reading.write(pi, mi, accuracy.to(mi.dtype))
            else:
                self.reading.state[4:].copy_(accuracy)
        return functional.critic_loss(*pairs)

    def estimate(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Gives the estimate in nats, with gradients for the codes and none for the critic."""
        return self.joined(self.constant(pi, alpha, groups, generator))

    def measure(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Measurement:
        """Gives the estimate of :meth:`estimate`, or what the critic said of the batch before it learnt from it, with the gradient of now."""
        pairs = self.constant(pi, alpha, groups, generator)
        mi = self.joined(pairs)
        if self.test_then_train:
            said = self.reading.take(pi, mi.detach())
            # In this order the value is what was said to the last bit.
            mi = said + (mi - mi.detach()) if mi.requires_grad else said
        accuracy = self.reading.accuracy.to(mi.dtype, copy=True)
        return Measurement(mi, full_precision(pairs.joint.detach()), accuracy)

    def constant(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Pairs:
        """Gives the logits that an estimate needs, of a critic whose parameters are constants."""
        arguments = (pi, alpha, groups, generator, self.estimator != "mean_logit")
        # What its buffers keep of the codes that it sees is for its training alone.
        constants = {f"critic.{name}": b.clone() for name, b in self.critic.named_buffers()}
        learning = torch.is_grad_enabled()
        if learning and torch.compiler.is_compiling():
            constants |= {
                f"critic.{name}": p.detach() for name, p in self.critic.named_parameters()
            }
            learning = False
        # Flags cost a third of what constants do, but no compiled graph can hold them.
        parameters = [p for p in self.critic.parameters() if p.requires_grad] if learning else []
        for p in parameters:
            p.requires_grad_(False)
        try:
            if constants:
                return cast(Pairs, functional_call(self, constants, arguments))
            return cast(Pairs, self(*arguments))
        finally:
            for p in parameters:
                p.requires_grad_(True)

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
