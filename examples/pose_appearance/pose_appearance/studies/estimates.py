"""What the critics of a run read from codes, of training images and of held-out ones."""

__all__ = ["Estimates", "estimates"]

from typing import Any

import numpy as np
import torch

from ..data import ImageSet
from ..training.trainer import Trainer
from .codes import sampler_of
from .run import Run
from .study import Study, study


@torch.no_grad()
def estimates(trainer: Trainer, image_set: ImageSet, batches: int = 40) -> dict[str, float]:
    """Returns what T and T' read, on average, from the codes of a set of images."""
    sampler = sampler_of(trainer, image_set, trainer.options.seed)
    totals: dict[str, float] = {}
    for step in range(batches):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch)
        penalty = trainer.regularizer(*codes, groups=groups)
        for name in ("mi", "mi_shadow", "kl"):
            totals[name] = totals.get(name, 0.0) + float(penalty.metrics[name]) / batches
    return totals


@study
class Estimates(Study):
    """Creates the study of what T and T' read."""

    def gather(self, run: Run) -> dict[str, dict[str, float]]:
        seen = {"estimates_train": estimates(run.trainer, run.train_set)}
        if len(np.unique(run.held_out.identity)) > 1:
            seen["estimates_held_out"] = estimates(run.trainer, run.held_out)
        return seen

    def measure(self, run: Run, gathered: dict[str, Any]) -> dict[str, Any]:
        return gathered
