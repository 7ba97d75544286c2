"""Trains and evaluates planned runs, each in a folder: what is done is not done again, and what was cut off goes on."""

__all__ = ["complete", "evaluate_run", "run_all"]

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data.pairs import triplets
from evaluate import audit_codes
from evaluation.pictures import curves, transfer_grid
from evaluation.sharing import estimates
from evaluation.triplet_error import triplet_errors
from training.checkpoint import checkpoints_of
from training.files import write_json
from training.log import read_log
from training.options import TrainOptions, read_options, write_options
from training.run import StopSignal, build_trainer, compiles, pick_device, resume, train
from training.trainer import Trainer

from .finished import FinishedRun, images_of
from .plan import Budget, PlannedRun

TRIPLET_SEED = 1

LAST_LINES = 10
"""How many lines of the log the numbers at the end of training are averaged over."""


def run_all(budget: Budget, out: Path, stop: StopSignal) -> list[FinishedRun] | None:
    """Completes the runs of a budget.

    Arguments:
        budget: What to run.
        out: Where the folders of the runs go.
        stop: Ends the work early.

    Returns:
        The runs, or `None` if the work was stopped.
    """
    finished = []
    for number, run in enumerate(budget.runs, 1):
        print(f"[{number}/{len(budget.runs)}] {run.name}", flush=True)
        folder = complete(run, budget, out, stop)
        if folder is None:
            return None
        finished.append(FinishedRun(folder))
    return finished


def complete(run: PlannedRun, budget: Budget, out: Path, stop: StopSignal) -> Path | None:
    """Trains and evaluates a run as far as that is not done yet.

    Returns:
        Its folder, or `None` if it was stopped.
    """
    folder = out / run.name
    options = _claim(folder, run.options)
    if (folder / "evaluation.json").exists():
        return folder
    device = pick_device(options.device)
    trainer = build_trainer(options, images_of(options), device)
    if checkpoints_of(folder):
        resume(trainer, folder)
    # Steps of a run in minutes compile where that pays: these are runs of 5 minutes and more.
    if options.compile == "auto" and compiles(replace(options, steps=None, minutes=15), device):
        trainer.compile()
    if not train(trainer, folder, stop):
        return None
    write_json(folder / "evaluation.json", evaluate_run(trainer, budget, folder))
    return folder


def _claim(folder: Path, options: TrainOptions) -> TrainOptions:
    """Prepares the folder of a run, and raises where it holds one with other options."""
    path = folder / "options.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_options(options, path)
    saved = read_options(path)
    # Where and how fast a run is made is free to change.
    free = {
        "data_root": options.data_root,
        "device": options.device,
        "threads": options.threads,
    }
    if replace(saved, **free) != options:
        raise ValueError(
            f"{folder} holds a run with other options: see its options.json, or give another --out"
        )
    return options


def evaluate_run(trainer: Trainer, budget: Budget, folder: Path) -> dict[str, Any]:
    """Measures a trained run on identities that it never saw, and draws its pictures.

    Returns:
        The numbers: those at the end of training, triplet errors, and what fresh critics find in its codes.
    """
    options, image_set = trainer.options, images_of(trainer.options)
    held_out = image_set.subset("val", "test")
    size = trainer.model.options.size
    log = read_log(folder)
    names = [name for name in log[-1] if name != "step"]
    last = {name: float(np.mean([line[name] for line in log[-LAST_LINES:]])) for name in names}

    torch.manual_seed(TRIPLET_SEED)
    drawn = triplets(held_out, budget.triplets, TRIPLET_SEED)
    errors = triplet_errors(trainer.averaged.transfer, held_out, drawn, size, trainer.device)
    np.savez(folder / "errors.npz", transfer=errors.transfer, reconstruction=errors.reconstruction)
    report = audit_codes(trainer, held_out, TRIPLET_SEED, budget.audit_samples)
    transfer_grid(trainer.averaged.transfer, held_out, size, trainer.device, count=5).save(
        folder / "transfer.png"
    )
    curves(log, options.epsilon, folder / "curves.png")
    return {
        "steps": trainer.step_count,
        "seconds": trainer.seconds,
        "training": last,
        "held_out": estimates(trainer, held_out),
        "triplets": {"count": budget.triplets, "seed": TRIPLET_SEED, **_summary(errors.transfer)},
        "self_reconstruction": _summary(errors.reconstruction),
        "audit": report.to_dict(),
    }


def _summary(errors: np.ndarray) -> dict[str, float]:
    """Gives the mean and the quartiles of errors."""
    low, median, high = np.percentile(errors, (25, 50, 75))
    return {
        "mean": float(errors.mean()),
        "quartile_25": float(low),
        "median": float(median),
        "quartile_75": float(high),
    }
