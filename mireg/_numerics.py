"""Weighted means over pairs, in full precision, and the entropy of labels."""

__all__ = ["full_precision", "label_entropy", "log_mean_exp", "mean"]

import math

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Returns `x` in float32 if it has half precision, otherwise unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def mean(x: Tensor, weights: Tensor | None = None) -> Tensor:
    """Returns the mean of `x`, or its sum weighted by `weights`."""
    if weights is None:
        return x.mean()
    return torch.dot(x.flatten(), weights.to(x.dtype).flatten())


def label_entropy(labels: Tensor) -> float:
    """Returns the entropy of integer labels of at least 0, in nats; 0 for no labels."""
    shares = labels.bincount() / len(labels)
    return float(-torch.special.xlogy(shares, shares).sum())


def log_mean_exp(x: Tensor, weights: Tensor | None = None, empty: float = 0.0) -> Tensor:
    r"""Returns the logarithm of the :func:`mean` of exp x, or `empty` if all weights are 0."""
    if weights is None:
        return torch.logsumexp(x.flatten(), dim=0) - math.log(x.numel())
    # log 0 would make the gradient NaN if all weights are 0.
    logs = weights.to(x.dtype).clamp(min=1e-30).log()
    return torch.where(weights.sum() > 0, (x + logs).flatten().logsumexp(0), empty)
