"""Table 2: whether what a model draws shows the identity and the pose that it should, in the eyes of networks trained on real images."""

__all__ = ["table2", "table2_text"]

from typing import Any

from data.image_set import ImageSet
from model.presets import PoseAppearanceModel

from .drawing import device_of, draw, random_triplets
from .reid import reid_scores, train_reid
from .repose import (
    accuracy_scores,
    keypoint_scores,
    train_detector,
    train_pose_classifier,
)


def table2(
    model: PoseAppearanceModel,
    train: ImageSet,
    held_out: ImageSet,
    count: int = 2000,
    seed: int = 1,
    steps: int = 1000,
) -> dict[str, Any]:
    """Measures a model.

    Arguments:
        model: The model.
        train: Images of training identities: the judges learn from them.
        held_out: Images of others, to draw and to compare with.
        count: The number of triplets to draw.
        seed: The seed of the triplets.
        steps: The steps that each judge is trained for. Their seed is 0 always, so that methods have the same judges.

    Returns:
        "reid" holds mean average precisions. "keypoints" holds distances in % of the width where keypoints are known;
        otherwise "pose_accuracy" holds shares, where poses are.
    """
    size, device = model.options.size, device_of(model)
    triplets = random_triplets(held_out, count, seed)
    appearance = held_out.images[triplets.x1]
    drawn = {
        "reconstruction": draw(model, appearance, held_out.images[triplets.target]),
        "transfer": draw(model, appearance, held_out.images[triplets.x3]),
    }
    judge = train_reid(train, size, device, steps)
    result: dict[str, Any] = {
        "count": count,
        "reid": reid_scores(judge, size, held_out, triplets, drawn),
    }
    if train.keypoints is not None:
        judge = train_detector(train, size, device, steps)
        result["keypoints"] = keypoint_scores(judge, size, held_out, triplets, drawn)
    elif train.pose is not None:
        judge = train_pose_classifier(train, size, device, steps)
        result["pose_accuracy"] = accuracy_scores(judge, size, held_out, triplets, drawn)
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
