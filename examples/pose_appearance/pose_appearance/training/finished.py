"""A run that has made steps: its model, its numbers, and what it leaves."""

__all__ = [
    "export_run",
    "has_ended",
    "load_trainer",
    "native_size",
    "trained_model",
    "write_metrics",
]

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mireg

from ..data import DATA_SETS, ImageSet
from ..model.exported import export_model
from ..model.presets import PRESETS, PoseAppearanceModel
from ..model.pretrained import save_weights
from .checkpoint import NAME, load_checkpoint, load_newest
from .files import write_json
from .log import read_log
from .options import TrainOptions, read_options
from .run import build_trainer, share_of
from .trainer import Trainer

LAST_LINES = 10
"""How many lines of the log the numbers at the end of training are averaged over."""


def load_trainer(
    folder: Path, options: TrainOptions, image_set: ImageSet, device: torch.device
) -> Trainer:
    """Returns a run as its last checkpoint left it, with the images that it was made for."""
    trainer = build_trainer(options, image_set, device)
    path, refused = load_newest(folder, trainer.load_state_dict)
    for reason in refused.values():
        print(f"warning: {reason}: {path.name} is used", file=sys.stderr)
    return trainer


def write_metrics(trainer: Trainer, folder: Path) -> dict[str, float]:
    """Writes the numbers at the end of a run as `metrics.json`: what is logged, over its last
    lines.

    Returns:
        The numbers.
    """
    options, log = trainer.options, read_log(folder)
    names = [name for name in log[-1] if name != "step"]
    images = trainer.step_count * options.identities_per_batch * options.views
    metrics = {
        **{name: float(np.mean([line[name] for line in log[-LAST_LINES:]])) for name in names},
        "steps": trainer.step_count,
        "seconds": trainer.seconds,
        "images_per_second": images / trainer.seconds,
        "data_share": trainer.data_seconds / trainer.seconds,
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def has_ended(folder: Path, options: TrainOptions) -> bool:
    """Returns whether nothing is left to do of a run: neither to train nor to draw."""
    path = folder / NAME
    if not (path.exists() and (folder / "metrics.json").exists()):
        return False
    state = load_checkpoint(path)
    return share_of(options, state["step"], state["seconds"]) >= 1


def trained_model(folder: Path) -> tuple[PoseAppearanceModel, TrainOptions]:
    """Loads the averaged weights of a run, which needs no data.

    Returns:
        The model and the options that it was trained with.
    """
    options = read_options(folder / "options.json")
    path = folder / NAME
    return _averaged_model(options, load_checkpoint(path), path), options


def _averaged_model(
    options: TrainOptions, state: dict[str, Any], path: Path
) -> PoseAppearanceModel:
    """Builds the model of a run from the averaged weights in its checkpoint."""
    model = PoseAppearanceModel(PRESETS[options.preset]).requires_grad_(False)
    try:
        model.load_state_dict(state["averaged"])
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} must hold the model of the preset {options.preset}: {error}"
        ) from error
    return model.to(memory_format=torch.channels_last)


def native_size(options: TrainOptions) -> int:
    """Returns the side of the images of a run, which are padded to that of the model."""
    return DATA_SETS[options.data].native_size or PRESETS[options.preset].size


def export_run(folder: Path, target: Path, *, weights: bool = False) -> None:
    """Exports the averaged weights of a run, with a card that tells how they were trained.

    Arguments:
        folder: The run.
        target: Where to write.
        weights: Whether to write one file of weights instead of programs.
    """
    options, path = read_options(folder / "options.json"), folder / NAME
    state = load_checkpoint(path)
    model = _averaged_model(options, state, path)
    trained = ("data", "preset", "objective", "epsilon", "seed")
    about = {name: getattr(options, name) for name in trained}
    about |= {"steps": state["step"], "seconds": state["seconds"], "mireg": mireg.__version__}
    write = save_weights if weights else export_model
    write(model, target, {"native_size": native_size(options), **about})
