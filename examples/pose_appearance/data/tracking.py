"""Tracks of objects in videos, cut out by their boxes: a track is an identity.

- LaSOT of Fan et al. (2019): http://vision.cs.stonybrook.edu/~lasot/, 1400 tracks, 230 GB.
- GOT-10k of Huang, Zhao and Huang (2019): http://got-10k.aitestunion.com/downloads, after a registration, 9515 tracks with boxes, 66 GB.
"""

__all__ = ["got10k", "lasot"]

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .decoding import Picture, assemble
from .image_set import ImageSet
from .lists import read_boxes, read_numbers, read_rows
from .places import contents, find_root, images_in, visible

FRAMES = 100
"""How many frames of a track are taken by default."""


def lasot(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = FRAMES
) -> ImageSet:
    """Reads `airplane/airplane-1/img/00000001.jpg` … with `groundtruth.txt` beside `img`.

    Arguments:
        root: The folder of the categories, with `testing_set.txt`, which names the tracks of the test.
        size: The side of the square images in pixels.
        resize: Whether the squares around the boxes are scaled to it; otherwise another size is an error.
        images_per_identity: The most frames to take of a track, evenly spaced; None takes all, 280 GB of them.

    Returns:
        The published split, protocol II: 1120 tracks to train on and 280 for the test. Frames where the object is fully occluded or out
        of view are left out. Poses are unknown.
    """
    root = find_root(root, ("testing_set.txt",))
    tested = {name for (name,) in read_rows(root / "testing_set.txt", 1)}
    categories = [path for path in visible(root) if path.is_dir()]
    tracks = [track for category in categories for track in _tracks(category)]
    if not tracks:
        raise FileNotFoundError(
            f"{root} must have tracks like airplane/airplane-1/groundtruth.txt: {contents(root)}"
        )
    pictures: list[Picture] = []
    for track in tracks:
        hidden = [f"{track}/full_occlusion.txt", f"{track}/out_of_view.txt"]
        split = "test" if track.name in tested else "train"
        pictures += _track(track, track / "img", split, [Path(path) for path in hidden])
    return assemble(pictures, "lasot", size, resize, images_per_identity)


def got10k(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = FRAMES
) -> ImageSet:
    """Reads `train/GOT-10k_Train_000001/00000001.jpg` … with `groundtruth.txt` beside the frames.

    Arguments:
        root: The folder that has `train` and `val`.
        size: The side of the square images in pixels.
        resize: Whether the squares around the boxes are scaled to it; otherwise another size is an error.
        images_per_identity: The most frames to take of a track, evenly spaced; None takes all.

    Returns:
        The published training and validation tracks: the boxes of the test are not public. Frames where the object is absent are left out. Poses are unknown.
    """
    root = find_root(root, ("train",), ("val",))
    pictures: list[Picture] = []
    for split in ("train", "val"):
        tracks = _tracks(root / split)
        if not tracks:
            raise FileNotFoundError(
                f"{root / split} must have tracks like GOT-10k_{split.title()}_000001/groundtruth.txt: "
                f"{contents(root / split)}"
            )
        for track in tracks:
            pictures += _track(track, track, split, [track / "absence.label"])
    return assemble(pictures, "got10k", size, resize, images_per_identity)


def _tracks(folder: Path) -> list[Path]:
    """Gives the folders in a folder that have boxes."""
    return [path for path in visible(folder) if (path / "groundtruth.txt").is_file()]


def _track(track: Path, folder: Path, split: str, hidden: list[Path]) -> Iterator[Picture]:
    """Gives the frames of a track that show its object, with their boxes.

    Arguments:
        track: The folder of `groundtruth.txt`.
        folder: The folder of the frames.
        split: The split of the track.
        hidden: Files that have a 1 for each frame that does not show the object.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: it holds the frames of {track.name}")
    frames, _ = images_in(folder)
    path = track / "groundtruth.txt"
    boxes = read_boxes(path)
    if len(boxes) != len(frames):
        raise ValueError(
            f"{path} must have a box for each of {len(frames)} frames, got {len(boxes)}"
        )
    shown = (boxes[:, 2:] > 0).all(1)
    for file in hidden:
        flags = np.array([flag for row in read_numbers(file) for flag in row])
        if len(flags) != len(frames):
            raise ValueError(
                f"{file} must have a 0 or 1 for each of {len(frames)} frames, got {len(flags)}"
            )
        shown &= flags == 0
    for frame, box, seen in zip(frames, boxes.tolist(), shown, strict=True):
        if seen:
            yield Picture(frame, track.name, split, tuple(box))
