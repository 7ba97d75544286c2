r"""Draws batches of puppets, from what is farthest to what is nearest."""

__all__ = [
    "BACKGROUND",
    "render",
]

from collections.abc import Callable

import numpy as np

from ..drawn import Look, decode_appearances
from .appearance import FACTORS
from .body import draw_arm, draw_leg, draw_skirt, draw_torso
from .canvas import Canvas
from .head import draw_hair, draw_hat, draw_head
from .pose import Pose
from .skeleton import Skeleton, make_skeleton

BACKGROUND = (238, 240, 236)
"""The colour, out of 255, of every pixel outside of the puppet."""

_SIDES = ("left", "right")
# Enough images to outweigh the calls, few enough for the windows to stay in a processor's cache.
_BATCH_PIXELS = 2**20


def render(appearance: np.ndarray, pose: Pose, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    r"""Draws puppets, one per row of `appearance` and `pose`; a single row of either is repeated.

    Arguments:
        appearance: Indices into `FACTORS`, with shape `(N, F)`.
        pose: `N` poses.
        size: The side of the images, from 16 to 256.

    Returns:
        The images, uint8 with shape `(N, size, size, 3)`, and the joints named by `KEYPOINTS`,
        in pixels, float32 with shape `(N, K, 2)`.
    """
    if not 16 <= size <= 256:
        raise ValueError(f"size must lie in [16, 256], got {size}")

    looks = decode_appearances(appearance, FACTORS)
    count = max(len(appearance), len(pose))
    if {len(appearance), len(pose)} - {1, count}:
        raise ValueError(
            f"appearance and pose must have equal lengths or length 1, got {len(appearance)}, "
            f"{len(pose)}"
        )

    rows = np.zeros(count, int)
    looks = {
        name: values[rows] if len(values) < count else values for name, values in looks.items()
    }
    pose = pose[rows] if len(pose) < count else pose
    skeleton = make_skeleton(pose, looks["build"], looks["height"])

    images = np.empty((count, size, size, 3), np.uint8)
    batch = _BATCH_PIXELS // size**2
    for start in range(0, count, batch):
        chunk = slice(start, start + batch)
        part = {name: values[chunk] for name, values in looks.items()}
        images[chunk] = _draw(skeleton[chunk], part, size)
    return images, skeleton.joints[..., :2] * np.float32(size)


def _draw(skeleton: Skeleton, look: Look, size: int) -> np.ndarray:
    count = len(skeleton.joints)
    canvas = Canvas(count, size, tuple(value / 255 for value in BACKGROUND))
    everyone = np.arange(count)

    depths = np.stack([_depth(skeleton, side, ("elbow", "hand")) for side in _SIDES])
    # An arm that hangs beside the body is drawn in front of it.
    hidden = depths - skeleton.joint("neck")[:, 2] < -0.03
    order = depths.argsort(0)
    _draw_limbs(canvas, skeleton, look, draw_arm, order, hidden)
    draw_hair(canvas, skeleton, look, everyone, behind=True)

    legs = np.stack([_depth(skeleton, side, ("hip", "knee", "foot")) for side in _SIDES])
    _draw_limbs(canvas, skeleton, look, draw_leg, legs.argsort(0), np.full_like(hidden, True))
    draw_skirt(canvas, skeleton, look, everyone)
    draw_torso(canvas, skeleton, look, everyone)

    draw_head(canvas, skeleton, look, everyone)
    draw_hair(canvas, skeleton, look, everyone, behind=False)
    draw_hat(canvas, skeleton, look, everyone)
    _draw_limbs(canvas, skeleton, look, draw_arm, order, ~hidden)
    return canvas.images()


def _draw_limbs(
    canvas: Canvas,
    skeleton: Skeleton,
    look: Look,
    draw: Callable[..., None],
    order: np.ndarray,
    chosen: np.ndarray,
) -> None:
    r"""Draws the limbs `chosen`, `(2, N)`, of the left and right side, from the first in `order` to
    the last.
    """
    for layer in order:
        for index, side in enumerate(_SIDES):
            draw(canvas, skeleton, look, np.flatnonzero((layer == index) & chosen[index]), side)


def _depth(skeleton: Skeleton, side: str, names: tuple[str, ...]) -> np.ndarray:
    return np.mean([skeleton.joint(f"{side} {name}")[:, 2] for name in names], axis=0)
