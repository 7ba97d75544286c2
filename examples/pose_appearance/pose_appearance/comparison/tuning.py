"""Tuning: every method gets the same small number of trials on validation identities."""

__all__ = ["choose", "tune", "with_validation"]

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import DATA_SETS, ImageSet
from ..data.pairs import triplets
from ..methods import METHODS
from ..studies.audit import audit_body
from ..studies.codes import paired_codes
from ..studies.run import Effort, images_of
from ..studies.triplet_error import triplet_errors
from ..training.checkpoint import checkpoints_of
from ..training.files import write_json
from ..training.options import TrainOptions, write_options
from ..training.run import StopSignal, build_trainer, pick_device, resume, train
from ..training.trainer import Trainer
from .plan import Budget

SHARE = 4
"""A trial is measured on a fourth of the triplets and the codes of a run."""


def with_validation(image_set: ImageSet, share: float = 0.2) -> ImageSet:
    """Turns the last of the training identities into validation ones, and leaves out those of the
    test.

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
        out: Where the folders of the trials and `<data>/<method>.json` go; trials that are there
            already are not made again.
        stop: Ends the work early.

    Returns:
        By method the trials with what validation found, and what is chosen, or `None` if it was
        stopped.

    Raises:
        ValueError: If there are no trials for the data and the sizes of the budget.
    """
    record: dict[str, Any] = {}
    first = budget.runs[0].options
    presets = {name: x.tuned_with for name, x in DATA_SETS.items() if x.tuned_with}
    if presets.get(first.data) != first.preset:
        known = ", ".join(f"{data} with preset {preset}" for data, preset in presets.items())
        raise ValueError(f"tuning is made on {known}, got {first.data} with preset {first.preset}")
    for run in budget.runs:
        method = run.options.objective
        same = (run.options.data, run.options.seed) == (first.data, first.seed)
        tried = METHODS[method].trials.get(first.data, ())
        if not tried or not same:
            continue
        trials = []
        for weights in tried:
            values = [f"{key}_{value:g}" for key, value in weights.items()]
            folder = out / "trials" / "-".join((method, *values))
            print(folder.name, flush=True)
            errors = _trial(run.options.with_method(method, **weights), budget.effort, folder, stop)
            if errors is None:
                return None
            trials.append({"options": weights, **errors})
        chosen = choose(method, trials, first.epsilon)["options"]
        record[method] = {"chosen": chosen, "trials": trials}
        path = out / first.data / f"{method}.json"
        path.parent.mkdir(exist_ok=True)
        write_json(path, record[method])
    return record


def choose(method: str, trials: list[dict[str, Any]], epsilon: float) -> dict[str, Any]:
    """Returns the trial with the lowest median.

    Where a bound promises ε, it is among those whose codes tell at most 2 ε of the body, if there
    are any.

    Arguments:
        method: The method.
        trials: What validation found in each.
        epsilon: The target of the mutual information, in nats.
    """
    honest = [t for t in trials if t.get("validation_body", 0.0) <= 2 * epsilon]
    among = honest if METHODS[method].keeps_epsilon and honest else trials
    return min(among, key=lambda trial: trial["validation_median"])


def _trial(
    options: TrainOptions, effort: Effort, folder: Path, stop: StopSignal
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
    values = {**_validate(trainer, image_set.subset("val"), effort), "steps": trainer.step_count}
    write_json(result, values)
    # Needed to go on only, and there are many.
    for checkpoint in checkpoints_of(folder):
        checkpoint.unlink()
    return values


def _validate(trainer: Trainer, validation: ImageSet, effort: Effort) -> dict[str, float]:
    """Returns the triplet errors on validation identities, and what codes tell of the body.

    Arguments:
        trainer: The trained run.
        validation: The images.
        effort: How closely to look.
    """
    torch.manual_seed(0)
    drawn = triplets(validation, max(1, effort.triplets // SHARE))
    model, size = trainer.averaged, trainer.model.options.size
    errors = triplet_errors(model.transfer, validation, drawn, size, trainer.device).transfer
    values = {
        "validation_mean": float(errors.mean()),
        "validation_median": float(np.median(errors)),
    }
    if "body" in validation.factors:
        codes = paired_codes(trainer, validation, 0, effort.audit_samples // SHARE)
        report = audit_body(trainer, validation, codes, 0)
        assert report is not None
        values["validation_body"] = report.mi
    return values
