"""Batches of image pairs for training, and triplets for evaluation."""

__all__ = [
    "Batch",
    "PairSampler",
    "Triplets",
    "as_float",
    "crop_to",
    "triplets",
    "within_and_across",
]

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mireg.ranks import generator_at

from .image_set import ImageSet
from .stored import StoredImages


def as_float(images: Tensor, size: int) -> Tensor:
    """Turns uint8 images (N, H, W, 3) into floats in [-1, 1], (N, 3, size, size).

    Arguments:
        images: The images.
        size: The size to pad to, at least that of the images: each around its middle, with the
            colour of its first pixel.

    Returns:
        The images in channels-last memory.
    """
    height, width = images.shape[1:3]
    if max(height, width) > size:
        raise ValueError(f"images of {height}x{width} pixels cannot be padded to {size}x{size}")
    x = images.float().div_(127.5).sub_(1).permute(0, 3, 1, 2)
    if (height, width) == (size, size):
        return x
    canvas = x[:, :, :1, :1].expand(-1, -1, size, size)
    canvas = canvas.contiguous(memory_format=torch.channels_last)
    crop_to(canvas, (height, width)).copy_(x)
    return canvas


def crop_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the middle of padded images: the native pixels, a view with shape (N, 3, *size)."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


class Batch(NamedTuple):
    """Pairs of images of one identity each."""

    x1: Tensor
    """The images that give the appearance, with shape (B * appearances, 3, H, W), identity by
    identity."""
    x2: Tensor
    """The images that give the pose and are reconstructed, with shape (B * views, 3, H, W),
    identity by identity."""
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
        rank: The number of this rank if several share a batch.
        ranks: How many there are: each gets as many of the identities, in their order.
        appearances: The number of images of each identity that give its appearance together.
    """

    def __init__(
        self,
        image_set: ImageSet,
        identities: int,
        views: int,
        size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        appearances: int = 1,
    ) -> None:
        if identities % ranks:
            raise ValueError(
                f"the identities of a batch must be a multiple of the {ranks} ranks, got "
                f"{identities}"
            )
        order = np.argsort(image_set.identity, kind="stable")
        names, start, count = np.unique(
            image_set.identity[order], return_index=True, return_counts=True
        )
        if len(names) < 2:
            raise ValueError(f"training needs at least 2 identities, got {len(names)}")
        if count.min() < 2:
            raise ValueError(
                "training needs at least 2 images of each identity, got 1 of identity "
                f"{names[count.argmin()]}"
            )
        self.images: np.ndarray | StoredImages | Tensor = image_set.images
        self.order, self.start, self.count = (torch.from_numpy(x) for x in (order, start, count))
        self.names = torch.from_numpy(names.astype(np.int64))
        self.identities, self.views, self.size, self.seed = identities, views, size, seed
        self.appearances = min(appearances, int(count.min()) - 1)
        self.device = torch.device("cpu")
        share = identities // ranks
        self.own = slice(rank * share, (rank + 1) * share)

    def batch_at(self, step: int) -> Batch:
        """Returns the batch of a step, or the share of it that is this rank's."""
        generator = generator_at(self.seed, step)
        rounds = -(-self.identities // len(self.names))
        chosen = torch.cat(
            [torch.randperm(len(self.names), generator=generator) for _ in range(rounds)]
        )[: self.identities]
        # A random order of each identity's images: the first ones give the appearance, and the poses
        # are drawn from the rest.
        count = self.count[chosen, None]
        keys = torch.rand(self.identities, int(self.count.max()), generator=generator)
        shuffled = keys.masked_fill_(torch.arange(keys.shape[1]) >= count, 2).argsort(dim=1)
        taken = self.appearances
        views = torch.rand(self.identities, self.views, generator=generator)
        views = taken + (views * (count - taken)).long()
        index = torch.cat((shuffled[:, :taken], shuffled.gather(1, views)), dim=1)
        index = self.order[self.start[chosen, None] + index]
        index, chosen = index[self.own], chosen[self.own]
        x1, x2 = (
            as_float(self._images(rows), self.size)
            for rows in (index[:, :taken].flatten(), index[:, taken:].flatten())
        )
        return Batch(x1, x2, self.names[chosen].to(self.device, non_blocking=True))

    def keep_on(self, device: torch.device) -> None:
        """Keeps all images on a device, and gives the batches there. Images in a file stay there."""
        if isinstance(self.images, np.ndarray):
            self.images = torch.from_numpy(self.images).to(device)
            self.device = device

    def _images(self, rows: Tensor) -> Tensor:
        """Returns some images as uint8, where they are kept."""
        if isinstance(self.images, Tensor):
            return self.images[rows.to(self.device, non_blocking=True)]
        return torch.from_numpy(self.images[rows.numpy()])


class Triplets(NamedTuple):
    """Indices of images: the appearance of `x1` in the pose of `x3` is `target`."""

    x1: np.ndarray
    x3: np.ndarray
    target: np.ndarray


def within_and_across(
    factor: np.ndarray, triplets: Triplets, values: np.ndarray
) -> dict[str, np.ndarray]:
    """Splits values of triplets by whether appearance and pose come from images with one factor.

    Arguments:
        factor: The factor of each image of the set.
        triplets: The indices into it.
        values: The value of each triplet, with shape (count,).

    Returns:
        The values "within" and "across". A part that has none is left out.
    """
    same = factor[triplets.x1] == factor[triplets.x3]
    parts = {"within": values[same], "across": values[~same]}
    return {name: part for name, part in parts.items() if len(part)}


def triplets(image_set: ImageSet, count: int = 8000, seed: int = 1) -> Triplets:
    """Draws the triplets of the published metric, with replacement.

    Arguments:
        image_set: Images with known poses, of identities that were held out.
        count: The number of triplets.
        seed: The seed.

    Returns:
        The indices, each with shape (count,): `x3` is of another identity and another pose than
        `x1`.
    """
    if image_set.pose is None:
        raise ValueError(f"triplets need known poses, and {image_set.name} has none")
    table = _pose_table(image_set)
    # Targets need a partner: a pose counts where it is known of two identities.
    table[:, (table >= 0).sum(0) < 2] = -1
    usable = np.flatnonzero((table >= 0).sum(1) > 1)
    if len(usable) < 2:
        raise ValueError(
            "triplets need at least 2 identities that share 2 poses, "
            f"and {image_set.name} has {len(usable)}"
        )
    random = np.random.default_rng(seed)
    rows = []
    while len(rows) < count:
        a = random.choice(usable)
        p1, p3 = random.choice(np.flatnonzero(table[a] >= 0), 2, replace=False)
        others = np.flatnonzero(table[:, p3] >= 0)
        b = random.choice(others[others != a])
        rows.append((table[a, p1], table[b, p3], table[a, p3]))
    return Triplets(*np.array(rows).T)


def _pose_table(image_set: ImageSet) -> np.ndarray:
    """Returns the index of the image of each identity in each pose, -1 where there is none."""
    assert image_set.pose is not None
    names, identity = np.unique(image_set.identity, return_inverse=True)
    table = np.full((len(names), image_set.pose.max(initial=0) + 1), -1)
    known = image_set.pose >= 0
    table[identity[known], image_set.pose[known]] = np.flatnonzero(known)
    return table
