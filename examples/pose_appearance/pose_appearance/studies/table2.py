"""Table 2: whether what a model draws shows the identity and the pose that it should, in the eyes
of networks trained on real images.
"""

__all__ = ["Judges", "Table2", "draw_triplets", "table2", "table2_text", "train_judges"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data import ImageSet
from ..data.pairs import Triplets
from ..methods import METHODS
from ..model.presets import PoseAppearanceModel
from .drawing import draw, random_triplets
from .reid import reid_scores, train_reid
from .repose import (
    accuracy_scores,
    keypoint_scores,
    train_detector,
    train_pose_classifier,
)
from .run import Run, compared
from .section import Section, Table, number
from .study import Study, study

TEXT = (
    "Identity: drawings query real images of held-out identities with an encoder for "
    "re-identification (batch-hard triplet loss of Hermans et al., 2017); mean average precision. "
    "Pose: distance of the keypoints that a detector finds in a drawing from the true ones of its "
    "input of pose, and of the true image, in % of the width, mean ± deviation over images; where "
    "keypoints are unknown, the accuracy of a classifier of poses. Bodies differ, so that even a "
    "perfect transfer has some distance from its input. Reconstruction takes the pose from the "
    "target itself, transfer from another identity. Real images in the place of drawings are the "
    "best that these judges can see. One set of judges, trained on real images of the training "
    "identities, looks at all methods."
)


@dataclass(frozen=True)
class Judges:
    """The networks that look at drawings; one set of them judges all methods."""

    size: int
    """The size of the images that they take, in pixels."""
    identity: nn.Module
    """An encoder for re-identification."""
    keypoints: nn.Module | None
    """A detector of keypoints, where they are known."""
    pose: nn.Module | None
    """A classifier of poses, where they are known and keypoints are not."""


def train_judges(
    train: ImageSet, size: int, device: torch.device, steps: int = 1000, seed: int = 0
) -> Judges:
    """Trains judges on real images.

    Arguments:
        train: Images of training identities.
        size: The size to pad them to.
        device: Where to train.
        steps: The steps that each judge is trained for.
        seed: The seed.
    """
    settings = (train, size, device, steps, seed)
    keypoints = None if train.keypoints is None else train_detector(*settings)
    classify = keypoints is None and train.pose is not None
    pose = train_pose_classifier(*settings) if classify else None
    return Judges(size, train_reid(*settings), keypoints, pose)


def draw_triplets(
    model: PoseAppearanceModel, held_out: ImageSet, triplets: Triplets
) -> dict[str, np.ndarray]:
    """Draws the appearance of x1 in the pose of the target itself ("reconstruction") and in that of
    x3 ("transfer").
    """
    poses = {"reconstruction": triplets.target, "transfer": triplets.x3}
    appearance = held_out.images[triplets.x1]
    return {name: draw(model, appearance, held_out.images[index]) for name, index in poses.items()}


def table2(
    judges: Judges, held_out: ImageSet, triplets: Triplets, drawn: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Measures drawings.

    Arguments:
        judges: Those of :func:`train_judges`.
        held_out: Images of identities that they never saw.
        triplets: The indices into them.
        drawn: The drawings of :func:`draw_triplets`, uint8 with shape (N, H, W, 3).

    Returns:
        "reid" holds mean average precisions. "keypoints" holds distances in % of the width where
        keypoints are known; otherwise "pose_accuracy" holds shares, where poses are.
    """
    seen = (judges.size, held_out, triplets, drawn)
    result: dict[str, Any] = {
        "count": len(triplets.x1),
        "reid": reid_scores(judges.identity, *seen),
    }
    if judges.keypoints is not None:
        result["keypoints"] = keypoint_scores(judges.keypoints, *seen)
    if judges.pose is not None:
        result["pose_accuracy"] = accuracy_scores(judges.pose, *seen)
    return result


def table2_text(result: dict[str, Any]) -> str:
    """Lays the numbers out for reading."""
    lines = ["", f"{'':26}{'real':>14}{'reconstruction':>16}{'transfer':>14}"]

    def line(name: str, cells: list[str]) -> None:
        lines.append(f"{name:26}{cells[0]:>14}{cells[1]:>16}{cells[2]:>14}")

    columns = ("real", "reconstruction", "transfer")
    line("identity, mAP", [f"{result['reid'][name]:.3f}" for name in columns])
    if "keypoints" in result:
        values = {
            name: f"{x['mean']:.2f} ± {x['deviation']:.2f}"
            for name, x in result["keypoints"].items()
        }
        line("keypoints, % from truth", [values[n] for n in (*columns[:2], "transfer_to_truth")])
        line(
            "keypoints, % from input",
            [values[n] for n in ("real_transfer", columns[1], columns[2])],
        )
    if "pose_accuracy" in result:
        line("pose, accuracy", [f"{result['pose_accuracy'][name]:.3f}" for name in columns])
    return "\n".join(lines)


@study
class Table2(Study):
    """Creates the study of drawings by judges: one set of them looks at all methods."""

    help = "Train judges of identity and pose on real images, and ask them about drawn ones."
    scope = "compared"

    def __init__(self) -> None:
        self.judges: dict[tuple[int, int, int], tuple[ImageSet, Judges]] = {}

    def judges_of(self, run: Run) -> Judges:
        """Returns the judges of the images of a run, trained at the first call."""
        size, steps = run.model.options.size, run.effort.judge_steps
        key = id(run.images), size, steps
        if key not in self.judges:
            made = train_judges(run.train_set, size, run.device, steps)
            # The images are held, so that no others get their id.
            self.judges[key] = run.images, made
        return self.judges[key][1]

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        judges, gallery = self.judges_of(run), run.gallery
        drawn = random_triplets(gallery, run.effort.judged, run.seed)
        scores = table2(judges, gallery, drawn, draw_triplets(run.model, gallery, drawn))
        made = {"judge_steps": run.effort.judge_steps, "gallery": len(gallery)}
        return {"table2": {**made, **scores}}

    def text(self, result: dict[str, Any]) -> str:
        return table2_text(result["table2"])

    def section(self, runs: list[Run]) -> Section | None:
        """Shows what judges found, averaged over the seeds of a method."""
        section = Section("Table 2: identity and pose", TEXT)
        for data, of_one in compared(runs).items():
            found = [(run.method, run.result("table2")) for run in of_one]
            groups = {
                method: _mean([x["table2"] for name, x in found if name == method and x])
                for method in METHODS
                if any(name == method and x for name, x in found)
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
                f"{data}: {first['count']:.0f} triplets, {first['gallery']:.0f} real images in the "
                f"gallery, judges trained for {first['judge_steps']:.0f} steps"
            )
            section.tables.append(Table(caption, ["", *(title for title, *_ in columns)], rows))
            section.numbers[data] = groups
        return section if section.tables else None


def _mean(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Averages numbers at the same place of nested dictionaries."""
    return {
        name: _mean([score[name] for score in scores])
        if isinstance(value, dict)
        else float(np.mean([score[name] for score in scores]))
        for name, value in scores[0].items()
    }


def _columns(scores: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Returns the columns of a table: their title, the kind of score, and its names for a method,
    for real images and for chance.
    """
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
