r"""What a puppet does: animations, continuous and periodic in time, seen from several views."""

__all__ = [
    "ANIMATIONS",
    "VIEWS",
    "Pose",
    "make_pose",
    "pose_grid",
]

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

LEFT, RIGHT = 0, 1
UPPER, LOWER = 0, 1
SWING, SPREAD = 0, 1

VIEWS = {"front": 0.0, "three-quarter": 0.7, "right": np.pi / 2, "back": np.pi, "left": -np.pi / 2}
"""The angle by which each view turns the puppet, in radians; zero faces the viewer."""


@dataclass(frozen=True)
class Pose:
    r"""Creates a batch of poses, in angles that know no appearance.

    The direction of a segment hangs down at zero, swings forward and spreads away from the body.

    Arguments:
        arms: Angles by side, segment and axis, with shape `(N, 2, 2, 2)`.
        legs: As `arms`.
        torso: Lean forward and sway to the left, with shape `(N, 2)`.
        head: As `torso`.
        lift: Height of the feet above the ground, with shape `(N,)`.
        yaw: Turn about the vertical, with shape `(N,)`.
    """

    arms: np.ndarray
    legs: np.ndarray
    torso: np.ndarray
    head: np.ndarray
    lift: np.ndarray
    yaw: np.ndarray

    def __len__(self) -> int:
        return len(self.yaw)

    def __getitem__(self, rows: np.ndarray | slice) -> "Pose":
        return Pose(*(getattr(self, field.name)[rows] for field in fields(self)))


def make_pose(animation: ArrayLike, view: ArrayLike, phase: ArrayLike) -> Pose:
    r"""Creates the poses of animations, by name, in views, by name, at phases in `[0, 1)`; the
    three broadcast.
    """
    names, views, phases = (
        np.atleast_1d(value) for value in np.broadcast_arrays(animation, view, phase)
    )
    for given, known in ((names, ANIMATIONS), (views, VIEWS)):
        unknown = sorted(set(given.tolist()) - set(known))
        if unknown:
            raise ValueError(f"expected one of {list(known)}, got {unknown}")

    pose = _rest(len(phases))
    for name, animate in ANIMATIONS.items():
        rows = np.flatnonzero(names == name)
        part = _rest(len(rows))
        animate(part, 2 * np.pi * phases[rows])
        for field in fields(Pose):
            getattr(pose, field.name)[rows] = getattr(part, field.name)

    pose.yaw[:] += [VIEWS[name] for name in views.tolist()]
    return pose


def pose_grid(count: int) -> tuple[list[str], list[str], np.ndarray]:
    r"""Spreads `count` poses over animations, views and phases; returns the three arguments of
    `make_pose`.
    """
    animations, views = list(ANIMATIONS), list(VIEWS)
    index = np.arange(count)
    turn, which = np.divmod(index, len(animations))
    golden = (np.sqrt(5) - 1) / 2
    return (
        [animations[i] for i in which],
        [views[i] for i in (which + turn) % len(views)],
        index * golden % 1,
    )


def _rest(count: int) -> Pose:
    pose = Pose(
        arms=np.zeros((count, 2, 2, 2)),
        legs=np.zeros((count, 2, 2, 2)),
        torso=np.zeros((count, 2)),
        head=np.zeros((count, 2)),
        lift=np.zeros(count),
        yaw=np.zeros(count),
    )
    pose.arms[..., SPREAD] = 0.3, 0.15
    pose.arms[..., SWING] = 0.0, 0.15
    pose.legs[..., SPREAD] = 0.08
    return pose


def _walk(pose: Pose, time: np.ndarray) -> None:
    for side, beat in ((LEFT, time), (RIGHT, time + np.pi)):
        stride = np.sin(beat)
        pose.legs[:, side, UPPER, SWING] = 0.15 + 0.6 * stride
        pose.legs[:, side, LOWER, SWING] = 0.6 * stride - 0.45 * (1 + np.cos(beat))
        pose.arms[:, side, UPPER, SWING] = -0.8 * stride
        pose.arms[:, side, LOWER, SWING] = 0.5 - 0.9 * stride
    pose.torso[:, 0] = 0.08


def _wave(pose: Pose, time: np.ndarray) -> None:
    pose.arms[:, LEFT, UPPER] = 1.9, 0.7
    pose.arms[:, LEFT, LOWER, SWING] = 2.2
    pose.arms[:, LEFT, LOWER, SPREAD] = 0.45 + 0.95 * np.sin(time)
    pose.arms[:, RIGHT, UPPER] = -0.4, 0.75
    pose.arms[:, RIGHT, LOWER] = 0.5, -0.5
    pose.torso[:, 1] = -0.06 - 0.05 * np.sin(time)
    pose.head[:, 1] = -0.16 - 0.06 * np.sin(time)


