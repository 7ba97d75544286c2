r"""Draws arms, legs and clothes."""

__all__ = [
    "draw_arm",
    "draw_leg",
    "draw_skirt",
    "draw_torso",
]

import numpy as np

from ..drawn import Look
from .canvas import Canvas, column, disc, segment, trapezoid
from .skeleton import Skeleton

# Where cloth ends along a limb: 0 at its root, 1 at the elbow or knee, 2 at its tip.
_SLEEVE_ENDS = {"none": 0.0, "short": 0.75, "long": 1.8}
_LEG_ENDS = {"trousers": 2.0, "shorts": 0.85, "skirt": 0.0}


def draw_arm(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray, side: str) -> None:
    r"""Draws one arm, its sleeve and its hand."""
    chain = [skeleton.joint(f"{side} {name}")[rows, :2] for name in ("shoulder", "elbow", "hand")]
    build, skin = look["build"][rows], look["skin"][rows]
    ends = _lookup(_SLEEVE_ENDS, look["sleeves"][rows])
    _draw_limb(
        canvas,
        rows,
        chain,
        [0.034 * build, 0.029 * build, 0.024 * build],
        skin,
        look["shirt"][rows],
        ends,
    )

    hand, radius = chain[2], 0.031 * np.sqrt(build)
    canvas.paint(rows, hand[:, None], radius, lambda x, y: (disc(x, y, hand, radius, 1.0), skin))


def draw_leg(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray, side: str) -> None:
    r"""Draws one leg, its cloth and its shoe."""
    chain = [skeleton.joint(f"{side} {name}")[rows, :2] for name in ("hip", "knee", "foot")]
    build = look["build"][rows]
    ends = _lookup(_LEG_ENDS, look["legwear"][rows])
    radii = [0.044 * build, 0.037 * build, 0.031 * build]
    _draw_limb(canvas, rows, chain, radii, look["skin"][rows], look["legwear_colour"][rows], ends)

    ankle = chain[2]
    toe = ankle + 0.05 * skeleton.feet[rows, 0 if side == "left" else 1, :2]
    shoes = look["shoes"][rows]
    canvas.paint(
        rows,
        np.stack([ankle, toe], 1),
        0.036,
        lambda x, y: (segment(x, y, ankle, toe, (0.036, 0.03))[0], shoes),
    )


def draw_skirt(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    r"""Draws what covers the hips: a skirt, or the seat of trousers."""
    left, right = (skeleton.joint(f"{side} hip")[rows, :2] for side in ("left", "right"))
    build, colour = look["build"][rows], look["legwear_colour"][rows]
    radius = 0.046 * build
    canvas.paint(
        rows,
        np.stack([left, right], 1),
        radius,
        lambda x, y: (segment(x, y, left, right, (radius, radius))[0], colour),
    )

    wears = look["legwear"][rows] == "skirt"
    rows, build, colour, left, right = (
        rows[wears],
        build[wears],
        colour[wears],
        left[wears],
        right[wears],
    )
    knees = np.stack([skeleton.joint(f"{side} knee")[rows, :2] for side in ("left", "right")], 1)
    waist = (left + right) / 2 - [0.0, 0.033]
    hem = 0.15 * waist + 0.85 * knees.mean(1)
    widths = (0.073 * build, 0.092 * build + 0.42 * np.abs(knees[:, 0, 0] - knees[:, 1, 0]))
    canvas.paint(
        rows,
        np.stack([waist, hem], 1),
        widths[1],
        lambda x, y: (trapezoid(x, y, waist, hem, widths, 0.02)[0], colour),
    )


def draw_torso(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    r"""Draws the neck and the shirt, whose pattern turns with the body."""
    hips = (skeleton.joint("left hip") + skeleton.joint("right hip"))[rows, :2] / 2
    neck = skeleton.joint("neck")[rows, :2]
    build, up = look["build"][rows], skeleton.torso[rows, 1, :2]
    collar = neck + 0.009 * up
    # A body is an ellipse seen from above, and so narrower from its side.
    facing = np.abs(skeleton.torso[rows, 0, 0])
    narrow = 0.7 + 0.3 * facing
    widths = (0.086 * build * narrow, 0.091 * build * narrow)

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, along, across = trapezoid(x, y, hips, collar, widths, 0.04)
        longitude = np.arcsin(np.clip(across, -1, 1)) - column(skeleton.yaw[rows])
        mix = _pattern(look["pattern"][rows], along, longitude, canvas.size)[:, None]
        plain = look["shirt"][rows][:, :, None, None]
        return distance, plain + mix * (look["pattern_colour"][rows][:, :, None, None] - plain)

    head, skin = skeleton.joint("head")[rows, :2], look["skin"][rows]
    canvas.paint(
        rows,
        np.stack([neck, head], 1),
        0.04,
        lambda x, y: (segment(x, y, neck, head, (0.036 * np.sqrt(build), 0.03))[0], skin),
    )
    canvas.paint(rows, np.stack([hips, collar], 1), widths[1], shade)


def _draw_limb(
    canvas: Canvas,
    rows: np.ndarray,
    chain: list[np.ndarray],
    radii: list[np.ndarray],
    skin: np.ndarray,
    cloth: np.ndarray,
    ends: np.ndarray,
) -> None:
    r"""Draws two capsules as one shape, in `cloth` as far along as `ends` and in `skin` beyond."""

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        upper, along = segment(x, y, chain[0], chain[1], (radii[0], radii[1]))
        lower, beyond = segment(x, y, chain[1], chain[2], (radii[1], radii[2]))
        position = np.where(upper < lower, along, 1 + beyond)
        # A segment is about 0.1 long, which turns a position into pixels.
        mix = np.clip(
            (column(ends) - position) * np.float32(0.1 * canvas.size) + 0.5 * (column(ends) > 0),
            0,
            1,
        )
        return np.minimum(upper, lower), skin[:, :, None, None] + mix[:, None] * (cloth - skin)[
            :, :, None, None
        ]

    canvas.paint(rows, np.stack(chain, 1), radii[0], shade)


def _pattern(names: np.ndarray, along: np.ndarray, longitude: np.ndarray, size: int) -> np.ndarray:
    r"""How much of the pattern's colour shows, in `[0, 1]`, on a torso seen as a cylinder."""
    mix = np.zeros_like(along)
    sharpness = np.float32(0.06 * size)
    draw = {
        "stripes": lambda u, v: np.sin(4.5 * 2 * np.pi * u),
        "bars": lambda u, v: np.cos(7 * v),
        "dots": lambda u, v: np.sin(3 * 2 * np.pi * u) * np.cos(6 * v) - 0.15,
        "halves": lambda u, v: 3 * np.sin(v),
        "band": lambda u, v: 6 * (0.16 - np.abs(u - 0.55)),
    }
    for name, height in draw.items():
        rows = np.flatnonzero(names == name)
        mix[rows] = np.clip(0.5 + sharpness * height(along[rows], longitude[rows]), 0, 1)
    return mix


def _lookup(table: dict[str, float], names: np.ndarray) -> np.ndarray:
    keys, inverse = np.unique(names, return_inverse=True)
    return np.array([table[key] for key in keys.tolist()], np.float32)[inverse]
