"""A trained run, as studies and the sections of a report see it."""

__all__ = ["Effort", "Run", "compared", "images_of"]

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import DATA_SETS, ImageSet
from ..model.presets import PoseAppearanceModel
from ..training.finished import load_trainer
from ..training.options import TrainOptions, read_options
from ..training.run import load_images, pick_device
from ..training.trainer import Trainer


@dataclass(frozen=True)
class Effort:
    """How closely a run is looked at."""

    triplets: int = 8000
    """The number of held-out triplets."""
    audit_samples: int = 8000
    """The number of held-out codes that fresh critics judge."""
    judge_steps: int = 1000
    """For how many steps judges of drawings, and decoders of one code, are trained."""
    judged: int = 2000
    """The number of triplets whose drawings are judged."""
    gallery: int | None = None
    """The most held-out identities among which drawings and pose codes search, all by default."""
    grid: int = 8
    """How many poses and appearances a picture of transfers has."""


@cache
def _images(options: TrainOptions) -> ImageSet:
    return load_images(options)


def images_of(options: TrainOptions) -> ImageSet:
    """Returns the images of a run: runs that differ in nothing that matters to them share a
    copy.
    """
    names = ["data", "data_root", "preset", "resize", "test_fraction", "identities", "poses"]
    names += ["images_per_identity", "store"]
    values = {name: getattr(options, name) for name in names}
    if DATA_SETS[options.data].takes("seed"):
        values["seed"] = options.seed
    return _images(TrainOptions(**values))


class Run:
    """Creates the view of a run that was trained.

    Arguments:
        folder: Where it is.
        effort: How closely studies look at it.
        seed: The seed of what they draw.
        device: Where its networks go, by default where it was trained.
    """

    def __init__(
        self,
        folder: Path,
        effort: Effort | None = None,
        seed: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.folder, self.effort, self.seed = folder, effort or Effort(), seed
        self.options = read_options(folder / "options.json")
        self.device = device or pick_device(self.options.device)

    @property
    def method(self) -> str:
        """The name of its objective."""
        return self.options.objective

    @cached_property
    def images(self) -> ImageSet:
        """All images of its data."""
        return images_of(self.options)

    @cached_property
    def train_set(self) -> ImageSet:
        """The images that it was trained on."""
        return self.images.subset("train")

    @cached_property
    def held_out(self) -> ImageSet:
        """The images of identities that it never saw."""
        held_out = self.images.subset("val", "test").in_memory()
        if not len(held_out):
            raise ValueError(f"{self.images.name} has no held-out identities to evaluate on")
        return held_out

    @cached_property
    def gallery(self) -> ImageSet:
        """The images of at most so many held-out identities as its effort says."""
        most, names = self.effort.gallery, np.unique(self.held_out.identity)
        if most is None or len(names) <= most:
            return self.held_out
        some = np.random.default_rng(0).permutation(names)[:most]
        return self.held_out.take(np.flatnonzero(np.isin(self.held_out.identity, some)))

    @cached_property
    def trainer(self) -> Trainer:
        """Its networks, as the newest good checkpoint left them."""
        return load_trainer(self.folder, self.options, self.images, self.device)

    @property
    def model(self) -> PoseAppearanceModel:
        """Its averaged weights, by which it is judged."""
        return self.trainer.averaged

    def release(self) -> None:
        """Lets go of its networks, which are loaded again when they are asked for."""
        vars(self).pop("trainer", None)

    def result(self, study: str) -> dict[str, Any]:
        """Returns what a study of a comparison found, nothing where it was not made."""
        path = self.folder / f"{study}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def metrics(self) -> dict[str, float]:
        """Its numbers at the end of training."""
        return self.result("metrics")

    @cached_property
    def errors(self) -> np.ndarray:
        """The error of each triplet of a comparison, with shape (count,)."""
        with np.load(self.folder / "errors.npz") as file:
            return file["transfer"]


def compared(runs: list[Run]) -> dict[str, list[Run]]:
    """Returns runs by their data, where methods are compared on it."""
    names = dict.fromkeys(run.options.data for run in runs)
    return {
        name: [run for run in runs if run.options.data == name]
        for name in names
        if not DATA_SETS[name].categories
    }
