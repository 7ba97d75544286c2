"""Means over pairs of which not all may count, in full precision."""

__all__ = ["full_precision", "log_mean_exp", "masked_mean"]

import math

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Gives `x` in float32 if it is of half precision, and unchanged otherwise."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def masked_mean(x: Tensor, mask: Tensor | None, count: Tensor | None = None) -> Tensor:
    """Averages `x` where `mask` is true: 0 if it is so nowhere. A `count` takes the place of the number of true entries."""
    if mask is None:
        return x.mean()
    count = mask.sum() if count is None else count
    return torch.where(mask, x, 0).sum() / torch.where(count > 0, count, 1)


def log_mean_exp(x: Tensor, mask: Tensor | None, count: Tensor | None = None) -> Tensor:
    r"""Gives :math:`\log \mathbb{E} \exp x` over the entries where `mask` is true. A `count` takes the place of their number."""
    if mask is None:
        return torch.logsumexp(x.flatten(), dim=0) - math.log(x.numel())
    # A large finite number instead of -inf: with no pair at all the result stays finite.
    masked = torch.where(mask, x, -1e9).flatten()
    count = (mask.sum() if count is None else count).to(x.dtype)
    known = torch.where(count > 0, count, 1)
    return torch.where(count > 0, torch.logsumexp(masked, dim=0) - known.log(), 0)
