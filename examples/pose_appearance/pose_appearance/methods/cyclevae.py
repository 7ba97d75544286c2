"""Cycle-consistent VAE (Jha, Anand, Singh and Veeravasarapu, ECCV 2018)."""

__all__ = ["CycleVAE"]

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mireg
from mireg import weights

from .method import Method, Step, method


@dataclass(frozen=True)
class CycleVAEOptions:
    """The cycle-consistent VAE."""

    beta: float = 5.0
    """The weight β of the KL."""
    cycle_weight: float = 1000.0
    """The weight w of the reverse cycle."""


@method
class CycleVAE(Method):
    r"""Creates a cycle-consistent VAE: swapped reconstruction, KL, and the reverse cycle.

    .. math:: L_{rec} + \beta \, \mathrm{KL} + w \, | \mu(D(z, \alpha_a)) - \mu(D(z, \alpha_b)) |_1,
    \quad z \sim N(0, I)

    Reconstruction with the appearance of another image of the identity is the swapped one. The
    reverse cycle trains the pose encoder alone: one pose drawn with two appearances has to come
    back as one. The authors weigh squared error, KL and cycle, all per pixel on [0, 1], with 2, 3
    and 10; beside a sum of squares over an image of C x H x W values on [-1, 1] this is
    :math:`\beta = 6` and :math:`w = 20 C H W`.
    """

    Options = CycleVAEOptions
    source = "Jha et al., 2018"
    adds = "β KL; one random pose drawn with two appearances is encoded alike"
    published_error = 0.017
    trials = {
        # The first are the authors' weights at 32x32 pixels.
        "puppets": (
            {"beta": 6.0, "cycle_weight": 61440.0},
            {"beta": 1.0, "cycle_weight": 150.0},
            {"beta": 0.3, "cycle_weight": 50.0},
        ),
        "sprites": (
            {"beta": 0.3, "cycle_weight": 200.0},
            {"beta": 1.0, "cycle_weight": 600.0},
        ),
    }
    proportional = ("cycle_weight",)

    @classmethod
    def gamma_and_multiplier(cls, options: CycleVAEOptions) -> dict[str, nn.Module]:
        gamma = weights.FixedGamma(options.beta)
        return {"gamma": gamma, "multiplier": weights.FixedMultiplier(0)}

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        cycle = self.reverse_cycle(step)
        loss = reconstruction + penalty.loss + self.options.cycle_weight * cycle
        return mireg.Penalty(loss, penalty.critic_loss, {"cycle": cycle.detach()})

    def reverse_cycle(self, step: Step) -> Tensor:
        """Returns the distance of the pose codes of one random pose in two appearances, per
        feature.
        """
        with torch.no_grad():
            alpha = step.codes.alpha
            z = torch.randn_like(step.codes.pi)
            # A roll by all views of an identity pairs different identities.
            appearances = torch.cat((alpha, alpha.roll(step.views, dims=0)))
            drawn = step.model.decoder(torch.cat((z, z)), appearances)
        mean, _ = step.model.pose_encoder(drawn)
        return F.l1_loss(*mean.chunk(2))
