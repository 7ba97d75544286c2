"""A two-step disentanglement method (Hadad, Wolf and Shahar, CVPR 2018)."""

__all__ = ["ATSDM"]

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import mireg

from ..data.pairs import PairSampler
from ..model.presets import PoseAppearanceModel
from .method import Method, Setting, Step, frozen, method


@dataclass(frozen=True)
class ATSDMOptions:
    """The two-step method."""

    adversary_weight: float = 10.0
    """The weight w of the adversary."""
    classifier_share: float = 0.2
    """The share of the steps that train the classifier of identities, and nothing else."""


@method
class ATSDM(Method):
    r"""Creates the two-step method.

    Step 1 trains the appearance encoder to tell the identities apart, and nothing else. It is
    frozen then, and step 2 trains the pose encoder and the decoder against an adversary that
    predicts the identity from the pose code.

    .. math:: L_1 = \mathrm{CE}(S(\alpha)), \qquad L_2 = L_{rec} - w \, \mathrm{CE}(A(\pi))

    The authors weigh the mean squared error on [0, 1] with 5 and the adversary with 1: beside a sum
    of squares over C x H x W values on [-1, 1], :math:`w = 0.8 C H W`. The adversary learns from
    several batches of codes in each step, most of them of recent steps. Step 1 has batches of its
    own, with two images of each of as many identities as other batches have images: from a few
    identities at a time a classifier of hundreds learns nothing.
    """

    Options = ATSDMOptions
    source = "Hadad et al., 2018"
    adds = "α from a classifier of identities, frozen; an adversary must not find the identity in π"
    published_error = 0.042
    stochastic = False
    one_graph = False
    trials = {
        # The first are the authors' weights at 32x32 pixels.
        "puppets": (
            {"adversary_weight": 2458.0, "classifier_share": 0.2},
            {"adversary_weight": 2.5, "classifier_share": 0.4},
            {"adversary_weight": 0.25, "classifier_share": 0.4},
        ),
        "sprites": tuple({"adversary_weight": x, "classifier_share": 0.4} for x in (1.0, 0.1)),
    }
    proportional = ("adversary_weight",)

    batches = 3
    """From how many batches of codes the adversary learns in a step."""
    identities: Tensor

    def __init__(self, options: ATSDMOptions, setting: Setting) -> None:
        super().__init__(options, setting)

        count, size = setting.identities * setting.views, setting.model.options.size
        train_set = setting.images.subset("train")
        self.sampler = PairSampler(train_set, count, 1, size, setting.seed)
        self.register_buffer("identities", self.sampler.names)
        pi_features, alpha_features = setting.features
        classes = len(self.identities)
        self.classifier = mireg.LabelCritic(alpha_features, classes)
        self.adversary = mireg.LabelCritic(pi_features, classes)

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        model.appearance_encoder.requires_grad_(progress < self.options.classifier_share)

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        if step.progress < self.options.classifier_share:
            loss = self.classify(step)
            metrics = {"classifier_cross_entropy": loss.detach()}
            return mireg.Penalty(loss, penalty.critic_loss, metrics)
        adversary_loss, entropy = self.compete(step)
        # The penalty is 0 here: T and T' watch only.
        loss = reconstruction + penalty.loss - self.options.adversary_weight * entropy
        metrics = {"adversary_cross_entropy": entropy.detach()}
        return mireg.Penalty(loss, penalty.critic_loss + adversary_loss, metrics)

    def classify(self, step: Step) -> Tensor:
        """Returns the loss of step 1, from which the encoder and the head of the classifier
        learn.
        """
        x1, x2, groups = self.sampler.batch_at(step.count).to(step.groups.device)
        alpha = step.model.appearance_encoder(torch.cat((x1, x2)))
        return self.cross_entropy(self.classifier, alpha, groups.repeat(2))

    def compete(self, step: Step) -> tuple[Tensor, Tensor]:
        """Returns the loss of the adversary, and its cross-entropy for the pose encoder to
        raise.
        """
        pi, groups = step.codes.pi, step.groups
        recent = [step.replay.draw(len(groups)) for _ in range(self.batches - 1)]
        codes = [(pi.detach(), groups), *((pi, groups) for pi, _, groups in recent)]
        losses = [self.cross_entropy(self.adversary, *of_batch) for of_batch in codes]
        with frozen(self.adversary):
            return torch.stack(losses).sum(), self.cross_entropy(self.adversary, pi, groups)

    def cross_entropy(self, network: mireg.LabelCritic, code: Tensor, groups: Tensor) -> Tensor:
        """Returns the cross-entropy of the identity predicted from a code."""
        labels = torch.searchsorted(self.identities, groups)
        return F.cross_entropy(network.of_pi(code), labels)
