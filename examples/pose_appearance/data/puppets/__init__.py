r"""Articulated puppets, drawn procedurally: any appearance in any pose, with known keypoints."""

__all__ = [
    "ANIMATIONS",
    "BACKGROUND",
    "BONES",
    "FACTORS",
    "KEYPOINTS",
    "Pose",
    "VIEWS",
    "make_pose",
    "pose_grid",
    "puppets",
    "render",
    "sample_appearances",
]

import numpy as np

from data.image_set import ImageSet

from .appearance import FACTORS, sample_appearances
from .pose import ANIMATIONS, VIEWS, Pose, make_pose, pose_grid
from .render import BACKGROUND, render
from .skeleton import BONES, KEYPOINTS


def puppets(
    identities: int = 240,
    poses: int = 120,
    size: int = 64,
    seed: int = 0,
    test_fraction: float = 0.2,
) -> ImageSet:
    r"""Draws every character in every pose.

    Arguments:
        identities: The number of characters, all distinct.
        poses: The number of poses, the same for all characters.
        size: The side of the images in pixels, from 16 to 256.
        seed: What decides the characters. The poses do not depend on it.
        test_fraction: The share of the characters that are kept for the test.

    Returns:
        The images of the first character in all poses, then of the next. The last characters are the test's.
    """
    if identities < 2:
        raise ValueError(f"identities must be at least 2, got {identities}")
    if poses < 1:
        raise ValueError(f"poses must be at least 1, got {poses}")
    if not 16 <= size <= 256:
        raise ValueError(f"size must lie in [16, 256], got {size}")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {test_fraction}")

    appearances = sample_appearances(identities, np.random.default_rng(seed))
    tested = min(max(round(test_fraction * identities), int(test_fraction > 0)), identities - 1)

    images = np.empty((identities, poses, size, size, 3), np.uint8)
    keypoints = np.empty((identities, poses, len(KEYPOINTS), 2), np.float32)
    animations, views, phases = pose_grid(poses)
    every_pose = make_pose(animations, views, phases)
    # Images that share a pose share tight bounding boxes, which makes them fast to draw together.
    for index in range(poses):
        images[:, index], keypoints[:, index] = render(
            appearances, every_pose[index : index + 1], size
        )

    identity = np.repeat(np.arange(identities), poses)
    return ImageSet(
        images=images.reshape(-1, size, size, 3),
        identity=identity,
        split=np.where(identity < identities - tested, "train", "test").astype("<U5"),
        pose=np.tile(np.arange(poses), identities),
        keypoints=keypoints.reshape(-1, len(KEYPOINTS), 2),
        factors={
            "view": np.tile(views, identities),
            "animation": np.tile(animations, identities),
            "phase": np.tile(phases, identities),
        },
        name="puppets",
    )
