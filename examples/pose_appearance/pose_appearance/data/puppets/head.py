r"""Draws the head as a sphere: face, hair and hat are placed on it, and turn with it."""

__all__ = [
    "draw_hair",
    "draw_hat",
    "draw_head",
]

import numpy as np

from ..drawn import Look
from .canvas import OUTLINE, Canvas, column, disc, segment, trapezoid
from .skeleton import HEAD_RADIUS, Skeleton

# Beyond the scalp, hair is a chain of two capsules: three points as (up, forward) and their radii,
# in radii of the head.
_LOCKS = {
    "long": ((0.1, -0.25), (-0.75, -0.35), (-1.5, -0.4), (0.98, 0.9, 0.62)),
    "ponytail": ((0.45, -0.95), (0.2, -1.4), (-0.9, -1.45), (0.28, 0.32, 0.12)),
    "bun": ((0.95, -0.65), (0.95, -0.65), (0.96, -0.66), (0.42, 0.42, 0.42)),
    "afro": ((0.25, -0.15), (0.25, -0.15), (0.1, -0.25), (1.36, 1.36, 1.3)),
    "mohawk": ((0.7, 0.75), (1.08, -0.1), (0.45, -1.0), (0.2, 0.36, 0.26)),
}
_ON_TOP = ("mohawk",)


def draw_hair(
    canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray, behind: bool
) -> None:
    r"""Draws the hair beyond the scalp: on the rows where it hangs behind the head, or on the
    others.
    """
    away = skeleton.head[rows, 2, 2] > -0.3
    for style, (*points, radii) in _LOCKS.items():
        on_top = style in _ON_TOP
        chosen = (look["hair"][rows] == style) & ((away & (not on_top)) == behind)
        picked = rows[chosen]
        # A hat presses soft hair down.
        press = 0.0 if on_top else 0.35 * HEAD_RADIUS * (look["hat"][picked] != "none")[:, None]
        chain = [
            _on_head(skeleton, picked, 0.0, up, forward)[0] - press * skeleton.head[picked, 1, :2]
            for up, forward in points
        ]
        _draw_chain(canvas, picked, chain, radii, look["hair_colour"][picked])


