"""Runs of the flagship that take a second: a tiny model on a few tiny puppets."""

import os
import sys
from dataclasses import replace

import torch
from pose_appearance.methods import RecipeOptions
from pose_appearance.model.presets import PRESETS, ModelOptions
from pose_appearance.programs.train import main
from pose_appearance.training.options import TrainOptions
from processes import watch_groups

PRESETS["minute"] = ModelOptions(
    size=16,
    patch=4,
    encoder_widths=(8,),
    decoder_widths=(8,),
    pi_features=4,
    alpha_features=8,
    hidden=16,
)

TINY = TrainOptions(
    preset="minute",
    identities=10,
    poses=6,
    steps=60,
    identities_per_batch=4,
    views=2,
    recipe=RecipeOptions(replay_updates=1),
    checkpoint_minutes=0.0,
)


def start_or_resume(folder, **changes):
    """Trains as the program does, from the beginning or from where the folder's run is, and ends the process."""
    sys.stdout = sys.stderr = open(folder.with_suffix(".out"), "a")  # noqa: SIM115
    torch.set_num_threads(1)
    watch_groups()
    if (folder / "options.json").exists():
        options = TrainOptions(resume=folder, **changes)
    else:
        options = replace(TINY, out=folder, **changes)
    code = main(options)
    sys.stdout.flush()
    # At once: what the tests ran before has nothing to say here.
    os._exit(code)
