"""A two-step disentanglement method (Hadad, Wolf and Shahar, CVPR 2018)."""

__all__ = ["ATSDM"]

import torch
import torch.nn.functional as F
from data.pairs import PairSampler
from model.presets import PoseAppearanceModel
from torch import Tensor

import mireg

from .objective import Objective, Step, frozen


class ATSDM(Objective):
    r"""Creates the objective of the two-step method.

    Step 1 trains the appearance encoder to tell the identities apart, and nothing else. It is frozen then, and step 2 trains the pose encoder and the
    decoder against an adversary that predicts the identity from the pose code.

    .. math:: L_1 = \mathrm{CE}(S(\alpha)), \qquad L_2 = L_{rec} - w \, \mathrm{CE}(A(\pi))

    The authors weigh the mean squared error on [0, 1] with 5 and the adversary with 1: beside a sum of squares over C x H x W values on [-1, 1],
    :math:`w = 0.8 C H W`. The adversary learns from several batches of codes in each step, most of them of recent steps. Step 1 has batches
    of its own, with two images of each of as many identities as other batches have images: from a few identities at a time a classifier of
    hundreds learns nothing.

    Arguments:
        pi_features: The number of features of the pose code.
        alpha_features: The number of features of the appearance code.
        sampler: Gives the batches of step 1, of the identities to tell apart.
        weight: The weight :math:`w` of the adversary.
        batches: From how many batches of codes the adversary learns in a step.
        first_step: The share of the run that step 1 takes.
    """

    stochastic = False
    identities: Tensor

    def __init__(
        self,
        pi_features: int,
        alpha_features: int,
        sampler: PairSampler,
        weight: float,
        batches: int = 3,
        first_step: float = 0.2,
    ) -> None:
        super().__init__()

        self.sampler = sampler
        self.register_buffer("identities", sampler.names)
        classes = len(sampler.names)
        self.classifier = mireg.LabelCritic(alpha_features, classes)
        self.adversary = mireg.LabelCritic(pi_features, classes)
        self.weight, self.batches, self.first_step = weight, batches, first_step

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        model.appearance_encoder.requires_grad_(progress < self.first_step)

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        if step.progress < self.first_step:
            loss = self.classify(step)
            metrics = {"classifier_cross_entropy": loss.detach()}
            return mireg.Penalty(loss, penalty.critic_loss, metrics)
        adversary_loss, entropy = self.compete(step)
        # The penalty is 0 here: T and T' watch only.
        loss = reconstruction + penalty.loss - self.weight * entropy
        metrics = {"adversary_cross_entropy": entropy.detach()}
        return mireg.Penalty(loss, penalty.critic_loss + adversary_loss, metrics)

    def classify(self, step: Step) -> Tensor:
        """Gives the loss of step 1, from which the encoder and the head of the classifier learn."""
        x1, x2, groups = self.sampler.batch_at(step.count).to(step.groups.device)
        alpha = step.model.appearance_encoder(torch.cat((x1, x2)))
        return self.cross_entropy(self.classifier, alpha, groups.repeat(2))

    def compete(self, step: Step) -> tuple[Tensor, Tensor]:
        """Gives the loss of the adversary, and its cross-entropy for the pose encoder to raise."""
        pi, groups = step.codes.pi, step.groups
        recent = [step.replay.draw(len(groups)) for _ in range(self.batches - 1)]
        codes = [(pi.detach(), groups), *((pi, groups) for pi, _, groups in recent)]
        losses = [self.cross_entropy(self.adversary, *of_batch) for of_batch in codes]
        with frozen(self.adversary):
            return torch.stack(losses).sum(), self.cross_entropy(self.adversary, pi, groups)

    def cross_entropy(self, network: mireg.LabelCritic, code: Tensor, groups: Tensor) -> Tensor:
        """Gives the cross-entropy of the identity predicted from a code."""
        labels = torch.searchsorted(self.identities, groups)
        return F.cross_entropy(network.of_pi(code), labels)
