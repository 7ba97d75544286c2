"""Codes of pairs of images, as critics see them."""

__all__ = ["Codes", "paired_codes", "sampler_of"]

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import mireg

from ..data import ImageSet
from ..data.pairs import PairSampler
from ..training.trainer import Trainer

Codes = tuple[Tensor, Tensor, Tensor]
"""Codes of pose and of appearance, and the identity of each."""


def sampler_of(trainer: Trainer, image_set: ImageSet, seed: int) -> PairSampler:
    """Returns batches like those of training, or this rank's share, of a set of images.

    They have fewer identities if the set has no more.
    """
    options = trainer.options
    identities = min(options.identities_per_batch, len(np.unique(image_set.identity)))
    size = trainer.model.options.size
    return PairSampler(
        image_set, identities, options.views, size, seed, trainer.rank, trainer.ranks
    )


@torch.no_grad()
def paired_codes(trainer: Trainer, image_set: ImageSet, seed: int, samples: int = 8000) -> Codes:
    """Returns codes of pairs from the averaged weights, and their identities, alike on all
    ranks.
    """
    sampler = sampler_of(trainer, image_set, seed)
    steps = samples // (sampler.identities * sampler.views)
    rows = []
    for step in tqdm(range(steps), desc="codes", leave=False):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch, trainer.averaged)
        rows.append([mireg.ranks.gather(x) for x in (codes.pi, codes.alpha, groups)])
    pi, alpha, groups = (torch.cat(x).cpu() for x in zip(*rows, strict=True))
    return pi, alpha, groups
