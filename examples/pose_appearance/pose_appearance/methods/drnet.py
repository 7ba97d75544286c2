"""DrNet (Denton and Birodkar, NeurIPS 2017)."""

__all__ = ["DrNet"]

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import mireg

from .method import Method, Setting, Step, frozen, method


@dataclass(frozen=True)
class DrNetOptions:
    """DrNet."""

    similarity_weight: float = 1000.0
    """The weight v of the distance of two appearance codes of one identity."""
    adversary_weight: float = 10.0
    """The weight w of the adversary."""


@method
class DrNet(Method):
    r"""Creates DrNet: reconstruction, the similarity of two codes of one appearance, and an
    adversary of pose codes.

    .. math:: L_{rec} + v \, \| \alpha(x_1) - \mathrm{sg}\, \alpha(x_2) \|^2 + w \,
    \mathrm{BCE}(C(\pi_1, \mathrm{sg}\, \pi_2), \tfrac{1}{2})

    C judges whether two pose codes come from one identity or from two, and the pose encoder leaves
    it undecided. The authors weigh squared errors per value on [0, 1] and C with 1, 1 and 1e-4:
    beside a sum of squares over C x H x W values on [-1, 1], :math:`v = 4 C H W` per feature and
    :math:`w = 4 \cdot 10^{-4} C H W`.
    """

    Options = DrNetOptions
    source = "Denton and Birodkar, 2017"
    adds = (
        "α of two images of an identity alike; a judge of two π must not find out whether they "
        "are of one identity"
    )
    published_error = 0.059
    stochastic = False
    trials = {
        # The first are the authors' weights at 32x32 pixels.
        "puppets": (
            {"similarity_weight": 12288.0, "adversary_weight": 1.2},
            {"similarity_weight": 1000.0, "adversary_weight": 30.0},
            {"similarity_weight": 10.0, "adversary_weight": 30.0},
        ),
        "sprites": (
            {"similarity_weight": 40.0, "adversary_weight": 120.0},
            {"similarity_weight": 4000.0, "adversary_weight": 120.0},
        ),
    }
    proportional = ("similarity_weight", "adversary_weight")

    def __init__(self, options: DrNetOptions, setting: Setting) -> None:
        super().__init__(options, setting)

        if setting.views < 2:
            raise ValueError(f"drnet needs pairs of poses: --views 2 or more, got {setting.views}")
        pi_features, _ = setting.features
        self.adversary = mireg.ConcatenatedCritic(pi_features, pi_features)

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        with torch.no_grad():
            alpha2 = step.model.appearance_encoder(step.batch.x2)
        similarity = F.mse_loss(step.codes.alpha, alpha2)

        pi = step.codes.pi.unflatten(0, (-1, step.views))
        same, other = (pi.detach().roll(1, dims=dim) for dim in (1, 0))
        own = pi.detach()
        judged = (self.judge(own, same, 1.0) + self.judge(own, other, 0.0)) / 2
        with frozen(self.adversary):
            undecided = self.judge(pi, same, 0.5)
        # The penalty is 0 here: T and T' watch only.
        loss = reconstruction + penalty.loss
        loss = loss + self.options.similarity_weight * similarity
        loss = loss + self.options.adversary_weight * undecided
        metrics = {"similarity": similarity, "adversary": judged, "undecided": undecided}
        detached = {name: value.detach() for name, value in metrics.items()}
        return mireg.Penalty(loss, penalty.critic_loss + judged, detached)

    def judge(self, first: Tensor, second: Tensor, label: float) -> Tensor:
        """Returns the cross-entropy of C's verdict on pairs of pose codes, against one label for
        all.
        """
        logits = self.adversary(first.flatten(0, 1), second.flatten(0, 1))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
