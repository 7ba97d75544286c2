"""Penalties by a network that learns beside the encoder: gradient reversal, CLUB, MINE, and a
contrastive bound as in FCRL.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from tasks import Task
from torch import Tensor, nn
from training import Batch, Penalty, frozen, perceptron, trained

from .base import WEIGHTS, Method


class Reversal(Penalty):
    """A classifier of s behind a gradient reversal (Ganin and Lempitsky, 2015), at one weight."""

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.critic = perceptron(task.features, task.classes)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        told = F.cross_entropy(frozen(self.critic)(batch.pi), batch.s)
        lesson = F.cross_entropy(self.critic(batch.pi.detach()), batch.s)
        return -self.ramp(batch.progress) * self.weight * told, lesson

    def ramp(self, progress: float) -> float:
        """Returns the share of the weight at a moment."""
        return 1.0


class RampedReversal(Reversal):
    """The same with the schedule of the paper."""

    def ramp(self, progress: float) -> float:
        return 2 / (1 + math.exp(-10 * progress)) - 1


class Club(Penalty):
    """The contrastive bound from above with a learnt q(s | code) (Cheng et al., 2020)."""

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.critic = perceptron(task.features, task.classes)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        said = frozen(self.critic)(batch.pi).log_softmax(1)
        share = F.one_hot(batch.s, self.task.classes).float().mean(0)
        bound = -F.nll_loss(said, batch.s) - (said * share).sum(1).mean()
        lesson = F.cross_entropy(self.critic(batch.pi.detach()), batch.s)
        return self.weight * bound, lesson


class Mine(Penalty):
    """The bound of Donsker and Varadhan, its gradient corrected by a moving average (Belghazi et
    al., 2018); marginal pairs are all of the batch.
    """

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.critic = perceptron(task.features, task.classes)
        self.register_buffer("average", torch.ones(()))

    def logits(self, critic: nn.Module, pi: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Returns T of joint pairs, and the mean of exp T over marginal ones."""
        said = critic(pi)
        share = F.one_hot(s, self.task.classes).float().mean(0)
        total = (said.clamp(max=30).exp() * share).sum(1).mean()
        return said.gather(1, s[:, None]).mean(), total

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        joint, total = self.logits(frozen(self.critic), batch.pi, batch.s)
        own, partition = self.logits(self.critic, batch.pi.detach(), batch.s)
        self.average.lerp_(partition.detach(), 0.01)
        return self.weight * (joint - total.log()), partition / self.average.clone() - own


class Contrastive(Penalty):
    """I(code; s) as I(code; x) less I(code; x | s): a KL bounds the first from above, InfoNCE among
    rows of one label the second from below (Gupta et al., 2021).
    """

    stochastic = True

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.of_x = perceptron(task.train.x.shape[1], 64)
        self.of_pi = perceptron(task.features + task.classes, 64)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        one_hot = F.one_hot(batch.s, self.task.classes).float()
        u = self.of_pi(torch.cat((batch.pi, one_hot), 1))
        scores = u @ self.of_x(batch.x).T / 8
        same = batch.s[:, None] == batch.s[None]
        scores = scores.masked_fill(~same, -torch.inf)
        kept = (scores.diagonal() - scores.logsumexp(1) + same.sum(1).log()).mean()
        # Encoder and critics want the same here: one loss serves both.
        return self.weight * (kl(batch) - kept), batch.pi.new_zeros(())


def kl(batch: Batch) -> Tensor:
    """Returns the divergence of the posteriors from a standard normal, a mean in nats."""
    base = batch.posterior.base_dist
    variance = base.scale.square()
    return (base.loc.square() + variance - 1 - variance.log()).sum(1).mean() / 2


METHODS = {
    "gradient reversal": Method(trained(Reversal), WEIGHTS, "weight"),
    "gradient reversal, ramped": Method(trained(RampedReversal), WEIGHTS, "weight"),
    "CLUB": Method(trained(Club), WEIGHTS, "weight"),
    "MINE": Method(trained(Mine), WEIGHTS, "weight"),
    "InfoNCE (FCRL)": Method(trained(Contrastive), (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "weight"),
}
