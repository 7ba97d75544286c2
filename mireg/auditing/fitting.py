r"""The training of critics, with early stopping on a part of the training folds."""

__all__ = ["BATCH", "FoldData", "contrastive_loss", "fit", "label_loss", "rolls"]

import copy
import math
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

BATCH = 256
NEGATIVES = 4
CHECK_EVERY = 50
STOP_LIMIT = 4000


class FoldData(NamedTuple):
    """The samples of one fold as critics see them, or of several, with the fold as dimension 0."""

    x: Tensor
    """Features of π, with shape (N, D)."""
    y: Tensor
    """Features of α, with shape (N, E), or labels with shape (N,)."""
    base_x: Tensor
    """Canonical variables of π, with shape (N, R)."""
    base_y: Tensor
    """Canonical variables of α, with shape (N, R)."""
    groups: Tensor
    """Groups, with shape (N,)."""

    def at(self, rows: Tensor | slice | None) -> "FoldData":
        """Returns a part of the samples, by any tensor index."""
        return FoldData(*(x[rows] for x in self))


def rolls(n: int, count: int, generator: Generator) -> Tensor:
    """Returns `count` different cyclic shifts of n samples, without 0, as an index (count, n)."""
    count = min(count, n - 1)
    steps = torch.randperm(n - 1, generator=generator)[:count] + 1
    return (torch.arange(n) + steps[:, None]) % n


def fit(
    network: nn.Module,
    loss: Callable[[nn.Module, FoldData, Generator], Tensor],
    train: list[FoldData],
    stop: list[FoldData],
    steps: int,
    generator: Generator,
    rate: float = 2e-3,
    patience: int = 8,
    progress: Callable[[float], None] | None = None,
) -> tuple[nn.Module, Tensor]:
    """Trains the critics of all folds, and keeps the weights with the lowest stopping loss.

    Arguments:
        network: The critics, with the fold as first dimension of each parameter.
        loss: Returns the loss of each fold for a batch with the fold as first dimension, with shape
            (F,).
        train: The training samples of each fold.
        stop: The stopping samples of each fold.
        steps: The most steps.
        generator: The source of batches and pairs.
        rate: The highest learning rate.
        patience: The number of checks without improvement in any fold after which training stops.
        progress: Called after each check with the share of the steps that is done.

    Returns:
        The trained critics, and the loss of each fold on its stopping samples, with shape (F,).
    """
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=True
    )
    average = copy.deepcopy(network).eval()
    best = copy.deepcopy(network).eval()
    held = _stack([fold.at(slice(STOP_LIMIT)) for fold in stop])
    stop_seed = int(torch.randint(2**31, (1,), generator=generator))

    def judged() -> Tensor:
        with torch.no_grad():
            return loss(average, held, torch.Generator().manual_seed(stop_seed))

    # All folds in one tensor: a batch of all of them is one look-up.
    pool = FoldData(*(torch.cat(x) for x in zip(*train, strict=True)))
    sizes = torch.tensor([len(fold.x) for fold in train])[:, None]
    starts = sizes.cumsum(0) - sizes

    lowest = judged()
    waited = 0
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        rows = (torch.rand(len(train), BATCH, generator=generator) * sizes).long() + starts
        optimizer.zero_grad()
        loss(network, pool.at(rows), generator).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0 * len(train))
        optimizer.step()
        with torch.no_grad():
            decay = min(0.95, 1 - 1 / (step + 2))
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        if (step + 1) % CHECK_EVERY == 0:
            if progress is not None:
                progress((step + 1) / steps)
            now = judged()
            better = now < lowest - 1e-5
            lowest = torch.where(better, now, lowest)
            with torch.no_grad():
                for kept, new in zip(best.parameters(), average.parameters(), strict=True):
                    kept[better] = new[better]
            waited = 0 if bool(better.any()) else waited + 1
            if waited >= patience:
                break
    return best, lowest


def _stack(folds: list[FoldData]) -> FoldData:
    """Returns folds stacked along a new first dimension. Longer folds lose their last rows."""
    shortest = slice(min(len(fold.x) for fold in folds))
    return FoldData(*(torch.stack(x) for x in zip(*(f.at(shortest) for f in folds), strict=True)))


def contrastive_loss(network: nn.Module, batch: FoldData, generator: Generator) -> Tensor:
    """Returns the logistic loss of eq. (10) on each fold, with all pairs for towers in training."""
    if network.training and network.all_pairs:
        scores = cast(Callable[[FoldData], Tensor], network.every)(batch)
        others = batch.groups[:, :, None] != batch.groups[:, None]
        marginal = (F.softplus(scores) * others).sum((1, 2)) / others.sum((1, 2)).clamp(min=1)
        return F.softplus(-scores.diagonal(dim1=1, dim2=2)).mean(1) + marginal
    n = batch.x.shape[1]
    index = torch.cat((torch.arange(n)[None], rolls(n, NEGATIVES, generator)))
    scores = network(batch, index)
    mask = batch.groups[:, None] != batch.groups[:, index[1:]]
    marginal = (F.softplus(scores[:, 1:]) * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    return F.softplus(-scores[:, 0]).mean(1) + marginal


def label_loss(network: nn.Module, batch: FoldData, generator: Generator) -> Tensor:
    """Returns the cross-entropy of each fold."""
    log_probability: Tensor = cast(Callable[[Tensor], Tensor], network.log_probability)(batch.x)
    return -log_probability.gather(2, batch.y[..., None]).squeeze(2).mean(1)
