"""A run that is over, as sections see it: its numbers, its images, and its model when they ask for it."""

__all__ = ["APART", "FinishedRun", "images_of", "of_data"]

import json
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from data.image_set import ImageSet
from data.pairs import Triplets, triplets
from evaluation.triplet_error import Transfer
from training.checkpoint import load_checkpoint
from training.options import TrainOptions, read_options
from training.run import build_trainer, load_images, pick_device
from training.trainer import Trainer

APART = "creatures"
"""Data on which no methods are compared."""


@cache
def _images(options: TrainOptions) -> ImageSet:
    return load_images(options)


def images_of(options: TrainOptions) -> ImageSet:
    """Gives the images of a run: runs that differ in nothing that matters to them share one copy."""
    names = ("data", "data_root", "preset", "resize", "test_fraction", "identities", "poses")
    values = {name: getattr(options, name) for name in names}
    if options.data != "sprites":
        values["seed"] = options.seed
    return _images(TrainOptions(**values))


class FinishedRun:
    """Creates the view of a run that was trained and evaluated.

    Arguments:
        folder: Where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = read_options(folder / "options.json")
        self.evaluation: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())

    @property
    def method(self) -> str:
        """The name of its objective."""
        return self.options.objective

    @cached_property
    def errors(self) -> np.ndarray:
        """The triplet error of each triplet, with shape (count,)."""
        with np.load(self.folder / "errors.npz") as file:
            return file["transfer"]

    @property
    def images(self) -> ImageSet:
        """All images of its data."""
        return images_of(self.options)

    @property
    def held_out(self) -> ImageSet:
        """The images of identities that it never saw."""
        return self.images.subset("val", "test")

    def some_held_out(self, most: int) -> ImageSet:
        """Gives the images of at most so many identities that it never saw."""
        held_out = self.held_out
        names = np.random.default_rng(0).permutation(np.unique(held_out.identity))
        if len(names) <= most:
            return held_out
        return held_out.take(np.flatnonzero(np.isin(held_out.identity, names[:most])))

    @property
    def triplets(self) -> Triplets:
        """The triplets that it was measured on, as indices into :attr:`held_out`."""
        settings = self.evaluation["triplets"]
        return triplets(self.held_out, settings["count"], settings["seed"])

    def trainer(self) -> Trainer:
        """Loads its networks; `trainer().averaged` is the model, with `transfer`, both encoders and the decoder."""
        trainer = build_trainer(self.options, self.images, pick_device(self.options.device))
        trainer.load_state_dict(load_checkpoint(self.folder / "checkpoint.pt"))
        return trainer

    def transfer(self) -> Transfer:
        """Gives the function that draws the appearance of one batch of images in the pose of another."""
        return self.trainer().averaged.transfer


def of_data(runs: list[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Sorts runs by their data, where methods are compared on it."""
    names = dict.fromkeys(run.options.data for run in runs if run.options.data != APART)
    return {name: [run for run in runs if run.options.data == name] for name in names}
