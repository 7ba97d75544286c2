r"""Heads with their faces, and what is worn below them."""

__all__ = ["head", "scarf"]

from collections.abc import Callable

import numpy as np

from .appearance import SCARVES
from .parts import Body, lean

_INK, _WHITE = np.array([0.13, 0.1, 0.14]), np.array([1.0, 1.0, 0.98])


def head(body: Body, centre: np.ndarray, radius: float, nod: float, snout: float) -> None:
    r"""Adds a head with its face, and ears or a crest; a snout of 0 is a beak."""
    look, left = body.look, np.array([1.0, 0.0, 0.0])
    up, ahead = lean(nod)
    body.joints["head"] = centre

    def place(x: float, y: float, z: float) -> np.ndarray:
        return centre + radius * (x * left + y * up + z * ahead)

    body.add(centre, centre + 1e-3 * ahead, (radius, radius), "coat", coat=True, front=0.01)
    if snout:
        muzzle = 0.42 + 0.1 * (1 - snout)
        body.add(
            place(0, -0.28, 0.6),
            place(0, -0.3, 0.75 + 0.55 * snout),
            (muzzle * radius, 0.8 * muzzle * radius),
            "belly",
            front=0.03,
        )
        nose = place(0, -0.12, 1.12 + 0.55 * snout)
        body.add(
            nose, nose + 1e-3, (0.15 * radius,) * 2, 0.6 * look["beak"], front=0.05, outline=False
        )
    else:
        body.add(
            place(0, -0.1, 0.8),
            place(0, -0.2, 1.75),
            (0.3 * radius, 0.06 * radius),
            "beak",
            front=0.03,
        )
    for side in (-1, 1):
        eye = place(0.48 * side, 0.2, 0.8)
        body.add(eye, eye + 1e-3, (0.22 * radius,) * 2, _WHITE, front=0.02, outline=False)
        pupil = place(0.48 * side, 0.2, 0.96)
        body.add(pupil, pupil + 1e-3, (0.14 * radius,) * 2, _INK, front=0.02, outline=False)
        _ear(body, place, radius, side)
    tufts = look["ears"] == "tuft"
    body.add(
        place(0, 0.8, 0.1),
        place(0, 1.5, -0.45),
        (0.3 * radius, 0.12 * radius),
        "pattern_colour",
        rows=tufts,
    )
    body.add(
        place(0, 0.85, 0.35),
        place(0, 1.6, 0.25),
        (0.24 * radius, 0.1 * radius),
        "pattern_colour",
        rows=tufts,
    )


def _ear(body: Body, place: Callable[..., np.ndarray], radius: float, side: int) -> None:
    r"""Adds an ear, of the shape that each has."""
    shapes = {
        "round": ((0.72, 0.68, -0.1), (0.78, 0.76, -0.1), (0.36, 0.36)),
        "pointed": ((0.55, 0.7, -0.05), (0.85, 1.45, -0.1), (0.36, 0.06)),
        "long": ((0.4, 0.8, -0.1), (0.6, 1.65, -0.25), (0.24, 0.17)),
    }
    for name, (base, tip, radii) in shapes.items():
        rows = body.look["ears"] == name
        start, end = (place(side * x, y, z) for x, y, z in (base, tip))
        body.add(start, end, tuple(r * radius for r in radii), 0.9 * body.look["coat"], rows=rows)


def scarf(body: Body, centre: np.ndarray, radius: np.ndarray | float) -> None:
    r"""Adds a scarf for those who wear one."""
    worn = body.look["scarf"]
    colour = np.array([SCARVES[name] for name in worn.tolist()])
    side = np.array([0.6, 0.0, 0.0]) * np.reshape(radius, (-1, 1))
    radii = (0.55 * np.asarray(radius),) * 2
    body.add(centre - side, centre + side, radii, colour, rows=worn != "none", front=0.05)
