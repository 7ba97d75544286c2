"""Tracks of objects in videos, cut out by their boxes: a track is an identity."""

__all__ = ["FRAMES", "frames_of", "tracks_in"]

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .decoding import Picture
from .lists import read_boxes, read_numbers
from .places import images_in, visible

FRAMES = 100
"""How many frames of a track are taken by default."""


def tracks_in(folder: Path) -> list[Path]:
    """Returns the folders in a folder that have boxes."""
    return [path for path in visible(folder) if (path / "groundtruth.txt").is_file()]


def frames_of(track: Path, folder: Path, split: str, hidden: list[Path]) -> Iterator[Picture]:
    """Returns the frames of a track that show its object, with their boxes.

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
