r"""From the angles of a pose and the proportions of a body to joints in the image."""

__all__ = [
    "BONES",
    "HEAD_RADIUS",
    "KEYPOINTS",
    "Skeleton",
    "make_skeleton",
]

from dataclasses import dataclass, fields

import numpy as np

from .pose import Pose

_LIMBS = ("shoulder", "elbow", "hand", "hip", "knee", "foot")

KEYPOINTS = ("head", "neck", *(f"{side} {joint}" for joint in _LIMBS for side in ("left", "right")))
"""The names of the joints, in the order of every keypoint array."""

BONES = (
    ("head", "neck"),
    *(
        (start if start == "neck" else f"{side} {start}", f"{side} {end}")
        for side in ("left", "right")
        for start, end in (
            ("neck", "shoulder"),
            ("shoulder", "elbow"),
            ("elbow", "hand"),
            ("neck", "hip"),
            ("hip", "knee"),
            ("knee", "foot"),
        )
    ),
)
"""Pairs of joints that a stick figure connects."""

HEAD_RADIUS = 0.13
_GROUND = 0.957
_SOLE = 0.031
_TORSO, _NECK = 0.182, 0.013
_ARM = (0.1, 0.094)
_LEG = (0.11, 0.11)
_SHOULDER, _HIP = 0.073, 0.04


@dataclass(frozen=True)
class Skeleton:
    r"""Creates a batch of skeletons: x to the right, y down, z to the viewer, in sides of the
    image.

    Arguments:
        joints: Positions in the order of `KEYPOINTS`, with shape `(N, K, 3)`.
        torso: Left, up and forward axes of the torso, with shape `(N, 3, 3)`.
        head: The same axes of the head, with shape `(N, 3, 3)`.
        feet: Left and right directions of the toes, with shape `(N, 2, 3)`.
        yaw: Turn about the vertical, with shape `(N,)`.
    """

    joints: np.ndarray
    torso: np.ndarray
    head: np.ndarray
    feet: np.ndarray
    yaw: np.ndarray

    def __getitem__(self, rows: slice) -> "Skeleton":
        return Skeleton(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joint(self, name: str) -> np.ndarray:
        return self.joints[:, KEYPOINTS.index(name)]


def make_skeleton(pose: Pose, build: np.ndarray, height: np.ndarray) -> Skeleton:
    r"""Places the joints of `pose` on bodies of a width `build` and a length of limb `height`, both
    `(N,)`.
    """
    sides = np.array([1.0, -1.0])[:, None]
    build, height = build[:, None, None], height[:, None, None]

    torso, head = _axes(pose.torso), _axes(pose.head)
    arms, legs = _directions(pose.arms), _directions(pose.legs)

    hips = sides * build * [_HIP, 0.0, 0.0]
    knees = hips + _LEG[0] * height * legs[:, :, 0]
    feet = knees + _LEG[1] * height * legs[:, :, 1]
    # The toes stay square to the shin, half-way to level, so that a raised foot points up.
    shin = legs[:, :, 1]
    toes = np.stack([0.25 * sides[:, 0] + 0 * shin[..., 0], 0.8 * shin[..., 2], -shin[..., 1]], -1)
    toes[..., 1] *= np.abs(shin[..., 2])
    toes /= np.linalg.norm(toes, axis=-1, keepdims=True)

    neck = (_TORSO * height)[:, 0] * torso[:, 1]
    shoulders = (
        neck[:, None] - 0.024 * torso[:, None, 1] + sides * _SHOULDER * build * torso[:, None, 0]
    )
    elbows = shoulders + _ARM[0] * height * arms[:, :, 0]
    hands = elbows + _ARM[1] * height * arms[:, :, 1]
    crown = neck + (_NECK + 0.92 * HEAD_RADIUS) * head[:, 1]

    joints = np.concatenate(
        [crown[:, None], neck[:, None], shoulders, elbows, hands, hips, knees, feet], 1
    )
    lowest = feet[..., 1].min(1)
    joints[..., 1] += (_SOLE + pose.lift - lowest)[:, None]

    joints = _turn(joints, pose.yaw) + np.array([0.5, _GROUND, 0.0])
    axes = (_turn(vectors, pose.yaw) for vectors in (torso, head, toes))
    return Skeleton(
        joints.astype(np.float32),
        *(v.astype(np.float32) for v in axes),
        pose.yaw.astype(np.float32),
    )


def _axes(angles: np.ndarray) -> np.ndarray:
    r"""Left, up and forward of a body that leans forward, then sways: `(N, 2)` to `(N, 3, 3)`."""
    (sin_lean, sin_sway), (cos_lean, cos_sway) = np.sin(angles).T, np.cos(angles).T
    left = [cos_sway, -sin_sway * cos_lean, -sin_sway * sin_lean]
    up = [sin_sway, cos_sway * cos_lean, cos_sway * sin_lean]
    forward = [0 * sin_lean, -sin_lean, cos_lean]
    return np.array([left, up, forward]).transpose(2, 0, 1)


def _directions(angles: np.ndarray) -> np.ndarray:
    r"""Unit vectors of segments: `(N, side, segment, 2)` to `(N, side, segment, 3)`."""
    swing, spread = angles[..., 0], angles[..., 1]
    outward = np.array([1.0, -1.0])[:, None] * np.sin(spread)
    return np.stack([outward, -np.cos(spread) * np.cos(swing), np.cos(spread) * np.sin(swing)], -1)


def _turn(vectors: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    r"""Turns vectors `(N, K, 3)` about the vertical, into the axes of the image, where y points
    down.
    """
    x, y, z = np.moveaxis(vectors, -1, 0)
    sin, cos = np.sin(yaw)[:, None], np.cos(yaw)[:, None]
    return np.stack([x * cos + z * sin, -y, z * cos - x * sin], -1)
