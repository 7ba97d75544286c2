r"""The skeletons of the categories."""

__all__ = ["KEYPOINTS", "make_body"]

from dataclasses import replace

import numpy as np

from ..drawn import Look
from .head import head, scarf
from .limbs import arm, leg, tail, wing
from .motion import Motion
from .parts import Body, Part, lean

KEYPOINTS = (
    "head",
    "chest",
    "hips",
    "left hand",
    "right hand",
    "left foot",
    "right foot",
    "tail",
)
"""What all categories have: the hand is a fore paw or the tip of a wing."""

_SCALES = {"biped": 0.96, "quadruped": 1.05, "bird": 1.1}
"""They fill the image about as much."""


def make_body(category: str, look: Look, motion: Motion) -> tuple[list[Part], np.ndarray]:
    r"""Builds a batch of creatures of one category in one pose.

    Returns:
        The parts, and the joints with shape `(N, K, 3)`, above the ground at a height of 0.
    """
    body = Body(look)
    {"biped": _biped, "quadruped": _quadruped, "bird": _bird}[category](body, motion)
    scale = _SCALES[category]
    parts = [
        replace(
            part,
            start=scale * part.start,
            end=scale * part.end,
            radii=(scale * part.radii[0], scale * part.radii[1]),
        )
        for part in body.parts
    ]
    return parts, scale * np.stack([body.joints[name] for name in KEYPOINTS], 1)


def _biped(body: Body, motion: Motion) -> None:
    build, height = body.look["build"], body.look["height"]
    hips = body.at(y=_stand(motion, 0.21 * height))
    up, ahead = lean(motion.pitch - 0.1)
    chest = hips + 0.185 * up
    belly = hips + 0.03 * up
    body.add(belly, chest, (0.112 * build, 0.082 * build), "coat", coat=True, belly=ahead)

    swing = 0.75 * motion.stride
    feet = []
    for side, stride, bend in ((1, swing, motion.bend[0]), (-1, -swing, motion.bend[1])):
        root = hips + body.at(0.055 * side * build)
        feet.append(leg(body, root, stride, bend, 0.105 * height, (0.05, 0.042, 0.035), 0.07))
        shoulder = chest + side * body.at(0.07 * build) - 0.015 * up
        raised = -1.3 * stride * (1 - motion.arms) + 0.3 * motion.arms
        spread = 0.45 + 1.9 * motion.arms
        name = "left" if side > 0 else "right"
        body.joints[f"{name} hand"] = arm(body, shoulder, side, raised, spread)
    body.joints["left foot"], body.joints["right foot"] = feet

    crown = chest + 0.165 * up
    head(body, crown, 0.132, motion.nod, snout=0.6)
    scarf(body, chest + 0.045 * up, 0.07)
    tail(body, hips - 0.1 * build[:, None] * ahead, -0.35 + 0.5 * motion.nod)
    body.joints.update(chest=chest, hips=hips)


def _quadruped(body: Body, motion: Motion) -> None:
    build, height = body.look["build"], body.look["height"]
    up, ahead = lean(motion.pitch)
    middle = body.at(y=_stand(motion, 0.235 * height), z=-0.035)
    hips, chest = middle - 0.145 * ahead, middle + 0.145 * ahead
    body.add(
        hips + 0.02 * up,
        chest + 0.025 * up,
        (0.1 * build, 0.096 * build),
        "coat",
        coat=True,
        belly=-up,
    )

    swing, raised = 0.7 * motion.stride, 1.75 * max(0.0, motion.arms - 0.2)
    for side, stride, bend in ((1, swing, motion.bend[0]), (-1, -swing, motion.bend[1])):
        name = "left" if side > 0 else "right"
        out = body.at(0.058 * side * build)
        # A trot: diagonal legs go together.
        body.joints[f"{name} foot"] = leg(
            body,
            hips + out,
            -stride,
            motion.bend[int(side > 0)],
            0.112 * height,
            (0.056, 0.04, 0.032),
            0.03,
        )
        body.joints[f"{name} hand"] = leg(
            body, chest + out, stride + raised, bend, 0.112 * height,
            (0.05, 0.038, 0.032), 0.03,
        )  # fmt: skip

    crown = chest + 0.185 * up + 0.1 * ahead
    body.add(chest + 0.04 * up, crown, (0.07 * build, 0.06), "coat", coat=True)
    head(body, crown, 0.108, motion.nod, snout=1.0)
    scarf(body, chest + 0.09 * up + 0.045 * ahead, 0.08 * build)
    tail(body, hips - 0.09 * build[:, None] * ahead + 0.06 * up, 0.5 + 0.8 * motion.nod)
    body.joints.update(chest=chest, hips=hips)


def _bird(body: Body, motion: Motion) -> None:
    look, build, height = body.look, body.look["build"], body.look["height"]
    up, ahead = lean(motion.pitch + 0.35)
    hips = body.at(y=_stand(motion, 0.19 * height))
    chest = hips + 0.08 * up + 0.085 * ahead
    rump = hips + 0.045 * up - 0.075 * ahead
    body.add(rump, chest, (0.105 * build, 0.125 * build), "coat", coat=True, belly=ahead)

    swing = 0.6 * motion.stride
    for side, stride, bend in ((1, swing, motion.bend[0]), (-1, -swing, motion.bend[1])):
        name = "left" if side > 0 else "right"
        root = hips + body.at(0.045 * side * build)
        body.joints[f"{name} foot"] = leg(
            body, root, stride, bend, 0.085 * height, (0.024, 0.02, 0.018), 0.075
        )
        body.joints[f"{name} hand"] = wing(body, chest, up, ahead, side, motion.arms)

    crown = chest + (0.17 + 0.02 * height[:, None]) * up + 0.035 * ahead
    crown[:, 2] += 0.16 * motion.nod
    body.add(chest + 0.05 * up, crown, (0.085 * build, 0.07), "coat", coat=True)
    head(body, crown, 0.1, motion.nod, snout=0.0)
    scarf(body, 0.45 * chest + 0.55 * crown, 0.088)

    length = np.select([look["tail"] == "short", look["tail"] == "long"], [0.07, 0.17], 0.11)
    width = np.where(look["tail"] == "bushy", 0.075, 0.04)
    end = (
        rump
        - length[:, None] * ahead
        - 0.04 * ahead
        + (0.03 + 0.25 * motion.nod * length[:, None]) * up
    )
    body.add(rump - 0.06 * ahead, end, (0.05, width), 0.8 * look["coat"])
    body.joints.update(chest=chest, hips=hips, tail=end)


def _stand(motion: Motion, length: np.ndarray) -> np.ndarray:
    r"""The height of the hips over the longer of two legs."""
    straight = 1 - 0.32 * min(motion.bend) - 0.16 * abs(motion.stride)
    return 0.03 + motion.lift + length * straight
