r"""The adapter of critics that take `(pi, alpha)` and no pairs."""

__all__ = ["JointAndMarginal", "Rows"]

import torch
from torch import Tensor, nn

from .pairs import Pairs

JointAndMarginal = tuple[Tensor, Tensor]
"""The logits of joint and of marginal pairs."""


class Rows(nn.Module):
    """Creates a critic from a module of `(pi, alpha)`: each pair is a row of one large batch."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()

        self.module = module

    def rows(self, pi: Tensor, alpha: Tensor) -> Tensor:
        logits: Tensor = self.module(pi, alpha)
        if logits.shape != pi.shape[:1]:
            raise ValueError(
                f"a critic must return one logit for each pair, with shape {(len(pi),)}, got "
                f"{tuple(logits.shape)} from {type(self.module).__name__}"
            )
        return logits

    def forward(
        self, pi: Tensor, alpha: Tensor, pairs: Pairs | None = None
    ) -> Tensor | JointAndMarginal:
        if pairs is None:
            return self.rows(pi, alpha)
        n, rows = len(pi), torch.arange(len(alpha), device=alpha.device)
        joint = pairs.joint
        if pairs.marginal is None:
            samples, pool = pairs.in_blocks(pi, rows)
            blocks, columns = pool.shape
            shape = torch.Size((n, columns))
            partners = pool[:, None].expand(-1, samples.shape[1], -1).flatten()
            joint = joint + columns * torch.arange(blocks, device=pi.device).repeat_interleave(
                samples.shape[1]
            )
            copies = pi.repeat_interleave(columns, dim=0)
        else:
            shape = pairs.marginal.shape
            partners = pairs.marginal.flatten()
            copies = pi.repeat(len(pairs.marginal), *[1] * (pi.ndim - 1))
        # Joint and marginal pairs in one pass, so that batch norm cannot separate them.
        index = torch.cat((joint, partners))
        logits = self.rows(torch.cat((pi, copies)), alpha.index_select(0, index))
        joint, marginal = logits.split((n, len(partners)))
        return joint, marginal.view(shape)

    def __repr__(self) -> str:
        return repr(self.module)
