"""Penalties by a dependence that is computed on the batch, without a network: HSIC, MMD as in VFAE,
and the distance correlation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from training import Batch, Penalty, trained

from .base import Method


def distances(a: Tensor) -> Tensor:
    """Returns squared distances between all rows."""
    squares = a.square().sum(1)
    return (squares[:, None] + squares[None] - 2 * a @ a.T).clamp(min=0)


def centred(kernel: Tensor) -> Tensor:
    """Returns a matrix whose rows and columns have mean 0."""
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()


class Hsic(Penalty):
    """The Hilbert-Schmidt criterion (Gretton et al., 2005), divided by what it is at most, so that
    a weight means the same for all codes.
    """

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        squares = distances(batch.pi)
        width = squares.detach().median().clamp(min=1e-6)
        k = centred((-squares / width).exp())
        labels = centred((batch.s[:, None] == batch.s[None]).float())
        most = (k.square().sum() * labels.square().sum()).clamp(min=1e-12).sqrt()
        return self.weight * (k * labels).sum() / most, batch.pi.new_zeros(())


class Mmd(Penalty):
    """The discrepancy between the codes of a label and all codes (Gretton et al., 2012), as in VFAE
    (Louizos et al., 2016): a mean over labels of five kernels.
    """

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        squares = distances(batch.pi)
        width = squares.detach().median().clamp(min=1e-6)
        kernel = sum((-squares / (width * 4.0**i)).exp() for i in range(-2, 3)) / 5
        shares = F.one_hot(batch.s, self.task.classes).float()
        counts = shares.sum(0)
        # Each column is a difference of two distributions over the rows of the batch.
        difference = shares / counts.clamp(min=1) - 1 / len(kernel)
        found = torch.einsum("nc,nm,mc->c", difference, kernel, difference)
        loss = (found * counts).sum() / counts.sum()
        return self.weight * loss, batch.pi.new_zeros(())


class DistanceCorrelation(Penalty):
    """The squared distance correlation of code and label (Székely et al., 2007)."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        a = centred((distances(batch.pi) + 1e-8).sqrt())
        b = centred((batch.s[:, None] != batch.s[None]).float())
        most = ((a * a).mean() * (b * b).mean()).clamp(min=1e-12).sqrt()
        return self.weight * (a * b).mean() / most, batch.pi.new_zeros(())


METHODS = {
    "HSIC": Method(trained(Hsic), (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), "weight"),
    "MMD": Method(trained(Mmd), (1.0, 3.0, 10.0, 30.0, 100.0, 300.0), "weight"),
    "distance correlation": Method(
        trained(DistanceCorrelation), (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), "weight"
    ),
}
