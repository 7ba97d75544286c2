r"""Draws batches of creatures of one pose, from the part that is farthest to the one that is
nearest.
"""

__all__ = ["render"]

from collections.abc import Callable

import numpy as np

from ..drawn import Look, decode_appearances
from ..puppets.canvas import OUTLINE, Canvas, column, segment
from ..puppets.render import BACKGROUND
from .appearance import CATEGORIES, FACTORS
from .bodies import KEYPOINTS, make_body
from .motion import Motion
from .parts import Part

_ELEVATION = 0.17
_GROUND = 0.905
_LIGHT = np.array([-0.45, -0.65, 0.6])


def render(
    appearances: np.ndarray, motion: Motion, size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draws creatures in one pose, one per row of `appearances`.

    Arguments:
        appearances: Indices into `FACTORS`, with shape `(N, F)`.
        motion: The pose.
        size: The side of the images, from 16 to 256.

    Returns:
        The images, uint8 with shape `(N, size, size, 3)`, and the joints named by `KEYPOINTS`,
        in pixels, float32 with shape `(N, K, 2)`.
    """
    if not 16 <= size <= 256:
        raise ValueError(f"size must lie in [16, 256], got {size}")
    looks = decode_appearances(appearances, FACTORS)
    images = np.empty((len(appearances), size, size, 3), np.uint8)
    keypoints = np.empty((len(appearances), len(KEYPOINTS), 2), np.float32)
    for category in CATEGORIES:
        rows = np.flatnonzero(looks["category"] == category)
        if len(rows):
            look = {name: values[rows] for name, values in looks.items()}
            images[rows], keypoints[rows] = _draw(look, category, motion, size)
    return images, keypoints


def _draw(look: Look, category: str, motion: Motion, size: int) -> tuple[np.ndarray, np.ndarray]:
    canvas = Canvas(len(look["build"]), size, tuple(value / 255 for value in BACKGROUND))
    parts, joints = make_body(category, look, motion)
    everyone = np.arange(len(look["build"]))
    _draw_shadow(canvas, everyone, joints, motion)

    middle = (joints[:, 1] + joints[:, 2]) / 2
    for index in _order(category, motion):
        _draw_part(canvas, parts[index], look, middle, motion.yaw)
    return canvas.images(), _project(joints, motion.yaw)[..., :2] * np.float32(size)


def _order(category: str, motion: Motion) -> np.ndarray:
    r"""Sorts the parts of an average creature, the farthest first: all are in one pose, so that one
    order serves all.
    """
    average = np.zeros((1, len(FACTORS)), np.int64)
    average[0, [list(FACTORS).index(name) for name in ("build", "height")]] = 1
    parts, _ = make_body(category, decode_appearances(average, FACTORS), motion)
    middles = [_project((part.start + part.end) / 2, motion.yaw)[0, 2] for part in parts]
    return np.argsort(
        [z + part.front for z, part in zip(middles, parts, strict=True)], kind="stable"
    )


def _draw_shadow(canvas: Canvas, rows: np.ndarray, joints: np.ndarray, motion: Motion) -> None:
    under = joints[:, [1, 2]] * [1, 0, 1]
    start, end = (_project(point, motion.yaw)[:, :2] for point in np.moveaxis(under, 1, 0))
    radius = 0.075 - 0.25 * motion.lift
    colour = np.broadcast_to(np.array([0.84, 0.85, 0.83]), (len(rows), 3))
    flat = np.array([1.0, 0.4])

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return segment(x, y / np.float32(flat[1]), start / flat, end / flat, (radius, radius))[
            0
        ], colour

    canvas.paint(rows, np.stack([start, end], 1), radius, shade, outline=0.0)


def _draw_part(
    canvas: Canvas,
    part: Part,
    look: Look,
    middle: np.ndarray,
    yaw: float,
) -> None:
    r"""Draws a capsule as a round body under a light, with what its coat shows."""
    rows = np.arange(len(middle)) if part.rows is None else np.flatnonzero(part.rows)
    start, end = (_project(point[rows], yaw) for point in (part.start, part.end))
    radii = tuple(np.broadcast_to(radius, len(middle))[rows] for radius in part.radii)
    colour = part.colour[rows]

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, along = segment(x, y, start[:, :2], end[:, :2], radii)
        radius = column(radii[0]) + along * column(radii[1] - radii[0])
        height = np.sqrt(np.maximum(radius**2 - (distance + radius) ** 2, 0))
        axis = [column(start[:, i]) + along * column(end[:, i] - start[:, i]) for i in range(3)]
        normal = np.stack([(x - axis[0]), (y - axis[1]), height], 1) / radius[:, None]
        shown = colour[:, :, None, None]
        if part.coat:
            inside = np.stack(np.broadcast_arrays(x, y, axis[2] + height), 1)
            shown = _coat(look, rows, shown, inside, middle[rows], yaw, canvas.size)
        if part.belly is not None:
            bare = np.einsum(
                "i,nihw->nhw", _project(part.belly, yaw) - _project(0 * part.belly, yaw), normal
            )
            bare = np.clip(0.5 + np.float32(0.1 * canvas.size) * (bare - 0.62), 0, 1)[:, None]
            shown = shown + bare * (look["belly"][rows][:, :, None, None] - shown)
        light = np.einsum("i,nihw->nhw", _LIGHT.astype(np.float32), normal)
        return distance, np.minimum(shown * (0.88 + 0.16 * np.clip(light, -1, 1))[:, None], 1)

    reach = np.maximum(*radii)
    points = np.stack([start, end], 1)[..., :2]
    canvas.paint(rows, points, reach, shade, outline=OUTLINE if part.outline else 0.0)


def _coat(
    look: Look,
    rows: np.ndarray,
    colour: np.ndarray,
    inside: np.ndarray,
    middle: np.ndarray,
    yaw: float,
    size: int,
) -> np.ndarray:
    r"""Colours a surface as if it were cut from a solid that turns with the creature, `(n, 3, h,
    w)`.
    """
    x, y, z = _unproject(inside, yaw)
    x, y, z = (v - column(m) for v, m in zip((x, y, z), middle.T, strict=True))
    sharpness = np.float32(0.09 * size)
    mix = np.zeros_like(x)
    heights: dict[str, Callable[..., np.ndarray]] = {
        "stripes": lambda x, y, z: np.sin(65 * z + 10 * np.abs(x)) - 0.2,
        "rings": lambda x, y, z: np.sin(60 * y) - 0.2,
        "spots": lambda x, y, z: (
            np.sin(48 * x + 0.8) * np.sin(48 * y) * np.sin(48 * z + 0.8) - 0.25
        ),
        "patches": lambda x, y, z: np.sin(19 * x + 1) + np.sin(17 * y + 2) + np.sin(15 * z) - 0.5,
    }
    patterns = look["pattern"][rows]
    for name, height in heights.items():
        chosen = np.flatnonzero(patterns == name)
        mix[chosen] = np.clip(0.5 + sharpness * height(x[chosen], y[chosen], z[chosen]), 0, 1)
    return colour + mix[:, None] * (look["pattern_colour"][rows][:, :, None, None] - colour)


def _project(points: np.ndarray, yaw: float) -> np.ndarray:
    r"""Turns points `(..., 3)` about the vertical, and looks at them from a little above: x right,
    y down, z to the viewer.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    sin, cos = np.sin(yaw), np.cos(yaw)
    x, z = x * cos + z * sin, z * cos - x * sin
    sin, cos = np.sin(_ELEVATION), np.cos(_ELEVATION)
    y, z = y * cos - z * sin, z * cos + y * sin
    return np.stack([0.5 + x, _GROUND - y, z], -1).astype(np.float32)


def _unproject(points: np.ndarray, yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Undoes `_project` for points `(n, 3, h, w)`."""
    x, y, z = np.moveaxis(points, 1, 0)
    x, y = x - 0.5, _GROUND - y
    sin, cos = np.float32(np.sin(_ELEVATION)), np.float32(np.cos(_ELEVATION))
    y, z = y * cos + z * sin, z * cos - y * sin
    sin, cos = np.float32(np.sin(yaw)), np.float32(np.cos(yaw))
    return x * cos - z * sin, y, z * cos + x * sin
