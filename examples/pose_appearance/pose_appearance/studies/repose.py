"""Whether a drawn image shows the pose that it should, as in Table 2: distances of keypoints, or
the accuracy of a classifier.
"""

__all__ = [
    "KeypointDetector",
    "accuracy_scores",
    "keypoint_distances",
    "keypoint_scores",
    "train_detector",
    "train_pose_classifier",
]

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import ImageSet
from ..data.pairs import Triplets
from .drawing import Inputs, encode
from .fitting import fit, small_encoder

BATCH = 64


class KeypointDetector(nn.Module):
    """Creates a detector of keypoints, as shares of the width and the height of an image.

    Arguments:
        size: The size of the images, in pixels.
        keypoints: The number of keypoints.
        seed: The seed of its weights.
    """

    def __init__(self, size: int, keypoints: int, seed: int = 0) -> None:
        super().__init__()

        self.encoder = small_encoder(size, 2 * keypoints, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the keypoints, x then y, with shape (N, K, 2)."""
        return 0.5 + self.encoder(x).unflatten(1, (-1, 2))


def train_detector(
    train: ImageSet, size: int, device: torch.device, steps: int = 1000, seed: int = 0
) -> KeypointDetector:
    """Trains a detector on the true keypoints of real images.

    Arguments:
        train: Images of training identities, with keypoints.
        size: The size to pad them to.
        device: Where to train.
        steps: The number of steps.
        seed: The seed.
    """
    if train.keypoints is None:
        raise ValueError(f"a detector needs known keypoints, and {train.name} has none")
    network = KeypointDetector(size, train.keypoints.shape[1], seed).to(device)
    truth = torch.from_numpy(_as_shares(train.keypoints, train, size)).to(device)
    inputs, draw = Inputs(train.images, size, device), _batches(len(train), seed)

    def loss_at(step: int) -> Tensor:
        index = draw()
        return (network(inputs(index)) - truth[index.to(device)]).norm(dim=2).mean()

    fit([network], loss_at, steps, 1e-3, "keypoints")
    return network


def _as_shares(keypoints: np.ndarray, image_set: ImageSet, size: int) -> np.ndarray:
    """Turns pixels of an image into shares of the side of the padded one."""
    return (keypoints + _padding(image_set, size)) / np.float32(size)


def _padding(image_set: ImageSet, size: int) -> np.ndarray:
    """Returns the pixels that padding adds at the left and at the top."""
    height, width = image_set.images.shape[1:3]
    return np.float32([(size - width) // 2, (size - height) // 2])


def _batches(count: int, seed: int) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randint(count, (BATCH,), generator=generator)


def keypoint_distances(first: np.ndarray, second: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean distance of the keypoints of two images, in % of the width of the image,
    with shape (N,).

    Arguments:
        first: Keypoints in pixels, with shape (N, K, 2).
        second: Keypoints in pixels, with shape (N, K, 2).
        width: The width of the image in pixels.
    """
    return 100 / width * np.linalg.norm(first - second, axis=2).mean(1)


def keypoint_scores(
    detector: nn.Module,
    size: int,
    held_out: ImageSet,
    triplets: Triplets,
    drawn: dict[str, np.ndarray],
) -> dict[str, dict[str, float]]:
    """Compares the keypoints of drawn images with the true ones of their input of pose.

    Bodies differ, so that x3 and the target have the same pose and other keypoints: not even the
    truth is at distance 0 from x3.

    Arguments:
        detector: The detector of :func:`train_detector`.
        size: The size that it takes.
        held_out: Real images with keypoints.
        triplets: The indices into them.
        drawn: Under "reconstruction" the pose is the target's, under "transfer" that of x3.

    Returns:
        Mean and deviation over images, in % of the width: "real" is the error of the detector on
        the targets themselves, and "real_transfer" what a perfect transfer would have.
    """
    if held_out.keypoints is None:
        raise ValueError(f"distances need known keypoints, and {held_out.name} has none")
    offset, width = _padding(held_out, size), held_out.images.shape[2]
    pose, truth = held_out.keypoints[triplets.x3], held_out.keypoints[triplets.target]
    images = {"real": held_out.images[triplets.target], **drawn}
    found = {
        name: encode(detector, values, size).numpy() * size - offset
        for name, values in images.items()
    }
    pairs = {
        "real": ("real", truth),
        "reconstruction": ("reconstruction", truth),
        "real_transfer": ("real", pose),
        "transfer": ("transfer", pose),
        "transfer_to_truth": ("transfer", truth),
    }
    scores = {}
    for name, (images_of, expected) in pairs.items():
        distance = keypoint_distances(found[images_of], expected, width)
        scores[name] = {"mean": float(distance.mean()), "deviation": float(distance.std())}
    return scores


def train_pose_classifier(
    train: ImageSet, size: int, device: torch.device, steps: int = 1000, seed: int = 0
) -> nn.Module:
    """Trains a classifier of poses on real images: it gives a logit for each pose.

    Arguments:
        train: Images of training identities, with poses.
        size: The size to pad them to.
        device: Where to train.
        steps: The number of steps.
        seed: The seed.
    """
    if train.pose is None:
        raise ValueError(f"a classifier of poses needs known ones, and {train.name} has none")
    known = torch.from_numpy(np.flatnonzero(train.pose >= 0))
    network = small_encoder(size, int(train.pose.max()) + 1, seed).to(device)
    pose = torch.from_numpy(train.pose).to(device)
    inputs, draw = Inputs(train.images, size, device), _batches(len(known), seed)

    def loss_at(step: int) -> Tensor:
        index = known[draw()]
        return F.cross_entropy(network(inputs(index)), pose[index.to(device)])

    fit([network], loss_at, steps, 1e-3, "poses")
    return network


def accuracy_scores(
    classifier: nn.Module,
    size: int,
    held_out: ImageSet,
    triplets: Triplets,
    drawn: dict[str, np.ndarray],
) -> dict[str, float]:
    """Returns how often a classifier sees the right pose: in the targets themselves ("real"), and
    in drawn images.
    """
    if held_out.pose is None:
        raise ValueError(f"accuracy needs known poses, and {held_out.name} has none")
    expected = torch.from_numpy(held_out.pose[triplets.target])
    images = {"real": held_out.images[triplets.target], **drawn}
    scores = {
        name: float((encode(classifier, values, size).argmax(1) == expected).double().mean())
        for name, values in images.items()
    }
    return {**scores, "chance": 1 / len(np.unique(held_out.pose))}
