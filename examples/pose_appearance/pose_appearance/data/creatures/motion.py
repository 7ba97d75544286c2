r"""What a creature does: animations that every category has, continuous and periodic in time."""

__all__ = ["ANIMATIONS", "VIEWS", "Motion", "make_motion", "pose_grid"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

VIEWS = {"front": 0.0, "three-quarter": 0.75, "right": np.pi / 2, "back": np.pi, "left": -np.pi / 2}
"""The angle by which each view turns the creature, in radians; zero faces the viewer."""


@dataclass(frozen=True)
class Motion:
    r"""Creates one pose in terms that every skeleton can follow; what differs is how it does.

    Arguments:
        stride: How far the left leg is ahead, from -1 to 1; the right one is as far behind.
        bend: How much the left and the right leg are bent, from 0 to 1.
        arms: How far arms or wings are raised, from 0 to 1.
        pitch: How far the body leans back, in radians.
        nod: How far the head is raised, in radians.
        lift: Height of the feet above the ground, in sides of the image.
        yaw: Turn about the vertical, in radians.
    """

    stride: float
    bend: tuple[float, float]
    arms: float
    pitch: float
    nod: float
    lift: float
    yaw: float


def make_motion(animation: str, view: str, phase: float) -> Motion:
    r"""Creates the pose of an animation, by name, in a view, by name, at a phase in `[0, 1)`."""
    for given, known in ((animation, ANIMATIONS), (view, VIEWS)):
        if given not in known:
            raise ValueError(f"expected one of {list(known)}, got {given!r}")
    return ANIMATIONS[animation](2 * np.pi * phase, VIEWS[view])


def pose_grid(count: int) -> tuple[list[str], list[str], np.ndarray]:
    r"""Spreads `count` poses over views, animations and phases; returns animations, views and
    phases.
    """
    animations, views = list(ANIMATIONS), list(VIEWS)
    index = np.arange(count)
    rest, view = np.divmod(index, len(views))
    turn, animation = np.divmod(rest, len(animations))
    return (
        [animations[i] for i in animation],
        [views[i] for i in view],
        turn / (turn.max(initial=0) + 1),
    )


def _walk(time: float, yaw: float) -> Motion:
    # The legs swap after half a period: the nod and the lean tell the halves apart from the side
    # too.
    forward = np.cos(time)
    return Motion(
        stride=np.sin(time),
        bend=(max(0.0, forward), max(0.0, -forward)),
        arms=0.1 + 0.1 * forward,
        pitch=0.1 * forward,
        nod=0.22 * np.sin(time + 0.8),
        lift=0.012 * (1 - np.cos(2 * time)),
        yaw=yaw,
    )


def _jump(time: float, yaw: float) -> Motion:
    air = 0.5 - 0.5 * np.cos(time)
    crouch = (1 - air) ** 3
    return Motion(
        stride=0.0,
        bend=(0.9 * crouch + 0.5 * air, 0.9 * crouch + 0.5 * air),
        arms=air,
        pitch=0.42 * np.sin(time),
        nod=0.3 * np.sin(time) - 0.3 * crouch,
        lift=0.1 * air,
        yaw=yaw,
    )


ANIMATIONS: dict[str, Callable[[float, float], Motion]] = {"walk": _walk, "jump": _jump}
"""Each gives the pose at a time in radians, with period :math:`2 \\pi`, seen at a yaw."""
