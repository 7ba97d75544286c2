"""smallNORB of LeCun, Huang and Bottou (2004): 50 toys under 972 views each, so that triplets have
a ground truth.

The six files, `smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat.gz` and so on, are at
https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/. They are for research, and may not be sold.
"""

__all__ = ["read_matrix", "smallnorb"]

import gzip
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .data_set import data_set
from .decoding import check_memory, thin, to_square
from .image_set import ImageSet
from .places import actual, find_root

PARTS = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}

TYPES = {
    0x1E3D4C51: "<f4",
    0x1E3D4C53: "<f8",
    0x1E3D4C54: "<i4",
    0x1E3D4C55: "u1",
    0x1E3D4C56: "<i2",
}
"""The types of the values by the number that a file begins with."""

VIEWS = (9, 18, 6)
"""The numbers of elevations, azimuths and lightings."""


@data_set()
def smallnorb(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = None
) -> ImageSet:
    """Reads the left image of each stereo pair, grey as RGB.

    Arguments:
        root: The folder with the six files, packed or not.
        size: The side of the square images in pixels; those of the files are 96x96.
        resize: Whether they are scaled to it; otherwise another size is an error.
        images_per_identity: The most images to take of a toy, evenly spaced in the order of the
            poses; None takes all 972.

    Returns:
        The images sorted by split, toy and pose. The published split: 5 toys of each of 5
        categories to train on, and 5 others for the test. The identity is ten times the category
        plus the instance; the pose, from 0 to 971, is elevation, azimuth and lighting, in this
        order.
    """
    first = f"{PARTS['train']}-dat.mat"
    root = find_root(root, (first, f"{first}.gz"))
    parts = [_read_part(root, split, size, resize, images_per_identity) for split in PARTS]
    images, identity, pose = (np.concatenate(x) for x in zip(*parts, strict=True))
    split = np.repeat(list(PARTS), [len(part[0]) for part in parts])
    return ImageSet(images=images, identity=identity, split=split, pose=pose, name="smallnorb")


def _read_part(
    root: Path, split: str, size: int, resize: bool, limit: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the images, identities and poses of a split."""
    paths = {name: _find(root, f"{PARTS[split]}-{name}.mat") for name in ("dat", "cat", "info")}
    category, info = read_matrix(paths["cat"]), read_matrix(paths["info"])
    pixels = read_matrix(paths["dat"])
    count = len(pixels)
    if pixels.ndim != 4 or pixels.shape[1] != 2 or pixels.dtype != np.uint8:
        raise ValueError(
            f"{paths['dat']} must hold bytes with shape (N, 2, 96, 96), "
            f"got {pixels.dtype} with shape {pixels.shape}"
        )
    for path, values, shape in (
        (paths["cat"], category, (count,)),
        (paths["info"], info, (count, 4)),
    ):
        if values.shape != shape or values.dtype != np.int32:
            raise ValueError(
                f"{path} must hold int32 with shape {shape} for the {count} images of "
                f"{paths['dat'].name}, got {values.dtype} with shape {values.shape}"
            )
    instance, elevation, azimuth, lighting = info.T
    views = (elevation, azimuth // 2, lighting)
    if any(((view < 0) | (view >= most)).any() for view, most in zip(views, VIEWS, strict=True)):
        raise ValueError(
            f"{paths['info']} must hold elevations 0 to 8, azimuths 0 to 34 and lightings 0 to 5, "
            f"got some from {info.min(0)} to {info.max(0)}"
        )
    pose = np.ravel_multi_index(views, VIEWS).astype(np.int64)
    identity = (10 * category + instance).astype(np.int64)
    order = np.lexsort((pose, identity))
    toys = np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)
    rows = [row for toy in toys for row in thin(toy.tolist(), limit)]
    check_memory(len(rows), size)
    images = np.empty((len(rows), size, size, 3), np.uint8)
    bar = tqdm(pixels[rows, 0], f"{split} images", leave=False, disable=len(rows) < 1000)
    for i, image in enumerate(bar):
        images[i] = to_square(Image.fromarray(image).convert("RGB"), size, paths["dat"], resize)
    return images, identity[rows], pose[rows]


def _find(root: Path, name: str) -> Path:
    for path in (actual(root / name), actual(root / f"{name}.gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{root / name} is missing, and so is {name}.gz")


def read_matrix(path: Path) -> np.ndarray:
    """Reads a file of the format of NORB: a number for the type, the number of dimensions, the
    dimensions (at least three), the values.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            content = file.read()
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} must be a gzip file, whole: {error}") from error
    magic, dimensions = (int.from_bytes(content[i : i + 4], "little") for i in (0, 4))
    if magic not in TYPES or not 1 <= dimensions <= 8:
        raise ValueError(
            f"{path} must begin with the number 0x1E3D4C55 (bytes) or one like it and its "
            f"dimensions, got 0x{magic:08X} and {dimensions}"
        )
    # A vector has three dimensions in the file, of which the last two mean nothing.
    start = 8 + 4 * max(3, dimensions)
    if len(content) < start:
        raise ValueError(f"{path} must have a header of {start} bytes, got {len(content)}")
    shape = np.frombuffer(content, "<i4", dimensions, offset=8).tolist()
    dtype = np.dtype(TYPES[magic])
    expected = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise ValueError(
            f"{path} must have {expected} bytes for {dtype.name} with shape {tuple(shape)}, "
            f"got {len(content)}: it may be truncated"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)
