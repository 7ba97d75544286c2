"""Images of one's own: a folder for each identity."""

__all__ = ["folder"]

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .data_set import data_set
from .decoding import Picture, decode, read_image, significant_bits, to_square
from .image_set import ImageSet
from .places import contents, images_in, say_left_out, visible
from .stored import StoredImages, store_images


@data_set()
def folder(
    root: Path,
    size: int = 64,
    test_fraction: float = 0.1,
    seed: int = 0,
    resize: bool = True,
    store: Path | None = None,
) -> ImageSet:
    """Reads `root/<identity>/<anything>.png`, `.jpg` and other pictures that Pillow reads, with
    endings in any letters.

    Names that repeat across identities, like `ann/jump.png` and `bob/jump.jpg`, mean the same pose.
    What systems leave in folders is skipped, as names that begin with a dot. A warning says which
    other files are left out.

    Arguments:
        root: The folder that has one folder for each identity, with at least 2 images each; or a
            folder that has only that one in it.
        size: The side of the square images in pixels.
        test_fraction: The share of the identities that are kept for the test, at least one if it is
            positive.
        seed: What decides which identities these are.
        resize: Whether images of another size are scaled to fit, keeping their aspect, and padded
            around the middle with the colour of their first pixel: nothing of a pose is cut off.
            Otherwise they are an error.
        store: A folder for a file of the images, which then are read from there and not kept in
            memory. A second call finds the file, unless an image has changed.

    Returns:
        The images, sorted by identity and name, with transparency laid on white. The pose is -1 for
        names of one identity only, and None if no name repeats.
    """
    root = Path(root)
    files = _files(root, root)
    splits = _splits(len(files), test_fraction, seed)
    pictures = [
        Picture(path, identity, splits[identity])
        for identity, group in enumerate(files)
        for path in group
    ]
    if store is None:
        images, _ = decode(pictures, size, resize)
    else:
        images = _stored(store, [picture.path for picture in pictures], size, resize)
    counts = [len(group) for group in files]
    return ImageSet(
        images=images,
        identity=np.repeat(np.arange(len(files)), counts),
        split=np.repeat(splits, counts),
        pose=_poses(files),
        name=root.resolve().name,
    )


def _squares(paths: list[Path], size: int, resize: bool, bits: int) -> Iterator[np.ndarray]:
    """Reads images a few hundred at a time: threads read on while their results are used."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(paths), 256):
            yield from pool.map(
                lambda path: np.asarray(to_square(read_image(path, bits=bits), size, path, resize)),
                paths[start : start + 256],
            )


def _stored(store: Path, paths: list[Path], size: int, resize: bool) -> StoredImages:
    """Opens the file of these images, and writes it first if there is none."""
    bits = significant_bits(paths)
    digest = hashlib.sha256(repr((size, resize) if bits == 16 else (size, resize, bits)).encode())
    for path in paths:
        status = path.stat()
        digest.update(ascii((str(path), status.st_size, status.st_mtime_ns)).encode())
    file = store / f"{digest.hexdigest()[:16]}.npy"
    if file.is_file():
        return StoredImages(file)
    store.mkdir(parents=True, exist_ok=True)
    return store_images(file, _squares(paths, size, resize, bits), len(paths), size)


def _files(root: Path, given: Path) -> list[list[Path]]:
    """Lists the images of each identity.

    Arguments:
        root: The folder of the identities.
        given: The folder that the user named.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root} must be a folder with one folder of images per identity: "
            f"{contents(root.parent)}"
        )
    identities = [p for p in visible(root) if p.is_dir()]
    alone = len(identities) == 1 and not images_in(root)[0] and not images_in(identities[0])[0]
    if alone and root == given:
        return _files(identities[0], given)
    if len(identities) < 2:
        raise ValueError(
            f"{given} must have one folder of images for each of at least 2 identities, "
            f"got {len(identities)}: {contents(root)}"
        )
    files, left = [], images_in(root)[0] + images_in(root)[1]
    for identity in identities:
        pictures, others = images_in(identity)
        left += others
        if len(pictures) < 2:
            raise ValueError(
                f"each identity needs at least 2 images that Pillow reads, got {len(pictures)} in "
                f"{identity}: add some "
                f"or move the folder away; {contents(identity)}"
            )
        files.append(pictures)
    say_left_out(left, str(given))
    return files


def _splits(identities: int, test_fraction: float, seed: int) -> np.ndarray:
    """Draws the split of each identity, leaving at least one to train on."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {test_fraction}")
    tested = min(max(round(test_fraction * identities), int(test_fraction > 0)), identities - 1)
    splits = np.full(identities, "train")
    splits[np.random.default_rng(seed).permutation(identities)[:tested]] = "test"
    return splits


def _poses(files: list[list[Path]]) -> np.ndarray | None:
    """Numbers the names that several identities have."""
    owners = Counter(stem for group in files for stem in {path.stem for path in group})
    shared = sorted(stem for stem, count in owners.items() if count > 1)
    if not shared:
        return None
    number = {stem: index for index, stem in enumerate(shared)}
    return np.array([number.get(path.stem, -1) for group in files for path in group])
