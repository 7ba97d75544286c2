"""Cycle-consistent VAE (Jha, Anand, Singh and Veeravasarapu, ECCV 2018)."""

__all__ = ["CycleVAE"]

import torch
import torch.nn.functional as F
from torch import Tensor

import mireg

from .objective import Objective, Step


class CycleVAE(Objective):
    r"""Creates the objective of a cycle-consistent VAE: swapped reconstruction, KL, and the reverse cycle.

    .. math:: L_{rec} + \beta \, \mathrm{KL} + w \, | \mu(D(z, \alpha_a)) - \mu(D(z, \alpha_b)) |_1, \quad z \sim N(0, I)

    Reconstruction with the appearance of another image of the identity is the swapped one. The reverse cycle trains the pose encoder alone: one pose
    drawn with two appearances has to come back as one. The authors weigh squared error, KL and cycle, all per pixel on [0, 1], with 2, 3 and 10; beside
    a sum of squares over an image of C x H x W values on [-1, 1] this is :math:`\beta = 6` and :math:`w = 20 C H W`.

    Arguments:
        weight: The weight :math:`w` of the reverse cycle. :math:`\beta` is the regularizer's.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()

        self.weight = weight

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        cycle = self.reverse_cycle(step)
        loss = reconstruction + penalty.loss + self.weight * cycle
        return mireg.Penalty(loss, penalty.critic_loss, {"cycle": cycle.detach()})

    def reverse_cycle(self, step: Step) -> Tensor:
        """Gives the distance of the pose codes of one random pose in two appearances, per feature."""
        with torch.no_grad():
            alpha = step.codes.alpha
            z = torch.randn_like(step.codes.pi)
            # A roll by all views of an identity pairs different identities.
            appearances = torch.cat((alpha, alpha.roll(step.views, dims=0)))
            drawn = step.model.decoder(torch.cat((z, z)), appearances)
        mean, _ = step.model.pose_encoder(drawn)
        return F.l1_loss(*mean.chunk(2))
