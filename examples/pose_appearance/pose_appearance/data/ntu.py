"""NTU RGB+D of Shahroudy et al. (2016) and its extension to 120 actions: people who act before
three cameras, with 25 keypoints.

https://rose1.ntu.edu.sg/dataset/actionRecognition/ tells how to ask for the videos (`nturgb+d_rgb`)
and the skeletons (`nturgb+d_skeletons`), for research. The videos are unpacked to frames, all of
them and numbered from 1, by

    for f in nturgb+d_rgb/*.avi; do mkdir "${f%.avi}" && ffmpeg -i "$f" "${f%.avi}/%05d.jpg"; done
"""

__all__ = ["ntu"]

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .data_set import data_set
from .decoding import Picture, assemble, thin
from .image_set import ImageSet
from .places import actual, contents, find_root, images_in, say_left_out, visible

_FIRST_40 = (1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38)
_FURTHER = (45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96))
TRAINING_SUBJECTS = frozenset((*_FIRST_40, *_FURTHER, 97, 98, 100, 103))
"""The people that the cross-subject protocol trains on: 20 of the first 40, who did 60 actions, and
53 of all 106."""

MUTUAL_ACTIONS = frozenset((*range(50, 61), *range(106, 121)))
"""The actions that two people do together."""

NAME = re.compile(r"(S(\d{3})C\d{3}P(\d{3})R\d{3}A(\d{3}))(?:_rgb)?")
"""The name of a video, `S001C001P001R001A001_rgb`: setup, camera, person, repetition, action."""

JOINTS = 25

WIDTH = 1920
"""The width in pixels of the frames that the skeletons' coordinates refer to."""

MARGIN = 0.15
"""How much room a person gets around the keypoints on every side, relative to the longer side."""


@data_set()
def ntu(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = 500
) -> ImageSet:
    """Reads `nturgb+d_rgb/S001C001P001R001A001_rgb/00001.jpg` … with
    `nturgb+d_skeletons/S001C001P001R001A001.skeleton`.

    Arguments:
        root: The folder that has `nturgb+d_rgb` and `nturgb+d_skeletons`.
        size: The side of the square images in pixels.
        resize: Whether the squares around the people are scaled to it; otherwise another size is an
            error.
        images_per_identity: The most frames to take of an identity, evenly spaced; None takes all.

    Returns:
        The cross-subject split. An identity is a person in one setup, since people change their
        clothes in between. Actions of two people are left out, and frames where the sensor saw no
        person, or several. The keypoints are those of the sensor; poses have no numbers.
    """
    root = find_root(root, ("nturgb+d_rgb",), ("nturgb+d_skeletons",))
    videos, skeletons = root / "nturgb+d_rgb", root / "nturgb+d_skeletons"
    left: list[Path] = []
    people: dict[tuple[int, int], list[Path]] = defaultdict(list)
    folders = [path for path in visible(videos) if path.is_dir()]
    for folder in tqdm(folders, "videos", leave=False, disable=len(folders) < 1000):
        match = NAME.fullmatch(folder.name)
        if match is None:
            raise ValueError(f"{folder} must be named like S001C001P001R001A001_rgb")
        if int(match[4]) not in MUTUAL_ACTIONS:
            frames, others = images_in(folder)
            left += others
            people[int(match[2]), int(match[3])] += frames
    if not any(people.values()):
        raise FileNotFoundError(
            f"{videos} must have folders like S001C001P001R001A001_rgb with frames: "
            f"{contents(videos)}"
        )
    say_left_out(left, "ntu")
    pictures: list[Picture] = []
    for identity, frames in tqdm(people.items(), "skeletons", leave=False, disable=len(people) < 9):
        pictures += _person(identity, thin(frames, images_per_identity), skeletons)
    return assemble(pictures, "ntu", size, resize)


def _person(identity: tuple[int, int], frames: list[Path], skeletons: Path) -> Iterator[Picture]:
    """Returns the frames of a person in which the sensor saw that person alone."""
    split = "train" if identity[1] in TRAINING_SUBJECTS else "test"
    folder, points, scale = None, [], 1.0
    for frame in frames:
        if frame.parent != folder:
            folder = frame.parent
            points = read_skeleton(
                actual(skeletons / f"{folder.name.removesuffix('_rgb')}.skeleton")
            )
            scale = _width(frame) / WIDTH
        if not frame.stem.isdigit() or not 1 <= int(frame.stem) <= len(points):
            raise ValueError(
                f"{frame} must be named by its number, from 1 to {len(points)} as its skeleton says"
            )
        keypoints = points[int(frame.stem) - 1]
        if keypoints is not None:
            low, high = keypoints.min(0), keypoints.max(0)
            margin = MARGIN * (high - low).max()
            box = (*(scale * (low - margin)), *(scale * (high - low + 2 * margin)))
            yield Picture(frame, identity, split, box, scale * keypoints)


def _width(path: Path) -> int:
    try:
        with Image.open(path) as image:
            return image.width
    except OSError as error:
        raise ValueError(f"{path} must be a picture that Pillow reads: {error}") from error


def read_skeleton(path: Path) -> list[np.ndarray | None]:
    """Reads the keypoints of each frame in pixels, with shape (25, 2), or None where there is not
    one person with all of them.

    The file has the number of frames; for each, the number of people; for each of these a line that
    is not needed, the number of joints, and a line of 12 numbers for each joint, of which the sixth
    and the seventh are x and y in the frame.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it tells where the person is")
    frames: list[np.ndarray | None] = []
    try:
        lines = iter(path.read_text().splitlines())
        for _ in range(int(next(lines))):
            people = [_joints(lines) for _ in range(int(next(lines)))]
            alone = len(people) == 1 and np.isfinite(people[0]).all()
            frames.append(people[0] if alone else None)
    except (StopIteration, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path} must be a skeleton of NTU RGB+D, whole: it breaks off in frame "
            f"{len(frames) + 1}"
        ) from error
    return frames


def _joints(lines: Iterator[str]) -> np.ndarray:
    next(lines)
    count = int(next(lines))
    if count != JOINTS:
        raise ValueError(f"{count} joints")
    return np.array([next(lines).split()[5:7] for _ in range(count)], dtype=np.float32)