def _jump(pose: Pose, time: np.ndarray) -> None:
    air = 0.5 - 0.5 * np.cos(time)
    crouch = (1 - air) ** 2
    pose.legs[..., UPPER, SWING] = (1.1 * crouch + 0.25 * air)[:, None]
    pose.legs[..., LOWER, SWING] = (-0.8 * crouch - 0.7 * air**2)[:, None]
    pose.legs[..., SPREAD] = (0.1 + 0.2 * air)[:, None, None]
    pose.arms[..., UPPER, SWING] = (2.4 * air - 0.9 * crouch)[:, None]
    pose.arms[..., LOWER, SWING] = (2.6 * air - 0.5 * crouch)[:, None]
    pose.arms[..., SPREAD] = (0.25 + 0.4 * air)[:, None, None]
    pose.torso[:, 0] = 0.55 * crouch
    pose.head[:, 0] = 0.3 * crouch - 0.15 * air
    pose.lift[:] = 0.09 * air**2


def _jacks(pose: Pose, time: np.ndarray) -> None:
    wide = 0.5 - 0.5 * np.cos(time)
    pose.arms[..., UPPER, SPREAD] = (0.25 + 2.1 * wide)[:, None]
    pose.arms[..., LOWER, SPREAD] = (0.1 + 2.6 * wide)[:, None]
    pose.legs[..., SPREAD] = (0.06 + 0.5 * wide)[:, None, None]
    pose.lift[:] = 0.05 * np.sin(time) ** 2


def _squat(pose: Pose, time: np.ndarray) -> None:
    down = 0.5 - 0.5 * np.cos(time)
    pose.legs[..., UPPER, SWING] = (1.35 * down)[:, None]
    pose.legs[..., LOWER, SWING] = (-0.65 * down)[:, None]
    pose.legs[..., SPREAD] = (0.1 + 0.3 * down)[:, None, None]
    pose.arms[..., SWING] = (1.5 * down)[:, None, None]
    pose.arms[..., SPREAD] = (0.25 - 0.1 * down)[:, None, None]
    pose.torso[:, 0] = 0.4 * down


def _kick(pose: Pose, time: np.ndarray) -> None:
    swing = np.sin(time)
    high = 0.5 + 0.5 * swing
    pose.legs[:, RIGHT, UPPER, SWING] = 1.35 * high - 0.35
    pose.legs[:, RIGHT, LOWER, SWING] = 1.45 * high - 0.95 * (1 - high) - 0.2
    pose.legs[:, RIGHT, UPPER, SPREAD] = 0.15 + 0.25 * high
    pose.legs[:, RIGHT, LOWER, SPREAD] = 0.1 + 0.35 * high
    pose.arms[..., SPREAD] = (0.5 + 0.7 * high)[:, None, None]
    pose.arms[:, LEFT, :, SWING] = (0.9 * swing)[:, None]
    pose.arms[:, RIGHT, :, SWING] = (-0.7 * swing)[:, None]
    pose.torso[:, 0] = 0.1 - 0.3 * high
    pose.torso[:, 1] = 0.12 * high


def _dance(pose: Pose, time: np.ndarray) -> None:
    groove = np.sin(time)
    for side, up in ((LEFT, 0.5 + 0.5 * groove), (RIGHT, 0.5 - 0.5 * groove)):
        pose.arms[:, side, UPPER, SPREAD] = 0.7 + 1.1 * up
        pose.arms[:, side, LOWER, SPREAD] = 2.6 * up - 0.2
        pose.arms[:, side, :, SWING] = (0.5 - 0.9 * up)[:, None]
        pose.legs[:, side, UPPER, SPREAD] = 0.2 + 0.25 * up
        pose.legs[:, side, LOWER, SPREAD] = 0.1 - 0.15 * up
        pose.legs[:, side, UPPER, SWING] = 0.2 + 0.5 * up
        pose.legs[:, side, LOWER, SWING] = -0.2 - 0.7 * up
    pose.torso[:, 1] = 0.22 * groove
    pose.head[:, 1] = -0.2 * groove
    pose.yaw[:] = 0.3 * np.cos(time)


def _box(pose: Pose, time: np.ndarray) -> None:
    for side, punch in ((LEFT, 0.5 + 0.5 * np.sin(time)), (RIGHT, 0.5 - 0.5 * np.sin(time))):
        pose.arms[:, side, UPPER, SWING] = 0.2 + 1.3 * punch
        pose.arms[:, side, LOWER, SWING] = 2.3 - 0.7 * punch
        pose.arms[:, side, UPPER, SPREAD] = 0.45 - 0.3 * punch
        pose.arms[:, side, LOWER, SPREAD] = -0.1
        pose.legs[:, side, LOWER, SWING] = -0.45
    pose.legs[:, LEFT, UPPER, SWING] = 0.65
    pose.legs[:, RIGHT, UPPER, SWING] = -0.25
    pose.legs[:, RIGHT, LOWER, SWING] = -0.75
    pose.legs[..., SPREAD] = 0.2
    pose.torso[:, 0] = 0.18
    pose.yaw[:] = 0.25 * np.sin(time)


ANIMATIONS: dict[str, Callable[[Pose, np.ndarray], None]] = {
    "walk": _walk,
    "wave": _wave,
    "jump": _jump,
    "jacks": _jacks,
    "squat": _squat,
    "kick": _kick,
    "dance": _dance,
    "box": _box,
}
"""Each sets the angles of a pose at rest for a time in radians, with period :math:`2 \\pi`."""
