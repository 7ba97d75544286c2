"""From files on disk to the pixels and the rows of an image set."""

__all__ = [
    "Box",
    "Picture",
    "assemble",
    "check_memory",
    "decode",
    "read_image",
    "significant_bits",
    "thin",
    "to_square",
]

import os
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from .image_set import ImageSet

T = TypeVar("T")

DEEP = (".png", ".tif", ".tiff", ".pgm", ".pnm", ".jp2")
"""The endings of pictures that can have more than 8 bits."""

SPLITS = ("train", "val", "test")

Box = tuple[float, float, float, float]
"""Left, top, width and height of an object, in pixels of the file."""


class Picture(NamedTuple):
    """What a data set says of one of its files."""

    path: Path
    """The file."""
    identity: Hashable
    """Whose picture it is: anything that sorts."""
    split: str
    """The split that the publishers put it in."""
    box: Box | None = None
    """Where the object is; None takes the whole picture."""
    keypoints: np.ndarray | None = None
    """Where its keypoints are in the file, x then y, with shape (K, 2)."""


def assemble(
    pictures: Iterable[Picture], name: str, size: int, resize: bool, limit: int | None = None
) -> ImageSet:
    """Decodes pictures into a set of images, sorted by split and identity.

    Arguments:
        pictures: The pictures. An identity that has one only is left out, since it makes no pair.
        name: What the set is called.
        size: The side of the square images in pixels.
        resize: Whether pictures of another size are scaled to fit; otherwise they are an error.
        limit: The most pictures to take of an identity, evenly spaced in the order given.
    """
    groups: dict[tuple[int, Hashable], list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[SPLITS.index(picture.split), picture.identity].append(picture)
    order = sorted(key for key, group in groups.items() if len(group) > 1)
    if len(order) < 2:
        raise ValueError(
            f"{name} must have at least 2 identities with 2 images each, got {len(order)}"
        )
    chosen = [thin(groups[key], limit) for key in order]
    counts = [len(group) for group in chosen]
    rows = [picture for group in chosen for picture in group]
    images, keypoints = decode(rows, size, resize)
    number = {identity: i for i, identity in enumerate(sorted({key[1] for key in order}))}
    return ImageSet(
        images=images,
        identity=np.repeat([number[identity] for _, identity in order], counts),
        split=np.repeat([SPLITS[split] for split, _ in order], counts),
        keypoints=keypoints,
        name=name,
    )


def thin(group: list[T], limit: int | None) -> list[T]:
    """Returns at most `limit` members of a list, evenly spaced, the first and the last among
    them.
    """
    if limit is not None and limit < 2:
        raise ValueError(f"images_per_identity must be at least 2 to make a pair, got {limit}")
    if limit is None or len(group) <= limit:
        return group
    return [group[i] for i in np.linspace(0, len(group) - 1, limit).round().astype(int)]


def decode(
    pictures: list[Picture], size: int, resize: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads pictures, several at once, with a progress bar.

    Returns:
        The images, uint8 with shape (N, size, size, 3), and their keypoints in pixels of these,
        float32 with shape (N, K, 2), or None if there are none.
    """
    check_memory(len(pictures), size)
    bits = significant_bits(picture.path for picture in pictures)
    images = np.empty((len(pictures), size, size, 3), np.uint8)
    known = bool(pictures) and pictures[0].keypoints is not None
    keypoints = (
        np.empty((len(pictures), *pictures[0].keypoints.shape), np.float32) if known else None
    )

    def place(row: int) -> None:
        picture = pictures[row]
        whole = picture.box is None and keypoints is None
        image = read_image(picture.path, least=2 * size if whole and resize else None, bits=bits)
        left, top = 0, 0
        if picture.box is not None:
            left, top, right, bottom = _around(picture.box, image.size)
            image = image.crop((left, top, right, bottom))
        images[row] = to_square(image, size, picture.path, resize)
        if keypoints is not None:
            scale, offset = _placement(image.size, size)
            keypoints[row] = (picture.keypoints - (left, top)) * scale + offset

    # Pillow decodes and scales outside the interpreter's lock. In order, so that of several wrong
    # files the first is named.
    with ThreadPool(os.cpu_count()) as pool:
        done = pool.imap(place, range(len(pictures)), chunksize=16)
        bar = tqdm(done, "images", len(pictures), leave=False, disable=len(pictures) < 1000)
        for _ in bar:
            pass
    return images, keypoints


def check_memory(count: int, size: int) -> None:
    """Raises an error before a machine is filled: the system would end the program without a
    word.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    needed = count * size * size * 3
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.8 * memory:
        raise ValueError(
            f"{count} images of {size}x{size} pixels need {needed / 1e9:.1f} GB of memory, and "
            "this "
            f"machine has {memory / 1e9:.1f} GB: take fewer with --images-per-identity, or keep a "
            "folder in a file with --store"
        )


def significant_bits(paths: Iterable[Path]) -> int:
    """Returns the bits that the deep images of a set use: cameras write 10, 12 or 14 bits into
    files of 16, which would be nearly black.

    All images of a set have one scale, so that a dark one stays darker than others.
    """
    peak = -1
    for path in paths:
        if path.suffix.lower() in DEEP:
            try:
                with Image.open(path) as image:
                    if image.mode.startswith("I"):
                        peak = max(peak, int(np.asarray(image).max()))
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                # Whoever reads it names it.
                continue
    bits = next(
        (bits for bits in (8, 10, 12, 14, 16) if peak < 2**bits), max(16, peak.bit_length())
    )
    if peak > 0 and bits != 16:
        warnings.warn(
            f"the values of 16-bit images are at most {peak}: they are read as {bits} bits",
            UserWarning,
            stacklevel=3,
        )
    return bits if peak > 0 else 16


def read_image(path: Path, least: int | None = None, bits: int = 16) -> Image.Image:
    """Reads an image of any mode as RGB, with transparency laid on white.

    Arguments:
        path: The file.
        least: A size that is enough: a JPEG that is much larger is decoded at a fraction of its
            own, which is several times faster.
        bits: The bits that a deep image uses, see :func:`significant_bits`.
    """
    try:
        with Image.open(path) as file:
            if least is not None:
                file.draft(None, (least, least))
            image = ImageOps.exif_transpose(file)
            if image.mode == "RGB" and "transparency" not in image.info:
                image.load()
                return image
            if image.mode.startswith("I"):
                # Pillow would clip 16 bits to white instead of scaling them.
                values = np.asarray(image).clip(0) >> (bits - 8)
                image = Image.fromarray(values.clip(max=255).astype(np.uint8))
            elif image.mode == "F":
                raise ValueError("its pixels are floating-point numbers of an unknown scale")
            canvas = Image.new("RGBA", image.size, "white")
            canvas.alpha_composite(image.convert("RGBA"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no image at {path}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} must be a picture that Pillow reads: {error}") from error
    return canvas.convert("RGB")


def to_square(image: Image.Image, size: int, path: Path, resize: bool) -> Image.Image:
    """Scales an image to fit a square, padded around the middle with the colour of its first pixel.

    Arguments:
        image: The image.
        size: The side of the square in pixels.
        path: Where it is from, for the error.
        resize: Whether another size may be scaled; otherwise it is an error.
    """
    if image.size == (size, size):
        return image
    if not resize:
        raise ValueError(
            f"{path} must have {size}x{size} pixels, got {image.width}x{image.height}: "
            "scale it, or let it be scaled with --resize (resize=True)"
        )
    return ImageOps.pad(image, (size, size), color=image.getpixel((0, 0)))


def _placement(native: tuple[int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scale and the offset, x then y, that :func:`to_square` applies."""
    longer = max(native)
    scaled = np.array([round(size * side / longer) for side in native])
    return scaled / np.array(native), np.round((size - scaled) / 2)


def _around(box: Box, native: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns the square around a box, as far as it lies in the picture: left, top, right and
    bottom.
    """
    x, y, width, height = box
    half = max(width, height) / 2
    middle = (x + width / 2, y + height / 2)
    low = [int(min(max(0, m - half), side - 1)) for m, side in zip(middle, native, strict=True)]
    high = [
        int(np.ceil(min(max(m + half, start + 1), side)))
        for m, side, start in zip(middle, native, low, strict=True)
    ]
    return low[0], low[1], high[0], high[1]
