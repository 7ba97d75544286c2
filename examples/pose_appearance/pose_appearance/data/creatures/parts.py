r"""What bodies are made of: tapered capsules, x to the creature's left, y up, z ahead, in sides of
the image.
"""

__all__ = ["Body", "Part", "lean"]

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..drawn import Look


@dataclass(frozen=True)
class Part:
    r"""Creates a capsule that tapers from `start` to `end`.

    Arguments:
        start: Its first end, with shape `(N, 3)`.
        end: Its last end, with shape `(N, 3)`.
        radii: The radii at both, numbers or with shape `(N,)`.
        colour: Its colour, with shape `(N, 3)`.
        coat: Whether it wears the pattern of the creature.
        belly: The side of it, as a direction with shape `(3,)`, that has the colour of the belly.
        rows: Who has it, with shape `(N,)`; everyone by default.
        front: How much nearer it is painted than it is.
        outline: Whether it has a darker rim.
    """

    start: np.ndarray
    end: np.ndarray
    radii: tuple[np.ndarray | float, np.ndarray | float]
    colour: np.ndarray
    coat: bool = False
    belly: np.ndarray | None = None
    rows: np.ndarray | None = None
    front: float = 0.0
    outline: bool = True


@dataclass
class Body:
    r"""Collects the parts of a batch of creatures of one category, and its joints by name."""

    look: Look
    parts: list[Part] = field(default_factory=list)
    joints: dict[str, np.ndarray] = field(default_factory=dict)

    def at(self, x: Any = 0.0, y: Any = 0.0, z: Any = 0.0) -> np.ndarray:
        """Returns a point for each creature, with shape `(N, 3)`."""
        count = len(self.look["build"])
        return np.stack([np.broadcast_to(value, count) for value in (x, y, z)], -1)

    def add(
        self,
        start: np.ndarray,
        end: np.ndarray,
        radii: tuple,
        colour: str | np.ndarray,
        **more: Any,
    ) -> None:
        """Adds a part; its colour may be the name of a factor."""
        colour = (
            self.look[colour] if isinstance(colour, str) else np.broadcast_to(colour, start.shape)
        )
        self.parts.append(Part(start, end, radii, colour, **more))


def lean(pitch: float) -> tuple[np.ndarray, np.ndarray]:
    r"""The directions up and ahead of a body that leans back."""
    sin, cos = np.sin(pitch), np.cos(pitch)
    return np.array([0.0, cos, -sin]), np.array([0.0, sin, cos])
