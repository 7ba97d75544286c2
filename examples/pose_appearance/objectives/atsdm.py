"""A two-step disentanglement method (Hadad, Wolf and Shahar, CVPR 2018)."""

__all__ = ["ATSDM"]

import torch
import torch.nn.functional as F
from data.pairs import PairSampler
from model.presets import PoseAppearanceModel
from torch import Tensor

import mireg

from .objective import Adversary, Objective, Step


class ATSDM(Objective):
    r"""Creates the objective of the two-step method.

    Step 1 trains the appearance encoder to tell the identities apart, and nothing else. It is frozen then, and step 2 trains the pose encoder and the
    decoder against an adversary that predicts the identity from the pose code.

    .. math:: L_1 = \mathrm{CE}(S(\alpha)), \qquad L_2 = L_{rec} - w \, \mathrm{CE}(A(\pi))

    The authors weigh the mean squared error on [0, 1] with 5 and the adversary with 1: beside a sum of squares over C x H x W values on [-1, 1],
    :math:`w = 0.8 C H W`. The adversary makes several steps for each of the model, most of them on codes of recent batches. Step 1 has batches of its
    own, with two images of each of as many identities as other batches have images: from a few identities at a time a classifier of hundreds learns nothing.

    Arguments:
        pi_features: The number of features of the pose code.
        alpha_features: The number of features of the appearance code.
        sampler: Gives the batches of step 1, of the identities to tell apart.
        weight: The weight :math:`w` of the adversary.
        learning_rate: The learning rate of the adversary and of the head of the classifier.
        updates: How many steps the adversary makes for each of the model.
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
        learning_rate: float,
        updates: int = 3,
        first_step: float = 0.2,
    ) -> None:
        super().__init__()

        self.sampler = sampler
        self.register_buffer("identities", sampler.names)
        classes = len(sampler.names)
        self.classifier = Adversary(mireg.LabelCritic(alpha_features, classes), learning_rate)
        self.adversary = Adversary(mireg.LabelCritic(pi_features, classes), learning_rate)
        self.weight, self.updates, self.first_step = weight, updates, first_step

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        model.appearance_encoder.requires_grad_(progress < self.first_step)

    def forward(
        self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if step.progress < self.first_step:
            loss = self.classify(step)
            return loss, {"classifier_cross_entropy": loss.detach()}
        entropy = self.compete(step)
        # The penalty is 0 here: T and T' watch only.
        loss = reconstruction + penalty.loss - self.weight * entropy
        return loss, {"adversary_cross_entropy": entropy.detach()}

    def classify(self, step: Step) -> Tensor:
        """Trains the head of the classifier, and gives the loss of step 1 for the encoder."""
        x1, x2, groups = self.sampler.batch_at(step.count).to(step.groups.device)
        alpha, groups = step.model.appearance_encoder(torch.cat((x1, x2))), groups.repeat(2)
        self.classifier.descend(self.cross_entropy(self.classifier, alpha.detach(), groups))
        with self.classifier.frozen():
            return self.cross_entropy(self.classifier, alpha, groups)

    def compete(self, step: Step) -> Tensor:
        """Trains the adversary, and gives its cross-entropy for the pose encoder to raise."""
        pi, groups = step.codes.pi.detach(), step.groups
        for _ in range(self.updates):
            self.adversary.descend(self.cross_entropy(self.adversary, pi, groups))
            pi, _, groups = step.replay.draw(len(groups))
        with self.adversary.frozen():
            return self.cross_entropy(self.adversary, step.codes.pi, step.groups)

    def cross_entropy(self, critic: Adversary, code: Tensor, groups: Tensor) -> Tensor:
        """Gives the cross-entropy of the identity predicted from a code."""
        labels = torch.searchsorted(self.identities, groups)
        everyone = torch.arange(len(self.identities), device=code.device)
        return F.cross_entropy(critic.network.pairwise(code, everyone), labels)
