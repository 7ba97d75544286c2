"""Tuning: every method gets the same small number of trials on validation identities, `robust` included."""

__all__ = ["TRIALS", "tune", "with_validation"]

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data.image_set import ImageSet
from data.pairs import triplets
from evaluation.triplet_error import triplet_errors
from training.checkpoint import checkpoints_of
from training.files import write_json
from training.options import TrainOptions, write_options
from training.run import StopSignal, build_trainer, pick_device, resume, train

from .finished import images_of
from .plan import Budget

TRIALS: dict[str, list[dict[str, float]]] = {
    "robust": [{"initial_gamma": x} for x in (0.3, 1.0, 3.0)],
    "variational": [{"initial_gamma": x} for x in (0.3, 1.0, 3.0)],
    "adversarial": [{"mu": x} for x in (0.3, 1.0, 3.0)],
    "equal": [{"initial_gamma": x} for x in (0.3, 1.0, 3.0)],
    "fixed": [{"mu": x} for x in (0.3, 1.0, 3.0)],
    "bvae": [{"initial_gamma": x} for x in (0.3, 1.0, 3.0)],
    # The first of each of these are the authors' weights at 32x32 pixels.
    "cyclevae": [
        {"initial_gamma": 6.0, "cycle_weight": 61440.0},
        {"initial_gamma": 1.0, "cycle_weight": 150.0},
        {"initial_gamma": 0.3, "cycle_weight": 50.0},
    ],
    "atsdm": [
        {"adversary_weight": 2458.0},
        {"adversary_weight": 2.5, "classifier_share": 0.4},
        {"adversary_weight": 0.25, "classifier_share": 0.4},
    ],
    "drnet": [
        {"similarity_weight": 12288.0, "adversary_weight": 1.2},
        {"similarity_weight": 1000.0, "adversary_weight": 30.0},
        {"similarity_weight": 10.0, "adversary_weight": 30.0},
    ],
}
"""The trials of each method, as many for each. `supervised` has no weight."""


TRIPLET_SHARE = 4
"""A trial is measured on a fourth of the triplets of a run."""


def with_validation(image_set: ImageSet, share: float = 0.2) -> ImageSet:
    """Turns the last of the training identities into validation ones, and leaves out those of the test.

    Arguments:
        image_set: The images.
        share: The share of the training identities to validate on.
    """
    known = image_set.subset("train", "val")
    if "val" in known.split:
        return known
    names = np.unique(known.identity)
    validated = np.isin(known.identity, names[-max(2, round(share * len(names))) :])
    return replace(known, split=np.where(validated, "val", "train").astype("<U5"))


def tune(budget: Budget, out: Path, stop: StopSignal) -> dict[str, Any] | None:
    """Makes the trials of each method of a budget, on its first data and with its first seed.

    Arguments:
        budget: What the methods run on.
        out: Where the folders of the trials and `<preset>.json` go; trials that are there already are not made again.
        stop: Ends the work early.

    Returns:
        By method the trials with their validation errors and the best one, or `None` if it was stopped.
    """
    record: dict[str, Any] = {}
    first = budget.runs[0].options
    for run in budget.runs:
        method = run.options.objective
        same = (run.options.data, run.options.seed) == (first.data, first.seed)
        if method not in TRIALS or not same:
            continue
        trials = []
        for weights in TRIALS[method]:
            name = "-".join(f"{key}_{value:g}" for key, value in weights.items())
            folder = out / "trials" / f"{method}-{name}"
            print(folder.name, flush=True)
            errors = _trial(replace(run.options, **weights), budget, folder, stop)
            if errors is None:
                return None
            trials.append({"options": weights, **errors})
        best = min(trials, key=lambda trial: trial["validation_median"])
        record[method] = {"chosen": best["options"], "trials": trials}
        write_json(out / f"{first.preset}.json", record)
    return record


def _trial(
    options: TrainOptions, budget: Budget, folder: Path, stop: StopSignal
) -> dict[str, float] | None:
    """Trains with some weights, and gives the triplet errors on validation identities."""
    result = folder / "trial.json"
    if result.exists():
        return json.loads(result.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    write_options(options, folder / "options.json")
    image_set = with_validation(images_of(options))
    device = pick_device(options.device)
    trainer = build_trainer(options, image_set, device)
    if checkpoints_of(folder):
        resume(trainer, folder)
    if not train(trainer, folder, stop):
        return None
    torch.manual_seed(0)
    validation = image_set.subset("val")
    drawn = triplets(validation, max(1, budget.triplets // TRIPLET_SHARE))
    size = trainer.model.options.size
    errors = triplet_errors(trainer.averaged.transfer, validation, drawn, size, device).transfer
    values = {
        "validation_mean": float(errors.mean()),
        "validation_median": float(np.median(errors)),
        "steps": trainer.step_count,
    }
    write_json(result, values)
    # Needed to go on only, and there are many.
    for checkpoint in checkpoints_of(folder):
        checkpoint.unlink()
    return values
