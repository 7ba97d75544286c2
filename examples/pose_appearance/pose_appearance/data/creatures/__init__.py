r"""Creatures of three categories, drawn procedurally: each has a skeleton of its own, and all
strike the same poses.

For Sec. 4.3 of the paper. No character has more than one category, and so no pair of training does;
what they share is the view, the animation and its phase.
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

from ..data_set import data_set
from ..drawn import check_counts, draw_set
from ..image_set import ImageSet
from .appearance import CATEGORIES, FACTORS, sample_appearances
from .bodies import KEYPOINTS
from .motion import ANIMATIONS, VIEWS, Motion, make_motion, pose_grid
from .render import render


def sequence(
    image_set: ImageSet, identity: int, which: int, identities: int, seed: int, frames: int
) -> np.ndarray:
    """Returns one cycle of an animation in one view, drawn anew."""
    animation, view = list(ANIMATIONS), list(VIEWS)
    animation, view = animation[which % len(animation)], view[(2 + 4 * which) % len(view)]
    appearance = sample_appearances(identities, np.random.default_rng(seed))[[identity]]
    poses = [make_motion(animation, view, phase) for phase in np.arange(frames) / frames]
    return np.concatenate([render(appearance, pose, image_set.size)[0] for pose in poses])


@data_set(steps=5500, categories=True, sequence=sequence)
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
        The images of the first character in all poses, then of the next. The last characters are
        the test's. The factors are the category, the view, the animation and its phase.
    """
    check_counts(identities, poses, size, test_fraction)
    appearances = sample_appearances(identities, np.random.default_rng(seed))
    grid = pose_grid(poses)
    motions = [make_motion(*pose) for pose in zip(*grid, strict=True)]
    return draw_set(
        "creatures",
        grid,
        lambda index: render(appearances, motions[index], size),
        identities,
        test_fraction,
        category=np.array(CATEGORIES)[appearances[:, 0]],
    )
