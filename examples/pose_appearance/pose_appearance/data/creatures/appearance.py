r"""What a creature looks like: its category and its factors, the same for all categories."""

__all__ = ["CATEGORIES", "FACTORS", "sample_appearances"]

import numpy as np

from ..drawn import colours

CATEGORIES = ("biped", "quadruped", "bird")
"""The categories, by number: each has a skeleton of its own."""


FACTORS: dict[str, tuple] = {
    "category": CATEGORIES,
    "coat": colours(
        "e8a04c", "b5623b", "8b6248", "5d5a66", "f0d9a8", "d9788c", "7fb069", "5b9bb8", "8a75b8"
    ),
    "belly": colours("fff6e6", "ffe0a3", "f6c9c4", "d5e6f2", "4b4450"),
    "pattern": ("plain", "stripes", "rings", "spots", "patches"),
    "pattern_colour": colours("3a3038", "fffaf0", "c8503c", "f2c14e", "3d6f8e"),
    "legs": colours("3a3038", "fffaf0", "e07a3f", "c59a6d", "6d8fa8"),
    "beak": colours("f2a33c", "d95d4e", "6b4a3a", "f5c7b8"),
    "ears": ("round", "pointed", "long", "tuft"),
    "tail": ("short", "long", "bushy"),
    "build": (0.86, 1.0, 1.16),
    "height": (0.88, 1.0, 1.12),
    "scarf": ("none", "red", "blue", "green", "yellow"),
}
"""The values of each factor. An appearance is one index per factor, in this order."""

SCARVES = dict(
    zip(
        FACTORS["scarf"],
        colours("000000", "d3413f", "2f62b0", "3b8f5a", "f0c53e"),
        strict=True,
    )
)
"""The colours of scarves."""


def sample_appearances(count: int, generator: np.random.Generator) -> np.ndarray:
    r"""Samples `count` distinct creatures, the categories in turn, with shape `(count, F)` of int64
    indices into `FACTORS`.
    """
    levels = [len(values) for values in FACTORS.values()]
    pattern, colour = (list(FACTORS).index(name) for name in ("pattern", "pattern_colour"))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        draw = generator.integers(levels)
        draw[0] = len(found) % len(CATEGORIES)
        # What does not show tells nobody apart.
        draw[colour] *= FACTORS["pattern"][draw[pattern]] != "plain"
        found[tuple(draw.tolist())] = None
    return np.array(list(found), dtype=np.int64).reshape(count, len(levels))
