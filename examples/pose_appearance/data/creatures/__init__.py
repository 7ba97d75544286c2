r"""Creatures of three categories, drawn procedurally: each has a skeleton of its own, and all strike the same poses.

For Sec. 4.3 of the paper. No character has more than one category, and so no pair of training does; what they share is the
view, the animation and its phase.
"""

__all__ = [
    "ANIMATIONS",
    "CATEGORIES",
    "FACTORS",
    "KEYPOINTS",
    "VIEWS",
    "Motion",
    "creatures",
    "make_motion",
    "pose_grid",
    "render",
    "sample_appearances",
]

import numpy as np

from data.image_set import ImageSet

from .appearance import CATEGORIES, FACTORS, sample_appearances
from .bodies import KEYPOINTS
from .motion import ANIMATIONS, VIEWS, Motion, make_motion, pose_grid
from .render import render


def creatures(
    identities: int = 240,
    poses: int = 160,
    size: int = 64,
    seed: int = 0,
    test_fraction: float = 0.2,
) -> ImageSet:
    r"""Draws every character in every pose.

    Arguments:
        identities: The number of characters, all distinct; the categories take turns.
        poses: The number of poses, the same for all characters.
        size: The side of the images in pixels, from 16 to 256.
        seed: What decides the characters. The poses do not depend on it.
        test_fraction: The share of the characters that are kept for the test.

    Returns:
        The images of the first character in all poses, then of the next. The last characters are the test's.
        The factors are the category, the view, the animation and its phase.
    """
    if identities < 2:
        raise ValueError(f"identities must be at least 2, got {identities}")
    if poses < 1:
        raise ValueError(f"poses must be at least 1, got {poses}")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {test_fraction}")
    appearances = sample_appearances(identities, np.random.default_rng(seed))
    tested = min(max(round(test_fraction * identities), int(test_fraction > 0)), identities - 1)

    animations, views, phases = pose_grid(poses)
    images = np.empty((identities, poses, size, size, 3), np.uint8)
    keypoints = np.empty((identities, poses, len(KEYPOINTS), 2), np.float32)
    for index, pose in enumerate(zip(animations, views, phases, strict=True)):
        images[:, index], keypoints[:, index] = render(appearances, make_motion(*pose), size)

    identity = np.repeat(np.arange(identities), poses)
    return ImageSet(
        images=images.reshape(-1, size, size, 3),
        identity=identity,
        split=np.where(identity < identities - tested, "train", "test").astype("<U5"),
        pose=np.tile(np.arange(poses), identities),
        keypoints=keypoints.reshape(-1, len(KEYPOINTS), 2),
        factors={
            "category": np.array(CATEGORIES)[appearances[:, 0]].repeat(poses),
            "view": np.tile(views, identities),
            "animation": np.tile(animations, identities),
            "phase": np.tile(phases, identities),
        },
        name="creatures",
    )
