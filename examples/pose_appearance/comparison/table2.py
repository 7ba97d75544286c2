"""Table 2 of the paper: whether drawings show the identity and the pose that they should, in the eyes of networks trained on real images."""

__all__ = ["judge", "table2"]

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from evaluation.drawing import random_triplets
from evaluation.table2 import draw_triplets, train_judges
from evaluation.table2 import table2 as scores_of
from model.presets import PRESETS
from training.files import write_json
from training.run import pick_device

from .finished import FinishedRun, of_data
from .plan import METHODS, Budget
from .runner import TRIPLET_SEED
from .section import Section, Table, number

FILE = "table2.json"

TEXT = (
    "Identity: drawings query real images of held-out identities with an encoder for re-identification (batch-hard triplet loss of Hermans et al., 2017); mean average precision. "
    "Pose: distance of the keypoints that a detector finds in a drawing from the true ones of its input of pose, and of the true image, in % of the width, mean ± deviation over images; "
    "where keypoints are unknown, the accuracy of a classifier of poses. Bodies differ, so that even a perfect transfer has some distance from its input. Reconstruction takes the pose "
    "from the target itself, transfer from another identity. Real images in the place of drawings are the best that these judges can see. One set of judges, trained on real images of the "
    "training identities, looks at all methods."
)


def judge(runs: list[FinishedRun], budget: Budget) -> Iterator[str]:
    """Lets one set of judges look at drawings of every run, and writes their scores into its folder; what is there is not made again.

    Arguments:
        runs: The finished runs.
        budget: How long judges are trained, and how much they look at.

    Yields:
        What comes next: the work can be left there.
    """
    for of_one in of_data(runs).values():
        waiting = [run for run in of_one if not (run.folder / FILE).exists()]
        # Drawn characters depend on the seed.
        for image_set in {id(run.images): run.images for run in waiting}.values():
            group = [run for run in waiting if run.images is image_set]
            first = group[0]
            yield f"judges of {first.folder.name}"
            size, device = PRESETS[first.options.preset].size, pick_device(first.options.device)
            judges = train_judges(image_set.subset("train"), size, device, budget.judge_steps)
            held_out = first.some_held_out(budget.gallery)
            drawn = random_triplets(held_out, budget.judged, TRIPLET_SEED)
            for run in group:
                yield f"Table 2, {run.folder.name}"
                model = run.trainer().averaged
                scores = scores_of(judges, held_out, drawn, draw_triplets(model, held_out, drawn))
                made = {"judge_steps": budget.judge_steps, "gallery": len(held_out)}
                write_json(run.folder / FILE, {**made, **scores})


def table2(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows what judges found, averaged over the seeds of a method.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Table 2: identity and pose", TEXT)
    for data, of_one in of_data(runs).items():
        judged = [run for run in of_one if (run.folder / FILE).exists()]
        groups = {
            method: _mean([_read(run) for run in judged if run.method == method])
            for method in METHODS
            if any(run.method == method for run in judged)
        }
        if not groups:
            continue
        first = next(iter(groups.values()))
        columns = _columns(first)
        rows = [
            ["real images", *(_cell(first, kind, real) for _, kind, _, real, _ in columns)],
            ["chance", *(_cell(first, kind, chance) for _, kind, _, _, chance in columns)],
        ]
        for method, scores in groups.items():
            rows.append([method, *(_cell(scores, kind, own) for _, kind, own, _, _ in columns)])
        caption = (
            f"{data}: {first['count']:.0f} triplets, {first['gallery']:.0f} real images in the gallery, "
            f"judges trained for {first['judge_steps']:.0f} steps"
        )
        section.tables.append(Table(caption, ["", *(title for title, *_ in columns)], rows))
        section.numbers[data] = groups
    return section if section.tables else None


def _read(run: FinishedRun) -> dict[str, Any]:
    return json.loads((run.folder / FILE).read_text())


def _mean(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Averages numbers at the same place of nested dictionaries."""
    return {
        name: _mean([score[name] for score in scores])
        if isinstance(value, dict)
        else float(np.mean([score[name] for score in scores]))
        for name, value in scores[0].items()
    }


def _columns(scores: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Gives the columns of a table: their title, the kind of score, and its names for a method, for real images and for chance."""
    identity = [
        (f"mAP, {name}", "reid", name, "real", "chance") for name in ("reconstruction", "transfer")
    ]
    if "keypoints" in scores:
        return [
            *identity,
            ("% from input, reconstruction", "keypoints", "reconstruction", "real", ""),
            ("% from input, transfer", "keypoints", "transfer", "real_transfer", ""),
            ("% from truth, transfer", "keypoints", "transfer_to_truth", "real", ""),
        ]
    if "pose_accuracy" in scores:
        identity += [
            (f"pose accuracy, {name}", "pose_accuracy", name, "real", "chance")
            for name in ("reconstruction", "transfer")
        ]
    return identity


def _cell(scores: dict[str, Any], kind: str, name: str) -> str:
    """Writes one score."""
    value = scores[kind].get(name)
    if value is None:
        return ""
    if kind == "keypoints":
        return f"{value['mean']:.2f} ± {value['deviation']:.2f}"
    return number(value)
