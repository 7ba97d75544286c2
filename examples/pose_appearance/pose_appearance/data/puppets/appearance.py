r"""What a puppet looks like: its factors, how they are sampled."""

__all__ = [
    "FACTORS",
    "sample_appearances",
]

import numpy as np

from ..drawn import colours

FACTORS: dict[str, tuple] = {
    "skin": colours("fbdcc4", "f2bd94", "dc9c6c", "b9784c", "8a5736", "5f3c28"),
    "hair": ("none", "short", "long", "ponytail", "bun", "afro", "mohawk"),
    "hair_colour": colours("2b2530", "6b3f26", "b5552b", "edc25e", "b9b9c6", "d65a9a", "3f9aa8"),
    "shirt": colours(
        "e2504a", "f08f3c", "58b368", "2f9e9a", "4a86d8", "8662c7", "e985b5", "8d9aa8"
    ),
    "pattern": ("plain", "stripes", "bars", "dots", "halves", "band"),
    "pattern_colour": colours("fffdf5", "2d3050", "ffd84f", "9be8d8", "6e1f3a"),
    "sleeves": ("none", "short", "long"),
    "legwear": ("trousers", "shorts", "skirt"),
    "legwear_colour": colours("2f4a7d", "4b4a57", "8b6a4a", "a83c4f", "4f7a3f", "d9b45b", "6a4a8f"),
    "shoes": colours("2e2a2f", "f4f4f4", "d8443f", "3b78c4", "8a5a34", "f0c53e"),
    "build": (0.86, 1.0, 1.2),
    "height": (0.9, 1.0, 1.1),
    "hat": ("none", "cap", "beanie", "top hat"),
    "hat_colour": colours("d3413f", "2f62b0", "3b8f5a", "f0b93a", "3a3640"),
}
"""The values of each factor. An appearance is one index per factor, in this order."""

# A factor that another one hides carries no information and is held at zero.
_HIDDEN = {
    "hair_colour": ("hair", "none"),
    "pattern_colour": ("pattern", "plain"),
    "hat_colour": ("hat", "none"),
}


def sample_appearances(count: int, generator: np.random.Generator) -> np.ndarray:
    r"""Samples `count` distinct characters, with shape `(count, F)` of int64 indices into
    `FACTORS`.
    """
    levels = [len(values) for values in FACTORS.values()]
    names = list(FACTORS)
    found: dict[tuple[int, ...], None] = {}

    while len(found) < count:
        draws = generator.integers(levels, size=(count, len(levels)))
        for hidden, (cover, value) in _HIDDEN.items():
            draws[
                draws[:, names.index(cover)] == FACTORS[cover].index(value), names.index(hidden)
            ] = 0
        found.update(dict.fromkeys(map(tuple, draws.tolist())))

    return np.array(list(found)[:count], dtype=np.int64)
