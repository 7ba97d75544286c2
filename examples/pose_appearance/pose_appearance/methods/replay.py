"""The codes of recent batches, from which the critics of the published recipe learn beside those of
the step. `robust` has a memory of its own.
"""

__all__ = ["Replay"]

import torch
from torch import Tensor, nn

import mireg


class Replay(nn.Module):
    """Creates a memory of the latest posteriors and appearance codes, a ring in buffers.

    Arguments:
        capacity: How many samples it holds.
        pi_features: The number of features of the pose code.
        alpha_features: The number of features of the appearance code.
    """

    def __init__(self, capacity: int, pi_features: int, alpha_features: int) -> None:
        super().__init__()

        self.register_buffer("mean", torch.zeros(capacity, pi_features))
        self.register_buffer("deviation", torch.zeros(capacity, pi_features))
        self.register_buffer("alpha", torch.zeros(capacity, alpha_features))
        self.register_buffer("groups", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, codes: mireg.Codes, groups: Tensor) -> None:
        """Writes the codes of a batch over the oldest ones."""
        assert codes.posterior is not None
        # The codes of all ranks: each holds the same, whatever their number.
        mean, deviation, alpha, groups = (
            mireg.ranks.gather(x)
            for x in (codes.posterior.mean, codes.posterior.stddev, codes.alpha, groups)
        )
        rows = (self.written + torch.arange(len(groups), device=groups.device)) % len(self.groups)
        self.mean[rows] = mean
        self.deviation[rows] = deviation
        self.alpha[rows] = alpha
        self.groups[rows] = groups
        self.written += len(groups)

    def draw(self, count: int, rank: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Returns `count` random samples: pose codes with fresh noise, appearance codes,
        identities.
        """
        filled = self.written.clamp(max=len(self.groups))
        # All ranks draw for all, from generators in the same state, and take their own.
        total = count * mireg.Ranks().count
        rows = (torch.rand(total, device=self.groups.device) * filled).long()
        noise = torch.randn(total, self.mean.shape[1], device=self.mean.device)
        own = slice(rank * count, (rank + 1) * count)
        rows = rows[own]
        pi = self.mean[rows] + self.deviation[rows] * noise[own]
        return pi, self.alpha[rows], self.groups[rows]
