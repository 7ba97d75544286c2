"""What a data set is: a function that reads or draws it, and what a run must know of it."""

__all__ = ["DATA_SETS", "DataSet", "data_set", "load", "sequence"]

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..registry import Registry
from .image_set import ImageSet

Sequence = Callable[[ImageSet, int, int, int, int, int], np.ndarray]
"""Takes images, an identity, which sequence of it, the number of identities that were drawn, their
seed, and the number of frames, and gives images, uint8 with shape (T, H, W, 3)."""


@dataclass(frozen=True)
class DataSet:
    """A data set by its reader and what a run must know of it."""

    read: Callable[..., ImageSet]
    """Returns its images. What :func:`load` passes are those arguments that it takes."""
    steps: int = 25_000
    """How many steps a run makes by default: the same run on any machine."""
    native_size: int | None = None
    """The side of the images, where they are padded to the size of the model and not scaled."""
    categories: bool = False
    """Whether identities are of categories that no pair mixes. Methods are not compared on such."""
    tuned_with: str | None = None
    """The preset that methods are tuned with on it, if they are. Other data take what puppets
    chose."""
    sequence: Sequence | None = None
    """Gives a sequence of poses of an identity. By default all its images, in order."""

    def takes(self, argument: str) -> bool:
        """Returns whether the reader takes an argument: `root` if it reads files, `seed` …"""
        return argument in inspect.signature(self.read).parameters


DATA_SETS: Registry[DataSet] = Registry("data")
"""All data sets by name."""


def data_set(**known: Any) -> Callable[[Callable[..., ImageSet]], Callable[..., ImageSet]]:
    """Returns a decorator that registers a reader under the name of its module.

    Arguments:
        known: What is known of the data set: the fields of :class:`DataSet`.
    """

    def register(read: Callable[..., ImageSet]) -> Callable[..., ImageSet]:
        DATA_SETS.add(DataSet(read, **known), of=read)
        return read

    return register


def load(
    name: str,
    root: Path | None = None,
    *,
    size: int = 64,
    resize: bool = True,
    test_fraction: float = 0.2,
    identities: int = 800,
    poses: int = 48,
    seed: int = 0,
    images_per_identity: int | None = None,
    store: Path | None = None,
) -> ImageSet:
    """Loads a data set by name.

    Arguments:
        name: Its name.
        root: Where its files are, if it is read from files.
        size: The size of the images; sprites keep theirs.
        resize: Whether images of files are scaled to it; otherwise another size is an error.
        test_fraction: The share of identities held out, for what is drawn and for folders.
        identities: The number of characters to draw.
        poses: The number of poses of each.
        seed: The seed of what is drawn, and of the split of a folder.
        images_per_identity: The most images to take of an identity. By default the reader decides:
            all, or some hundred of a video.
        store: Where to keep the images of a folder in a file, instead of in memory.
    """
    asked = {"images_per_identity": images_per_identity, "store": store}
    given = {argument: value for argument, value in asked.items() if value is not None}
    chosen = DATA_SETS[name]
    for argument in given:
        if not chosen.takes(argument):
            known = ", ".join(other for other, x in DATA_SETS.items() if x.takes(argument))
            raise ValueError(f"{argument} is for {known}, got {name!r}")
    if chosen.takes("root"):
        if root is None:
            raise ValueError(f"{name} is read from files: say where they are with --data-root DIR")
        if not Path(root).exists():
            raise FileNotFoundError(f"there is nothing at --data-root {root}")
        given["root"] = Path(root)
    given |= {"size": size, "resize": resize, "test_fraction": test_fraction}
    given |= {"identities": identities, "poses": poses, "seed": seed}
    return chosen.read(**{name: value for name, value in given.items() if chosen.takes(name)})


def sequence(
    data: str,
    image_set: ImageSet,
    identity: int,
    which: int = 0,
    *,
    identities: int,
    seed: int,
    frames: int = 24,
) -> np.ndarray:
    """Returns a sequence of images of an identity, to drive others with.

    Arguments:
        data: The name of the data set.
        image_set: Its images, or some of them.
        identity: The identity.
        which: Which animation and view: drawn data and sprites have several, and start again after
            the last.
        identities: How many characters were drawn; for data that are drawn anew.
        seed: The seed that they were drawn with.
        frames: The number of frames of a cycle, likewise.

    Returns:
        The images, uint8 with shape (T, H, W, 3). Of most data they are all of the identity, in the
        order of the set.
    """
    own = np.flatnonzero(image_set.identity == identity)
    if not len(own):
        raise ValueError(f"{image_set.name} must have images of identity {identity}, got none")
    give = DATA_SETS[data].sequence
    if give is None:
        return image_set.images[own]
    return give(image_set, identity, which, identities, seed, frames)
