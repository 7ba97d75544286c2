"""BBC Pose of Charles et al. (2013): sign-language interpreters beside television programmes, with
seven keypoints.

The frames, `bbcpose_data_1.0.zip` with an archive for each video, and the annotations,
`bbcpose_extbbcpose_code_1.0.tgz`, are at https://www.robots.ox.ac.uk/~vgg/data/pose/. They are for
research. The extended set of the same page has the same form.
"""

__all__ = ["JOINTS", "bbcpose"]

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .places import actual, contents, find_root

JOINTS = (
    "head",
    "right wrist",
    "left wrist",
    "right elbow",
    "left elbow",
    "right shoulder",
    "left shoulder",
)
"""The keypoints, as the person has left and right."""

SPLITS = ("train", "val", "test")

ANNOTATIONS = ("code/bbcpose.mat", "bbcpose_extbbcpose_code_1.0/bbcpose.mat", "bbcpose.mat")


@data_set()
def bbcpose(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = 500
) -> ImageSet:
    """Reads `1/1.jpg` … `20/…jpg`, with the annotations in `code/bbcpose.mat`.

    Arguments:
        root: The folder of the numbered videos and of the annotations.
        size: The side of the square images in pixels.
        resize: Whether frames are scaled to fit; otherwise another size is an error.
        images_per_identity: The most frames to take of a video, evenly spaced; None takes all that
            are annotated.

    Returns:
        The annotated frames of the videos that are there, in the published split: a video is an
        identity. Training and validation frames have the keypoints of the authors' tracker, test
        frames those of their annotators. Poses have no numbers.
    """
    root = find_root(root, ANNOTATIONS)
    path = next(actual(root / name) for name in ANNOTATIONS if actual(root / name).is_file())
    pictures: list[Picture] = []
    for number, video in enumerate(_read_annotations(path), 1):
        folder = root / str(number)
        if folder.is_dir():
            pictures += _video(path, folder, video)
    if not pictures:
        raise FileNotFoundError(
            f"{root} must have the videos as folders 1, 2, … with annotated frames: "
            f"{contents(root)}"
        )
    return assemble(pictures, "bbcpose", size, resize, images_per_identity)


def _read_annotations(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    try:
        return loadmat(path)["bbcpose"].ravel()
    except Exception as error:
        raise ValueError(f"{path} must be a MATLAB v5 file with bbcpose: {error}") from error


def _video(path: Path, folder: Path, video: Any) -> Iterator[Picture]:
    """Returns the annotated frames of a video."""
    try:
        split = str(video["type"].ravel()[0])
        kind = "test" if split == "test" else "train"
        frames = video[f"{kind}_frames"].ravel().astype(int)
        joints = video[f"{kind}_joints"].astype(np.float32)
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must give type, frames and joints of video {folder.name}: {error}"
        ) from error
    if split not in SPLITS:
        raise ValueError(f"{path} must put video {folder.name} in {SPLITS}, got {split!r}")
    if joints.shape != (2, len(JOINTS), len(frames)):
        raise ValueError(
            f"{path} must have joints with shape (2, 7, {len(frames)}) for the frames of video "
            f"{folder.name}, got {joints.shape}"
        )
    for frame, points in zip(frames, joints.transpose(2, 1, 0), strict=True):
        # MATLAB counts pixels from 1.
        yield Picture(
            actual(folder / f"{frame}.jpg"), int(folder.name), split, keypoints=points - 1
        )
