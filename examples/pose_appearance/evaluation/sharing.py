"""What ranks share of an evaluation: each takes its part of the batches and of the triplets, and all get the whole."""

__all__ = ["Codes", "Shared", "estimates", "paired_codes", "share", "shared_errors"]

from dataclasses import dataclass

import numpy as np
import torch
from data.image_set import ImageSet
from data.pairs import PairSampler, Triplets, triplets
from torch import Tensor
from tqdm import tqdm
from training.ranks import collect
from training.trainer import Trainer

import mireg

from .triplet_error import TripletErrors, triplet_errors

Codes = tuple[Tensor, Tensor, Tensor]
"""Codes of pose and of appearance, and the identity of each."""


def sampler_of(trainer: Trainer, image_set: ImageSet, seed: int) -> PairSampler:
    """Gives batches of a set of images like those of training, or this rank's share, with fewer identities if it has no more."""
    options = trainer.options
    identities = min(options.identities_per_batch, len(np.unique(image_set.identity)))
    size = trainer.model.options.size
    return PairSampler(
        image_set, identities, options.views, size, seed, trainer.rank, trainer.ranks
    )


@torch.no_grad()
def estimates(trainer: Trainer, image_set: ImageSet, batches: int = 40) -> dict[str, float]:
    """Gives what T and T' read, on average, from the codes of a set of images."""
    sampler = sampler_of(trainer, image_set, trainer.options.seed)
    totals: dict[str, float] = {}
    for step in range(batches):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch)
        penalty = trainer.regularizer(*codes, groups=groups)
        for name in ("mi", "mi_shadow", "kl"):
            totals[name] = totals.get(name, 0.0) + float(penalty.metrics[name]) / batches
    return totals


@torch.no_grad()
def paired_codes(trainer: Trainer, image_set: ImageSet, seed: int, samples: int = 8000) -> Codes:
    """Gives codes of pairs of images from the averaged weights, and the identity of each, on all ranks the same."""
    sampler = sampler_of(trainer, image_set, seed)
    rows = []
    for step in tqdm(
        range(samples // (sampler.identities * sampler.views)), desc="codes", leave=False
    ):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch, trainer.averaged)
        rows.append([mireg.ranks.gather(x) for x in (codes.pi, codes.alpha, groups)])
    pi, alpha, groups = (torch.cat(x).cpu() for x in zip(*rows, strict=True))
    return pi, alpha, groups


def shared_errors(trainer: Trainer, held_out: ImageSet, drawn: Triplets) -> TripletErrors:
    """Gives the errors of triplets, on all ranks the same: each rank draws its share of them."""
    model = trainer.averaged
    share = Triplets(*(np.array_split(x, trainer.ranks)[trainer.rank] for x in drawn))
    own = triplet_errors(model.transfer, held_out, share, model.options.size, trainer.device)
    return TripletErrors(*map(np.concatenate, zip(*collect(own), strict=True)))


@dataclass(frozen=True)
class Shared:
    """What all ranks have worked out together."""

    estimates: dict[str, dict[str, float]]
    """What T and T' read, of training images and of held-out ones."""
    drawn: Triplets | None
    """The triplets, where poses are known."""
    errors: TripletErrors | None
    """Their errors."""
    codes: Codes | None
    """The codes to audit, if that is wanted."""


def share(
    trainer: Trainer, train_set: ImageSet, held_out: ImageSet, count: int, seed: int, audit: bool
) -> Shared:
    """Works out what ranks can share: each makes its part, and all get the whole.

    Arguments:
        trainer: The run.
        train_set: The images it was trained on.
        held_out: Images of other identities.
        count: The number of triplets.
        seed: The seed of all.
        audit: Whether codes are wanted.
    """
    torch.manual_seed(seed)
    seen = {"estimates_train": estimates(trainer, train_set)}
    if len(np.unique(held_out.identity)) > 1:
        seen["estimates_held_out"] = estimates(trainer, held_out)
    drawn = errors = codes = None
    if held_out.pose is not None:
        drawn = triplets(held_out, count, seed)
        errors = shared_errors(trainer, held_out, drawn)
    if audit:
        codes = paired_codes(trainer, held_out, seed)
    return Shared(seen, drawn, errors, codes)
