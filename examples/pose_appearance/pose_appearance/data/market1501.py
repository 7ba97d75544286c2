"""Market-1501 of Zheng et al. (2015): pedestrians seen by six cameras.

`Market-1501-v15.09.15.zip` is linked from the authors' page,
https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html. It is for research.
"""

__all__ = ["market1501"]

import re
from collections.abc import Iterator
from pathlib import Path

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .places import contents, find_root, images_in, say_left_out

FOLDERS = {"bounding_box_train": "train", "bounding_box_test": "test", "query": "test"}

NAME = re.compile(r"(-1|\d{4})_c\ds\d_\d{6}_\d{2}\.jpe?g", re.IGNORECASE)
"""The name of an image, `0002_c1s1_000451_03.jpg`: the person, the camera and its sequence, the
frame, the detection."""

JUNK = ("-1", "0000")
"""Bad detections, and people of whom nothing is known."""


@data_set()
def market1501(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = None
) -> ImageSet:
    """Reads the cropped pedestrians, 64x128 in the files.

    Arguments:
        root: The folder that has `bounding_box_train`, `bounding_box_test` and `query`, or the one
            around it.
        size: The side of the square images in pixels.
        resize: Whether images are scaled to fit, keeping their aspect, and padded; otherwise
            another size is an error.
        images_per_identity: The most images to take of a person, evenly spaced; None takes all.

    Returns:
        The published split, with the queries in the test. Distractors (person 0000) and junk (-1)
        are left out. Poses are unknown.
    """
    root = find_root(root, *((name,) for name in FOLDERS))
    pictures: list[Picture] = []
    left: list[Path] = []
    for folder, split in FOLDERS.items():
        images, others = images_in(root / folder)
        left += others
        if not images:
            raise ValueError(
                f"{root / folder} must have images like 0002_c1s1_000451_03.jpg: "
                f"{contents(root / folder)}"
            )
        pictures += _named(images, split)
    say_left_out(left, "market1501")
    return assemble(pictures, "market1501", size, resize, images_per_identity)


def _named(paths: list[Path], split: str) -> Iterator[Picture]:
    """Returns the pictures whose names tell a person."""
    for path in paths:
        match = NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path} must be named like 0002_c1s1_000451_03.jpg")
        if match[1] not in JUNK:
            yield Picture(path, match[1], split)
