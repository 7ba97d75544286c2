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

from ..data_set import data_set
from ..drawn import check_counts, draw_set
from ..image_set import ImageSet
from .appearance import FACTORS, sample_appearances
from .pose import ANIMATIONS, VIEWS, Pose, make_pose, pose_grid
from .render import BACKGROUND, render
from .skeleton import BONES, KEYPOINTS


def sequence(
    image_set: ImageSet, identity: int, which: int, identities: int, seed: int, frames: int
) -> np.ndarray:
    """Returns one cycle of an animation in one view, drawn anew."""
    animation, view = list(ANIMATIONS), list(VIEWS)
    animation, view = animation[3 * which % len(animation)], view[(2 + 4 * which) % len(view)]
    appearance = sample_appearances(identities, np.random.default_rng(seed))[[identity]]
    pose = make_pose(animation, view, np.arange(frames) / frames)
    return render(appearance, pose, image_set.size)[0]


@data_set(steps=6000, tuned_with="tiny", sequence=sequence)
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
        The images of the first character in all poses, then of the next. The last characters are
        the test's.
    """
    check_counts(identities, poses, size, test_fraction)
    appearances = sample_appearances(identities, np.random.default_rng(seed))
    grid = pose_grid(poses)
    every_pose = make_pose(*grid)
    return draw_set(
        "puppets",
        grid,
        lambda index: render(appearances, every_pose[index : index + 1], size),
        identities,
        test_fraction,
    )
