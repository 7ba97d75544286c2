"""Batches of image pairs for training, and triplets for evaluation."""

__all__ = ["Batch", "PairSampler", "Triplets", "as_float", "crop_to", "triplets"]

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .image_set import ImageSet


def as_float(images: Tensor, size: int, background: Tensor | None = None) -> Tensor:
    """Turns uint8 images (N, H, W, 3) into floats in [-1, 1], (N, 3, size, size), padded around the middle.

    Arguments:
        images: The images.
        size: The size to pad to, at least that of the images.
        background: The uint8 colour to pad with, with shape (3,); the colour of the first pixel by default.

    Returns:
        The images in channels-last memory.
    """
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise ValueError(f"images of {height}x{width} pixels cannot be padded to {size}x{size}")
    x = images.float().div_(127.5).sub_(1).permute(0, 3, 1, 2)
    if (height, width) == (size, size):
        return x
    colour = images[0, 0, 0] if background is None else background
    canvas = (colour.float() / 127.5 - 1)[None, :, None, None].expand(len(x), 3, size, size)
    canvas = canvas.contiguous(memory_format=torch.channels_last)
    crop_to(canvas, (height, width)).copy_(x)
    return canvas


def crop_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Gives the middle of padded images: the native pixels, a view with shape (N, 3, *size)."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


class Batch(NamedTuple):
    """Pairs of images of one identity each."""

    x1: Tensor
    """The images that give the appearance, with shape (B, 3, H, W)."""
    x2: Tensor
    """The images that give the pose and are reconstructed, with shape (B, views, 3, H, W)."""
    groups: Tensor
    """The identities, with shape (B,)."""

    def to(self, device: torch.device) -> "Batch":
        """Moves the batch."""
        return Batch(*(x.to(device, non_blocking=True) for x in self))


class PairSampler:
    """Creates the batches of a run, each a function of the seed and the step alone.

    Arguments:
        image_set: The images to train on.
        identities: The number of identities of a batch; they differ as long as there are enough.
        views: The number of poses of each identity.
        size: The size to pad images to.
        seed: The seed.
    """

    def __init__(
        self, image_set: ImageSet, identities: int, views: int, size: int, seed: int
    ) -> None:
        order = np.argsort(image_set.identity, kind="stable")
        names, start, count = np.unique(
            image_set.identity[order], return_index=True, return_counts=True
        )
        if len(names) < 2:
            raise ValueError(f"training needs at least 2 identities, got {len(names)}")
        if count.min() < 2:
            raise ValueError(
                f"training needs at least 2 images of each identity, got 1 of identity {names[count.argmin()]}"
            )
        self.images = torch.from_numpy(image_set.images)
        self.order, self.start, self.count = (torch.from_numpy(x) for x in (order, start, count))
        self.names = torch.from_numpy(names.astype(np.int64))
        self.identities, self.views, self.size, self.seed = identities, views, size, seed

    def batch_at(self, step: int) -> Batch:
        """Gives the batch of a step."""
        # Seeds that differ in a few bits give correlated first draws: numpy's sequence mixes them.
        mixed = np.random.SeedSequence((self.seed, step)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> 1))

        rounds = -(-self.identities // len(self.names))
        chosen = torch.cat(
            [torch.randperm(len(self.names), generator=generator) for _ in range(rounds)]
        )[: self.identities]
        # Distinct images: the first is any, and the others are further round the circle of the identity's images.
        count = self.count[chosen, None]
        steps = torch.rand(self.identities, self.views, generator=generator)
        first = torch.rand(self.identities, 1, generator=generator)
        first = (first * count).long()
        others = (first + 1 + (steps * (count - 1)).long()) % count
        index = self.order[self.start[chosen, None] + torch.cat((first, others), dim=1)]
        x = as_float(self.images[index.flatten()], self.size)
        x = x.unflatten(0, (self.identities, self.views + 1))
        x1 = x[:, 0].contiguous(memory_format=torch.channels_last)
        return Batch(x1, x[:, 1:], self.names[chosen])


class Triplets(NamedTuple):
    """Indices of images: the appearance of `x1` in the pose of `x3` is `target`."""

    x1: np.ndarray
    x3: np.ndarray
    target: np.ndarray


def triplets(image_set: ImageSet, count: int = 8000, seed: int = 1) -> Triplets:
    """Draws the triplets of the published metric, with replacement.

    Arguments:
        image_set: Images with known poses, of identities that were held out.
        count: The number of triplets.
        seed: The seed.

    Returns:
        The indices, each with shape (count,): `x3` is of another identity and another pose than `x1`.
    """
    if image_set.pose is None:
        raise ValueError(f"triplets need known poses, and {image_set.name} has none")
    known = np.flatnonzero(image_set.pose >= 0)
    identity, pose = image_set.identity[known], image_set.pose[known]
    lookup = {(i, p): n for n, i, p in zip(known, identity, pose, strict=True)}
    # Targets that have a partner: their pose is known of another identity as well.
    shared = {p for p in np.unique(pose) if len(np.unique(identity[pose == p])) > 1}
    poses_of = {i: np.intersect1d(pose[identity == i], list(shared)) for i in np.unique(identity)}
    usable = [i for i, poses in poses_of.items() if len(poses) > 1]
    if len(usable) < 2:
        raise ValueError(
            f"triplets need at least 2 identities that share 2 poses, and {image_set.name} has {len(usable)}"
        )
    random = np.random.default_rng(seed)
    rows = []
    while len(rows) < count:
        a = usable[random.integers(len(usable))]
        p1, p3 = random.choice(poses_of[a], 2, replace=False)
        others = [i for i in usable if i != a and (i, p3) in lookup]
        if others:
            b = others[random.integers(len(others))]
            rows.append((lookup[a, p1], lookup[b, p3], lookup[a, p3]))
    return Triplets(*np.array(rows).T)
