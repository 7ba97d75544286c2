"""Tuning: every method gets the same small number of trials on validation identities. `robust` has nothing to tune, and gets one."""

__all__ = ["TRIALS", "choose", "tune", "with_validation"]

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data.image_set import ImageSet
from data.pairs import triplets
from evaluate import audit_body
from evaluation.sharing import paired_codes
from evaluation.triplet_error import triplet_errors
from training.checkpoint import checkpoints_of
from training.files import write_json
from training.options import TrainOptions, write_options
from training.run import StopSignal, build_trainer, pick_device, resume, train
from training.trainer import Trainer

from .finished import images_of
from .plan import Budget
from .tuning_record import TUNED

TRIALS: dict[str, dict[str, list[dict[str, float]]]] = {
    "puppets": {
        "robust": [{}],
        "paper": [{"initial_gamma": x} for x in (0.3, 1.0, 3.0)],
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
    },
    # The first of each is what puppets chose, at the scale of this size; the second is its neighbour there, or a weaker adversary.
    "sprites": {
        "robust": [{}],
        "paper": [{"initial_gamma": x} for x in (1.0, 3.0)],
        "variational": [{"initial_gamma": x} for x in (1.0, 3.0)],
        "adversarial": [{"mu": x} for x in (1.2, 0.4)],
        "equal": [{"initial_gamma": x} for x in (3.0, 1.0)],
        "fixed": [{"mu": x} for x in (4.0, 12.0)],
        "bvae": [{"initial_gamma": x} for x in (1.0, 3.0)],
        "cyclevae": [
            {"initial_gamma": 0.3, "cycle_weight": 200.0},
            {"initial_gamma": 1.0, "cycle_weight": 600.0},
        ],
        "atsdm": [{"adversary_weight": x, "classifier_share": 0.4} for x in (1.0, 0.1)],
        "drnet": [
            {"similarity_weight": 40.0, "adversary_weight": 120.0},
            {"similarity_weight": 4000.0, "adversary_weight": 120.0},
        ],
    },
}
"""By data the trials of each method, as many for each that has a weight. `supervised` has none either."""

BOUNDED = ("robust", "paper", "variational", "equal", "fixed")
"""Methods whose bound keeps ε: of their trials those that do so come first."""

SHARE = 4
"""A trial is measured on a fourth of the triplets and the codes of a run."""


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
        out: Where the folders of the trials and `<data>.json` go; trials that are there already are not made again.
        stop: Ends the work early.

    Returns:
        By method the trials with what validation found, and what is chosen, or `None` if it was stopped.

    Raises:
        ValueError: If there are no trials for the data and the sizes of the budget.
    """
    record: dict[str, Any] = {}
    first = budget.runs[0].options
    if TUNED.get(first.data) != first.preset:
        known = ", ".join(f"{data} with preset {preset}" for data, preset in TUNED.items())
        raise ValueError(f"tuning is made on {known}, got {first.data} with preset {first.preset}")
    for run in budget.runs:
        method = run.options.objective
        same = (run.options.data, run.options.seed) == (first.data, first.seed)
        if method not in TRIALS[first.data] or not same:
            continue
        trials = []
        for weights in TRIALS[first.data][method]:
            values = [f"{key}_{value:g}" for key, value in weights.items()]
            folder = out / "trials" / "-".join((method, *values))
            print(folder.name, flush=True)
            errors = _trial(replace(run.options, **weights), budget, folder, stop)
            if errors is None:
                return None
            trials.append({"options": weights, **errors})
        chosen = choose(method, trials, first.epsilon)["options"]
        record[method] = {"chosen": chosen, "trials": trials}
        write_json(out / f"{first.data}.json", record)
    return record


def choose(method: str, trials: list[dict[str, Any]], epsilon: float) -> dict[str, Any]:
    """Gives the trial with the lowest median; where a bound keeps ε, among those whose codes tell at most 2 ε of the body, if there are any.

    Arguments:
        method: The method.
        trials: What validation found in each.
        epsilon: The target of the mutual information, in nats.
    """
    honest = [t for t in trials if t.get("validation_body", 0.0) <= 2 * epsilon]
    among = honest if method in BOUNDED and honest else trials
    return min(among, key=lambda trial: trial["validation_median"])


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
    values = {**_validate(trainer, image_set.subset("val"), budget), "steps": trainer.step_count}
    write_json(result, values)
    # Needed to go on only, and there are many.
    for checkpoint in checkpoints_of(folder):
        checkpoint.unlink()
    return values


def _validate(trainer: Trainer, validation: ImageSet, budget: Budget) -> dict[str, float]:
    """Gives the triplet errors on validation identities, and what fresh critics tell of the body from their codes, in nats, where it is known.

    Arguments:
        trainer: The trained run.
        validation: The images.
        budget: How closely to look.
    """
    torch.manual_seed(0)
    drawn = triplets(validation, max(1, budget.triplets // SHARE))
    model, size = trainer.averaged, trainer.model.options.size
    errors = triplet_errors(model.transfer, validation, drawn, size, trainer.device).transfer
    values = {
        "validation_mean": float(errors.mean()),
        "validation_median": float(np.median(errors)),
    }
    if "body" in validation.factors:
        codes = paired_codes(trainer, validation, 0, budget.audit_samples // SHARE)
        report = audit_body(trainer, validation, codes, 0)
        assert report is not None
        values["validation_body"] = report.mi
    return values
