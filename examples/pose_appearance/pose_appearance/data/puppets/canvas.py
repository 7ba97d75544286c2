r"""Anti-aliased shapes, painted on a batch of images, each within its own bounding box."""

__all__ = [
    "OUTLINE",
    "Canvas",
    "disc",
    "segment",
    "trapezoid",
]

from collections.abc import Callable

import numpy as np

Shade = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Maps x `(n, 1, w)` and y `(n, h, 1)` to signed distances `(n, h, w)` and colours `(n, 3)` or `(n,
3, h, w)`."""


OUTLINE = 0.011
"""The width of the darker rim around a shape."""


class Canvas:
    r"""Creates `count` square images of one colour. Coordinates and distances are in sides of the
    image.
    """

    def __init__(self, count: int, size: int, background: tuple[float, float, float]) -> None:
        self.size = size
        self.pixels = np.empty((count, 3, size, size), np.float32)
        self.pixels[:] = np.array(background, np.float32)[:, None, None]

    def paint(
        self,
        rows: np.ndarray,
        points: np.ndarray,
        reach: np.ndarray | float,
        shade: Shade,
        outline: float = OUTLINE,
    ) -> None:
        r"""Paints one shape.

        Arguments:
            rows: The images that it is painted on, with shape `(n,)`.
            points: The shape lies no farther than `reach` from the bounding box of these, with
                shape `(n, k, 2)`.
            reach: A number, or one per image with shape `(n,)`.
            shade: The shape and its colours.
            outline: The width of its darker rim.
        """
        if not len(rows):
            return

        reach = np.broadcast_to(reach, len(rows))[:, None]
        low = np.floor((points.min(1) - reach) * self.size).astype(int) - 1
        high = np.ceil((points.max(1) + reach) * self.size).astype(int) + 1
        extent = np.minimum((high - low).max(0), self.size)
        left, top = np.clip(low, 0, self.size - extent).T
        width, height = extent

        x = ((left[:, None] + np.arange(width) + 0.5) / self.size).astype(np.float32)[:, None, :]
        y = ((top[:, None] + np.arange(height) + 0.5) / self.size).astype(np.float32)[:, :, None]
        distance, colour = shade(x, y)
        colour = colour.reshape(*colour.shape, *[1] * (4 - colour.ndim))

        distance *= -self.size
        distance += 0.5
        tone = np.clip(distance - np.float32(outline * self.size), 0, 1)
        tone *= 0.38
        tone += 0.62
        cover = np.clip(distance, 0, 1, out=distance)

        windows = np.lib.stride_tricks.sliding_window_view(
            self.pixels, (height, width), (2, 3), writeable=True
        )
        under = windows[rows, :, top, left]
        over = colour * tone[:, None]
        over -= under
        over *= cover[:, None]
        under += over
        windows[rows, :, top, left] = under

    def images(self) -> np.ndarray:
        r"""Returns the images as uint8, with shape `(N, H, W, 3)`."""
        return np.ascontiguousarray(
            (self.pixels * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)
        )


def segment(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray, radii: tuple
) -> tuple[np.ndarray, np.ndarray]:
    r"""Distance to a capsule that tapers between two radii, and the position along it in `[0,
    1]`.
    """
    ax, ay = column(start[:, 0]), column(start[:, 1])
    bx, by = column(end[:, 0]) - ax, column(end[:, 1]) - ay
    first, last = column(radii[0]), column(radii[1])

    x, y = x - ax, y - ay
    scale = 1 / (bx * bx + by * by + 1e-8)
    along = x * (bx * scale) + y * (by * scale)
    np.clip(along, 0, 1, out=along)
    dx, dy = x - along * bx, y - along * by
    dx *= dx
    dy *= dy
    dx += dy
    distance = np.sqrt(dx, out=dx)
    distance -= first + along * (last - first)
    return distance, along


def disc(
    x: np.ndarray, y: np.ndarray, centre: np.ndarray, radius: np.ndarray, squeeze: np.ndarray
) -> np.ndarray:
    r"""Distance to a disc whose width is scaled by `squeeze`, near its edge."""
    dx = (x - column(centre[:, 0])) / column(squeeze)
    dy = y - column(centre[:, 1])
    return np.sqrt(dx * dx + dy * dy) - column(radius)


def trapezoid(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray, widths: tuple, rounding: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Distance to a rounded trapezoid of half `widths` at its two ends, and the positions along
    and across it.

    The position along is in `[0, 1]` between the ends, the one across in `[-1, 1]` between the
    edges.
    """
    axis = end - start
    length = np.sqrt((axis * axis).sum(1)) + 1e-6
    ux, uy, length = column(axis[:, 0] / length), column(axis[:, 1] / length), column(length)
    first, last = column(widths[0]), column(widths[1])

    x, y = x - column(start[:, 0]), y - column(start[:, 1])
    along = (x * ux + y * uy) / length
    across = y * ux - x * uy
    width = first + np.clip(along, 0, 1) * (last - first)

    beyond = (np.abs(along - 0.5) - 0.5) * length + rounding
    beside = np.abs(across) - width + rounding
    outside = np.sqrt(np.maximum(beyond, 0) ** 2 + np.maximum(beside, 0) ** 2)
    return outside + np.minimum(np.maximum(beyond, beside), 0) - rounding, along, across / width


def column(values: np.ndarray | float) -> np.ndarray:
    r"""Lets one number per image `(n,)` broadcast with `(n, h, w)`."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)
