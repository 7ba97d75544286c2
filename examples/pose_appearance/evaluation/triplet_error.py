"""The published metric: how far transfers to poses of other characters are from the truth."""

__all__ = ["TripletErrors", "mean_images", "triplet_errors", "trivial_errors"]

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from data.image_set import ImageSet
from data.pairs import Triplets, as_float, crop_to
from torch import Tensor
from tqdm import tqdm

Transfer = Callable[[Tensor, Tensor], Tensor]


class TripletErrors(NamedTuple):
    """Mean squared errors per image on the [-1, 1] scale, over native pixels."""

    transfer: np.ndarray
    """Of the appearance of x1 in the pose of x3, with shape (count,)."""
    reconstruction: np.ndarray
    """Of the same with the pose taken from the target itself, with shape (count,)."""


def squared_error(output: Tensor, target: Tensor) -> np.ndarray:
    """Gives the mean squared error of each image, with shape (N,)."""
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
        size: The size that the model takes; images are padded to it, and the padding is not counted.
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
    """Gives the mean image of a set, and of each of its poses, in [0, 255].

    Arguments:
        image_set: The images.
        count: The least number of poses to give: one that has no image gets the mean of all.

    Returns:
        The mean, with shape (H, W, 3), and the means of the poses 0 to P - 1, with shape (P, H, W, 3).
    """
    assert image_set.pose is not None
    shape = image_set.images.shape[1:]
    mean = image_set.images.mean(0, dtype=np.float64)
    poses = np.broadcast_to(mean, (max(count, image_set.pose.max() + 1), *shape)).copy()
    for pose in np.unique(image_set.pose[image_set.pose >= 0]):
        poses[pose] = image_set.images[image_set.pose == pose].mean(0, dtype=np.float64)
    return mean, poses


def trivial_errors(train: ImageSet, image_set: ImageSet, triplets: Triplets) -> dict[str, float]:
    """Gives the errors of what needs no learning: copies, the mean training image, and the mean one of the pose.

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
