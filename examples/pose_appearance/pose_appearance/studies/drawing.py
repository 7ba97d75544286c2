"""What all evaluations do with a model: encode images and draw."""

__all__ = ["Inputs", "draw", "encode", "random_triplets"]

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data import ImageSet
from ..data.pairs import Triplets, as_float, crop_to, triplets
from ..model.presets import PoseAppearanceModel
from .pictures import as_pixels


class Inputs:
    """Creates what turns uint8 images into inputs of a network: padded floats on its device.

    Arguments:
        images: The images, uint8 with shape (N, H, W, 3).
        size: The size that the network takes.
        device: Where it is.
    """

    def __init__(self, images: np.ndarray, size: int, device: torch.device) -> None:
        self.images, self.size, self.device = images, size, device

    def __call__(self, index: np.ndarray | Tensor | slice) -> Tensor:
        index = index.numpy() if isinstance(index, Tensor) else index
        chosen = torch.from_numpy(np.asarray(self.images[index]))
        return as_float(chosen, self.size).to(self.device)


def device_of(network: nn.Module) -> torch.device:
    """Returns the device of a network."""
    return next(network.parameters()).device


@torch.no_grad()
def encode(
    network: nn.Module,
    images: np.ndarray,
    size: int,
    batch: int = 250,
    head: Callable[[Any], Tensor] = lambda output: output,
) -> Tensor:
    """Applies a network to images, batch by batch.

    Arguments:
        network: The network.
        images: The images, uint8 with shape (N, H, W, 3).
        size: The size that it takes.
        batch: How many images to take at once.
        head: Takes of its output what is wanted.

    Returns:
        The outputs, on the CPU.
    """
    inputs = Inputs(images, size, device_of(network))
    parts = [
        head(network(inputs(slice(start, start + batch)))).cpu()
        for start in range(0, len(images), batch)
    ]
    return torch.cat(parts)


@torch.no_grad()
def draw(
    model: PoseAppearanceModel,
    appearance: np.ndarray,
    pose: np.ndarray,
    batch: int = 250,
) -> np.ndarray:
    """Draws the appearance of some images in the pose of others.

    Arguments:
        model: The model.
        appearance: Images, uint8 with shape (N, H, W, 3).
        pose: Images of the same shape.
        batch: How many to draw at once.

    Returns:
        Images of the same shape.
    """
    size, device = model.options.size, device_of(model)
    x1, x3 = Inputs(appearance, size, device), Inputs(pose, size, device)
    drawn = []
    for start in range(0, len(appearance), batch):
        rows = slice(start, start + batch)
        drawn.append(as_pixels(crop_to(model.transfer(x1(rows), x3(rows)), appearance.shape[1:3])))
    return np.concatenate(drawn)


def random_triplets(image_set: ImageSet, count: int, seed: int) -> Triplets:
    """Draws triplets as the published metric does; where poses are unknown, the target is any other
    image of x1's identity.

    Arguments:
        image_set: Images of identities that were held out.
        count: The number of triplets.
        seed: The seed.
    """
    if image_set.pose is not None:
        return triplets(image_set, count, seed)
    identity = image_set.identity
    if len(np.unique(identity)) < 2:
        raise ValueError(
            f"triplets need at least 2 identities, and {image_set.name} has only {identity[:1]}"
        )
    random = np.random.default_rng(seed)
    rows = []
    for x1 in random.integers(len(identity), size=count):
        own = np.flatnonzero(identity == identity[x1])
        target = random.choice(own[own != x1]) if len(own) > 1 else x1
        rows.append((x1, random.choice(np.flatnonzero(identity != identity[x1])), target))
    return Triplets(*np.array(rows).T)
