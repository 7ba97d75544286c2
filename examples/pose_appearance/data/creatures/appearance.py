r"""What a creature looks like: its category and its factors, the same for all categories."""

__all__ = ["CATEGORIES", "FACTORS", "Look", "decode_appearances", "sample_appearances"]

import numpy as np

Look = dict[str, np.ndarray]
"""The decoded appearances of a batch: a factor's name to its values."""

CATEGORIES = ("biped", "quadruped", "bird")
"""The categories, by number: each has a skeleton of its own."""


def _colours(*codes: str) -> tuple[tuple[float, float, float], ...]:
    return tuple(tuple(value / 255 for value in bytes.fromhex(code)) for code in codes)  # type: ignore[misc]


FACTORS: dict[str, tuple] = {
    "category": CATEGORIES,
    "coat": _colours(
        "e8a04c", "b5623b", "8b6248", "5d5a66", "f0d9a8", "d9788c", "7fb069", "5b9bb8", "8a75b8"
    ),
    "belly": _colours("fff6e6", "ffe0a3", "f6c9c4", "d5e6f2", "4b4450"),
    "pattern": ("plain", "stripes", "rings", "spots", "patches"),
    "pattern_colour": _colours("3a3038", "fffaf0", "c8503c", "f2c14e", "3d6f8e"),
    "legs": _colours("3a3038", "fffaf0", "e07a3f", "c59a6d", "6d8fa8"),
    "beak": _colours("f2a33c", "d95d4e", "6b4a3a", "f5c7b8"),
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
        _colours("000000", "d3413f", "2f62b0", "3b8f5a", "f0c53e"),
        strict=True,
    )
)
"""The colours of scarves."""


def sample_appearances(count: int, generator: np.random.Generator) -> np.ndarray:
    r"""Samples `count` distinct creatures, the categories in turn, with shape `(count, F)` of int64 indices into `FACTORS`."""
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


def decode_appearances(appearances: np.ndarray) -> Look:
    r"""Looks up indices `(N, F)`: each factor's values, `(N, 3)` for a colour and `(N,)` for a word or a number."""
    appearances = np.asarray(appearances)
    levels = np.array([len(values) for values in FACTORS.values()])
    if appearances.ndim != 2 or appearances.shape[1] != len(levels):
        raise ValueError(f"appearances must have shape (N, {len(levels)}), got {appearances.shape}")
    if not np.issubdtype(appearances.dtype, np.integer):
        raise ValueError(f"appearances must be integers, got {appearances.dtype}")
    if (appearances < 0).any() or (appearances >= levels).any():
        raise ValueError(f"appearances must lie in [0, {levels.tolist()}) factor by factor")
    looks = {}
    for column, (name, values) in enumerate(FACTORS.items()):
        table = np.array(values)
        table = table if table.dtype.kind == "U" else table.astype(np.float32)
        looks[name] = table[appearances[:, column]]
    return looks
