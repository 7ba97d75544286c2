"""What drawn data sets share: characters as an index for each factor of appearance, and a set of
all of them in all poses.
"""

__all__ = ["Look", "check_counts", "colours", "decode_appearances", "draw_set"]

from collections.abc import Callable

import numpy as np

from .image_set import ImageSet

Look = dict[str, np.ndarray]
"""The decoded appearances of a batch: a factor's name to its values."""


def colours(*codes: str) -> tuple[tuple[float, float, float], ...]:
    """Returns colours in [0, 1] from their hexadecimal codes."""
    return tuple(tuple(value / 255 for value in bytes.fromhex(code)) for code in codes)  # type: ignore[misc]


def decode_appearances(appearances: np.ndarray, factors: dict[str, tuple]) -> Look:
    """Looks up appearances.

    Arguments:
        appearances: Indices into the values of each factor, with shape (N, F).
        factors: The values of each factor.

    Returns:
        The values of each factor, with shape (N, 3) for a colour and (N,) for a word or a number.
    """
    appearances = np.asarray(appearances)
    levels = np.array([len(values) for values in factors.values()])

    if appearances.ndim != 2 or appearances.shape[1] != len(levels):
        raise ValueError(f"appearances must have shape (N, {len(levels)}), got {appearances.shape}")
    if not np.issubdtype(appearances.dtype, np.integer):
        raise ValueError(f"appearances must be integers, got {appearances.dtype}")
    if (appearances < 0).any() or (appearances >= levels).any():
        raise ValueError(f"appearances must lie in [0, {levels.tolist()}) factor by factor")

    looks = {}
    for column, (name, values) in enumerate(factors.items()):
        table = np.array(values)
        table = table if table.dtype.kind == "U" else table.astype(np.float32)
        looks[name] = table[appearances[:, column]]
    return looks


def check_counts(identities: int, poses: int, size: int, test_fraction: float) -> None:
    """Raises if a set of so many characters and poses cannot be drawn."""
    if identities < 2:
        raise ValueError(f"identities must be at least 2, got {identities}")
    if poses < 1:
        raise ValueError(f"poses must be at least 1, got {poses}")
    if not 16 <= size <= 256:
        raise ValueError(f"size must lie in [16, 256], got {size}")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {test_fraction}")


def draw_set(
    name: str,
    grid: tuple[list[str], list[str], np.ndarray],
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]],
    identities: int,
    test_fraction: float,
    **factors: np.ndarray,
) -> ImageSet:
    """Draws every character in every pose.

    Arguments:
        name: What the set is called.
        grid: The animation, the view and the phase of each pose.
        draw: Gives the images of all characters in the pose of a number, and their keypoints.
            Images that share a pose share tight bounding boxes, which makes them fast to draw
            together.
        identities: The number of characters.
        test_fraction: The share of the characters that are kept for the test: the last ones.
        factors: What else is known of each character.
    """
    poses = len(grid[0])
    # In place: twice the images would be a gigabyte.
    first = draw(0)
    images, keypoints = (np.empty((identities, poses, *x.shape[1:]), x.dtype) for x in first)
    images[:, 0], keypoints[:, 0] = first
    for index in range(1, poses):
        images[:, index], keypoints[:, index] = draw(index)
    tested = min(max(round(test_fraction * identities), int(test_fraction > 0)), identities - 1)
    identity = np.repeat(np.arange(identities), poses)
    known = dict(zip(("animation", "view", "phase"), grid, strict=True))
    return ImageSet(
        images=images.reshape(-1, *images.shape[2:]),
        identity=identity,
        split=np.where(identity < identities - tested, "train", "test").astype("<U5"),
        pose=np.tile(np.arange(poses), identities),
        keypoints=keypoints.reshape(-1, *keypoints.shape[2:]),
        factors={
            **{factor: values.repeat(poses) for factor, values in factors.items()},
            **{factor: np.tile(values, identities) for factor, values in known.items()},
        },
        name=name,
    )
