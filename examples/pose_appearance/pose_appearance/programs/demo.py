"""Puppets to show a model with: drawn anew, so nothing has to be read."""

__all__ = ["demo_pictures"]

import numpy as np

from ..data.puppets import ANIMATIONS, VIEWS, make_pose, pose_grid, render, sample_appearances

SEED = 2
"""The seed of the characters. Training draws those of seed 0."""

Pictures = tuple[np.ndarray, np.ndarray]
"""Pictures of appearances and of poses, uint8 with shapes (A, size, size, 3) and (P, size, size, 3)."""


def demo_pictures(size: int, people: int = 8, frames: int = 16) -> tuple[Pictures, Pictures]:
    """Returns the pictures of a table and of a film, in which others than the drawn show the poses.

    Arguments:
        size: The side of the pictures.
        people: How many characters are drawn, and how many poses the table has.
        frames: The number of frames of each animation of the film.
    """
    others, drawn = sample_appearances(2 * people, np.random.default_rng(SEED)).reshape(
        2, people, -1
    )
    views = list(VIEWS)
    fronts = make_pose(next(iter(ANIMATIONS)), views[0], np.zeros(people))
    appearance = render(drawn, fronts, size)[0]
    table = render(others, make_pose(*pose_grid(people)), size)[0]
    cycle = np.arange(frames) / frames
    film = [
        render(others[[i]], make_pose(animation, views[i % len(views)], cycle), size)[0]
        for i, animation in enumerate(list(ANIMATIONS)[:3])
    ]
    return (appearance, table), (appearance[:5], np.concatenate(film))