def draw_head(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    r"""Draws the head with its ears, face and scalp."""
    centre, skin = skeleton.joint("head")[rows, :2], look["skin"][rows]
    for side in (-0.98, 0.98):
        ear, _ = _on_head(skeleton, rows, side, -0.1, -0.05)
        _draw_spot(canvas, rows, ear, 0.2, 1.0, skin, OUTLINE)
    _draw_spot(canvas, rows, centre, 1.0, 1.0, skin, OUTLINE)
    _draw_face(canvas, skeleton, look, rows)
    _draw_scalp(canvas, skeleton, look, rows)


def draw_hat(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    r"""Draws the hat of those who wear one."""
    rows = rows[look["hat"][rows] != "none"]

    tall = rows[look["hat"][rows] == "top hat"]
    colour = look["hat_colour"][tall]
    base, crown = (_on_head(skeleton, tall, 0.0, up, -0.1)[0] for up in (0.5, 1.5))
    canvas.paint(
        tall,
        np.stack([base, crown], 1),
        0.8 * HEAD_RADIUS,
        lambda x, y: (
            trapezoid(x, y, base, crown, (0.68 * HEAD_RADIUS, 0.76 * HEAD_RADIUS), 0.012)[0],
            colour,
        ),
    )
    up = skeleton.head[tall, 1, :2]
    across = 1.1 * HEAD_RADIUS * np.stack([-up[:, 1], up[:, 0]], -1)
    ends = base - across, base + across
    radius = 0.12 * HEAD_RADIUS
    canvas.paint(
        tall,
        np.stack(ends, 1),
        radius,
        lambda x, y: (segment(x, y, *ends, (radius, radius))[0], colour),
    )

    soft = rows[look["hat"][rows] != "top hat"]
    colour = look["hat_colour"][soft]
    beanie = look["hat"][soft] == "beanie"
    _draw_cap(
        canvas,
        skeleton,
        soft,
        np.where(beanie, 0.96, 0.9),
        np.where(beanie, -0.3, -0.43),
        0.4,
        1.14,
        colour,
    )
    knitted = soft[beanie]
    tip, _ = _on_head(skeleton, knitted, 0.0, 1.22, -0.38)
    _draw_spot(canvas, knitted, tip, 0.26, 1.0, 0.5 + 0.5 * look["hat_colour"][knitted], OUTLINE)

    _draw_brim(canvas, skeleton, look, soft[~beanie])


def _draw_brim(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    # Seen from behind, the crown of the cap hides its brim.
    rows = rows[skeleton.head[rows, 2, 2] > -0.3]
    colour = 0.85 * look["hat_colour"][rows]
    chain = [
        _on_head(skeleton, rows, side, 0.52, forward)[0]
        for side, forward in ((-0.65, 0.85), (0, 1.35), (0.65, 0.85))
    ]
    _draw_chain(canvas, rows, chain, (0.12, 0.12, 0.12), colour)


def _draw_face(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    ink, white = np.array([[0.13, 0.1, 0.14], [1.0, 1.0, 0.98]], np.float32)
    blush = look["skin"] * np.array([1.0, 0.8, 0.78], np.float32)
    spots = [(side * 0.58, -0.3, 0.75, 0.17, blush) for side in (-1, 1)]
    for radius, colour in ((0.2, white), (0.13, ink)):
        spots += [
            (side * 0.37, 0.02, 0.93, radius, np.broadcast_to(colour, blush.shape))
            for side in (-1, 1)
        ]
    for left, up, forward, radius, colour in spots:
        place, depth = _on_head(skeleton, rows, left, up, forward)
        seen = depth > 0.12
        squeeze = np.clip(2.2 * (depth[seen] - 0.12), 0.02, 0.9)
        _draw_spot(canvas, rows[seen], place[seen], radius, squeeze, colour[rows[seen]], 0.0)

    smile = [(-0.3, -0.4, 0.78), (0.0, -0.52, 0.8), (0.3, -0.4, 0.78)]
    depth = _on_head(skeleton, rows, *smile[1])[1]
    seen = rows[depth > -0.1]
    chain = [_on_head(skeleton, seen, *point)[0] for point in smile]
    _draw_chain(canvas, seen, chain, (0.05, 0.065, 0.05), np.broadcast_to(ink, (len(seen), 3)), 0.0)

    nose, depth = _on_head(skeleton, rows, 0.0, -0.17, 1.02)
    seen = depth > -0.3
    _draw_spot(canvas, rows[seen], nose[seen], 0.12, 1.0, 0.88 * look["skin"][rows[seen]], 0.0)


def _draw_scalp(canvas: Canvas, skeleton: Skeleton, look: Look, rows: np.ndarray) -> None:
    styles = look["hair"][rows]
    rows = rows[(styles != "none") & (styles != "mohawk")]
    styles = look["hair"][rows]
    up = np.where(styles == "short", 0.86, 0.74)
    _draw_cap(canvas, skeleton, rows, up, -np.sqrt(1 - up**2), 0.1, 1.06, look["hair_colour"][rows])


def _draw_cap(
    canvas: Canvas,
    skeleton: Skeleton,
    rows: np.ndarray,
    up: np.ndarray,
    forward: np.ndarray,
    level: float,
    radius: float,
    colour: np.ndarray,
) -> None:
    r"""Draws the part of a sphere that lies farther than `level` towards a direction, in radii."""
    centre, radius = skeleton.joint("head")[rows, :2], radius * HEAD_RADIUS
    pole = up[:, None] * skeleton.head[rows, 1] + forward[:, None] * skeleton.head[rows, 2]
    px, py, pz = (column(pole[:, axis]) for axis in range(3))

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dx, dy = x - column(centre[:, 0]), y - column(centre[:, 1])
        square = dx * dx + dy * dy
        depth = np.sqrt(np.maximum(np.float32(radius * radius) - square, 0))
        beyond = np.float32(level * radius) - (dx * px + dy * py + depth * pz)
        return np.maximum(np.sqrt(square) - np.float32(radius), beyond), colour

    canvas.paint(rows, centre[:, None], radius, shade)


def _draw_chain(
    canvas: Canvas,
    rows: np.ndarray,
    chain: list[np.ndarray],
    radii: tuple[float, ...],
    colour: np.ndarray,
    outline: float = OUTLINE,
) -> None:
    r"""Draws two capsules, through three points, as one shape."""
    first, middle, last = (radius * HEAD_RADIUS for radius in radii)

    def shade(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, _ = segment(x, y, chain[0], chain[1], (first, middle))
        end, _ = segment(x, y, chain[1], chain[2], (middle, last))
        return np.minimum(start, end), colour

    canvas.paint(rows, np.stack(chain, 1), max(first, middle, last), shade, outline)


def _draw_spot(
    canvas: Canvas,
    rows: np.ndarray,
    centre: np.ndarray,
    radius: float,
    squeeze: np.ndarray | float,
    colour: np.ndarray,
    outline: float,
) -> None:
    radius = radius * HEAD_RADIUS
    canvas.paint(
        rows,
        centre[:, None],
        radius,
        lambda x, y: (disc(x, y, centre, radius, squeeze), colour),
        outline,
    )


def _on_head(
    skeleton: Skeleton, rows: np.ndarray, left: float, up: float, forward: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""A point given in radii of the head along its axes: its place in the image, and its depth in
    radii.
    """
    offset = np.array([left, up, forward], np.float32) @ skeleton.head[rows]
    return skeleton.joint("head")[rows, :2] + HEAD_RADIUS * offset[:, :2], offset[:, 2]
