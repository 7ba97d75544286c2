"""The published metric: how far transfers to poses of other characters are from the truth."""

__all__ = ["TripletError", "TripletErrors", "mean_images", "triplet_errors", "trivial_errors"]

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data import ImageSet
from ..data.pairs import Triplets, as_float, crop_to, triplets, within_and_across
from ..training.ranks import collect
from .categories import category_errors
from .drawing import draw
from .pictures import example_rows
from .run import Run
from .study import Study, study

Transfer = Callable[[Tensor, Tensor], Tensor]


class TripletErrors(NamedTuple):
    """Mean squared errors per image on the [-1, 1] scale, over native pixels."""

    transfer: np.ndarray
    """Of the appearance of x1 in the pose of x3, with shape (count,)."""
    reconstruction: np.ndarray
    """Of the same with the pose taken from the target itself, with shape (count,)."""


def squared_error(output: Tensor, target: Tensor) -> np.ndarray:
    """Returns the mean squared error of each image, with shape (N,)."""
    return (output - target).square().flatten(1).mean(1).cpu().numpy()


@torch.no_grad()
def triplet_errors(
    transfer: Transfer,
    image_set: ImageSet,
    triplets: Triplets,
    size: int,
    device: torch.device,
    batch: int = 250,
) -> TripletErrors:
    """Measures a model on triplets.

    Arguments:
        transfer: Takes images of appearance and of pose, and draws.
        image_set: The images.
        triplets: The indices into them.
        size: The size that the model takes; images are padded to it, and the padding is not
            counted.
        device: Where the model is.
        batch: How many triplets to draw at once.
    """
    native = image_set.images.shape[1:3]
    images = torch.from_numpy(image_set.images)
    errors: list[tuple[np.ndarray, np.ndarray]] = []
    starts = range(0, len(triplets.x1), batch)
    for start in tqdm(starts, desc="triplets", unit="batch", leave=False):
        rows = [torch.from_numpy(x[start : start + batch]) for x in triplets]
        x1, x3, target = (as_float(images[i], size).to(device) for i in rows)
        truth = crop_to(target, native)
        drawn = [crop_to(transfer(x1, pose), native) for pose in (x3, target)]
        errors.append(tuple(squared_error(x, truth) for x in drawn))
    return TripletErrors(*(np.concatenate(x) for x in zip(*errors, strict=True)))


def mean_images(image_set: ImageSet, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean image of a set, and of each of its poses, in [0, 255].

    Arguments:
        image_set: The images.
        count: The least number of poses to give: one that has no image gets the mean of all.

    Returns:
        The mean, with shape (H, W, 3), and the means of the poses 0 to P - 1, with shape (P, H, W,
        3).
    """
    assert image_set.pose is not None
    shape = image_set.images.shape[1:]
    mean = image_set.images.mean(0, dtype=np.float64)
    poses = np.broadcast_to(mean, (max(count, image_set.pose.max() + 1), *shape)).copy()
    for pose in np.unique(image_set.pose[image_set.pose >= 0]):
        poses[pose] = image_set.images[image_set.pose == pose].mean(0, dtype=np.float64)
    return mean, poses


def trivial_errors(train: ImageSet, image_set: ImageSet, triplets: Triplets) -> dict[str, float]:
    """Returns the errors of what needs no learning: copies, the mean training image, and the mean
    one of the pose.

    Arguments:
        train: The training images, for the means.
        image_set: The images of the triplets.
        triplets: The indices into them.
    """
    assert image_set.pose is not None
    mean, pose_means = mean_images(train, image_set.pose.max() + 1)
    sums = dict.fromkeys(("copy_x1", "copy_x3", "mean_image", "mean_image_of_the_pose"), 0.0)
    for x1, x3, target in zip(*triplets, strict=True):
        truth = image_set.images[target].astype(np.float64)
        guesses = (
            image_set.images[x1],
            image_set.images[x3],
            mean,
            pose_means[image_set.pose[target]],
        )
        for name, guess in zip(sums, guesses, strict=True):
            # 127.5 grey levels are 1 on the [-1, 1] scale.
            sums[name] += np.square((guess - truth) / 127.5).mean()
    return {name: float(total / len(triplets.x1)) for name, total in sums.items()}


def errors_by_body(
    image_set: ImageSet, triplets: Triplets, errors: np.ndarray
) -> dict[str, dict[str, float]]:
    """Returns the errors of triplets of one type of body, and of two: a pose that is taken for
    another from type to type shows here.

    Arguments:
        image_set: The images, with the factor "body".
        triplets: The indices into them.
        errors: The error of each, with shape (count,).
    """
    names = {"within": "same_body", "across": "other_body"}
    parts = within_and_across(image_set.factors["body"], triplets, errors)
    return {
        names[name]: {
            "mean": float(part.mean()),
            "median": float(np.median(part)),
            "above_0.01": float((part > 0.01).mean()),
        }
        for name, part in parts.items()
    }


def draw_examples(run: Run, drawn: Triplets, errors: np.ndarray) -> None:
    """Writes pictures of the triplets with the lowest, the middle and the highest errors."""
    order, held_out = np.argsort(errors), run.held_out
    middle = len(order) // 2 - 5
    parts = {"best": order[:10], "median": order[middle : middle + 10], "worst": order[-10:]}
    for name, rows in parts.items():
        chosen = np.stack([x[rows] for x in drawn])
        output = draw(run.model, *(held_out.images[i] for i in chosen[:2]))
        example_rows(held_out, chosen, output).save(run.folder / f"triplets_{name}.png")


@study
class TripletError(Study):
    """Creates the published metric, beside what needs no learning."""

    def applies(self, run: Run) -> bool:
        return run.images.pose is not None

    def gather(self, run: Run) -> tuple[Triplets, TripletErrors]:
        # Each rank draws its share.
        trainer = run.trainer
        drawn = triplets(run.held_out, run.effort.triplets, run.seed)
        share = Triplets(*(np.array_split(x, trainer.ranks)[trainer.rank] for x in drawn))
        size = run.model.options.size
        own = triplet_errors(run.model.transfer, run.held_out, share, size, run.device)
        return drawn, TripletErrors(*map(np.concatenate, zip(*collect(own), strict=True)))

    def measure(self, run: Run, gathered: tuple[Triplets, TripletErrors]) -> dict[str, Any]:
        drawn, errors = gathered
        np.savez(run.folder / "errors.npz", **errors._asdict())
        draw_examples(run, drawn, errors.transfer)
        split = run.held_out.split[drawn.target]
        measured = {
            "count": len(drawn.x1),
            "mean": float(errors.transfer.mean()),
            "median": float(np.median(errors.transfer)),
            "self_reconstruction_mean": float(errors.reconstruction.mean()),
            "self_reconstruction_median": float(np.median(errors.reconstruction)),
            **{
                f"mean_{name}": float(errors.transfer[split == name].mean())
                for name in np.unique(run.held_out.split)
            },
        }
        if "category" in run.held_out.factors:
            measured.update(category_errors(run.held_out, drawn, errors.transfer))
        if "body" in run.held_out.factors:
            measured.update(errors_by_body(run.held_out, drawn, errors.transfer))
        trivial = trivial_errors(run.train_set.in_memory(20_000), run.held_out, drawn)
        return {"triplets": measured, "trivial": trivial}
