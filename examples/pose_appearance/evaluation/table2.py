"""Table 2: whether what a model draws shows the identity and the pose that it should, in the eyes of networks trained on real images."""

__all__ = ["Judges", "draw_triplets", "table2", "table2_text", "train_judges"]

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from data.image_set import ImageSet
from data.pairs import Triplets
from model.presets import PoseAppearanceModel
from torch import nn

from .drawing import draw
from .reid import reid_scores, train_reid
from .repose import (
    accuracy_scores,
    keypoint_scores,
    train_detector,
    train_pose_classifier,
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
    """Draws the appearance of x1 in the pose of the target itself ("reconstruction") and in that of x3 ("transfer")."""
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
        "reid" holds mean average precisions. "keypoints" holds distances in % of the width where keypoints are known;
        otherwise "pose_accuracy" holds shares, where poses are.
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
        line("keypoints, % from input", [values[n] for n in ("real_transfer", columns[1], columns[2])])  # fmt: skip
    if "pose_accuracy" in result:
        line("pose, accuracy", [f"{result['pose_accuracy'][name]:.3f}" for name in columns])
    return "\n".join(lines)
