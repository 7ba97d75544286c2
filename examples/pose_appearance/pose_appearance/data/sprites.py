"""The sprites of Reed et al., "Deep Visual Analogy-Making" (2015), which Fig. 7 of the paper is
measured on.

They are read as published, one `sprites_{i}.mat` a character with `sprites_splits.mat`, or
converted, as `sprites.npz`. The authors of the data published them as
`nips2015-analogy-data.tar.gz`, in its folder `data/sprites`. No licence came with them.
"""

__all__ = ["sprites"]

import importlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .data_set import data_set
from .image_set import ImageSet
from .places import contents, find_root, visible

LENGTHS = tuple(length for length in (7, 8, 9, 6, 13) for _ in range(4))
"""The frames of spellcast, thrust, walk, slash and shoot, in 4 views each.

The published files end with "hurt", whose images carry a white strip: it is left out.
"""

FRAMES = sum(LENGTHS)
"""The frames of a character."""

UNREADABLE = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What readers raise for files that are broken or hold something else."""


def sequence(
    image_set: ImageSet, identity: int, which: int, identities: int, seed: int, frames: int
) -> np.ndarray:
    """Returns one of the published animations in one view."""
    assert image_set.pose is not None
    ends = np.cumsum(LENGTHS)
    # A walk to the right, then the others in some order of animations and views.
    part = (11 + 7 * which) % len(LENGTHS)
    wanted = np.arange(ends[part] - LENGTHS[part], ends[part])
    own = np.flatnonzero(image_set.identity == identity)
    order = own[np.argsort(image_set.pose[own])]
    return image_set.images[order[np.isin(image_set.pose[order], wanted)]]


@data_set(native_size=60, tuned_with="small", sequence=sequence)
def sprites(root: Path) -> ImageSet:
    """Reads the characters with an even number: their odd twins differ in the weapon only.

    Arguments:
        root: The converted file, or the folder that holds it or the published ones (or `mat/` with
            them).

    Returns:
        60x60 images with the published split, and poses from 0 to 171 that all characters share.
        Where files have labels, the factor "body" is the first of them, one of two types of body.
    """
    root = Path(root)
    if root.suffix != ".npz":
        # The folder `mat` of the archive is one level down by itself.
        parts = ("sprites.npz", "sprites_splits.mat", "sprites_0.mat")
        parts = (*parts, *(f"mat/{name}" for name in parts))
        root = (
            root
            if _even_characters(root) or _even_characters(root / "mat")
            else find_root(root, parts)
        )
    converted = root if root.suffix == ".npz" else root / "sprites.npz"
    if converted.is_file():
        return _read_npz(converted)
    for folder in (root, root / "mat"):
        if files := _even_characters(folder):
            return _read_mat(files, folder / "sprites_splits.mat")
    raise FileNotFoundError(
        f"no sprites at {root}: expected sprites.npz, or sprites_0.mat, sprites_2.mat … "
        f"and sprites_splits.mat; {contents(root)}"
    )


def _image_set(
    frames: np.ndarray, characters: np.ndarray, splits: np.ndarray, bodies: np.ndarray | None
) -> ImageSet:
    """Flattens (characters, frames, H, W, 3) to a set of images."""
    count = len(characters)
    return ImageSet(
        images=np.ascontiguousarray(frames.reshape(-1, *frames.shape[2:])),
        identity=np.repeat(characters.astype(np.int64), FRAMES),
        split=np.repeat(splits, FRAMES),
        pose=np.tile(np.arange(FRAMES), count),
        factors={} if bodies is None else {"body": np.repeat(bodies, FRAMES)},
        name="sprites",
    )


def _read_npz(path: Path) -> ImageSet:
    try:
        # Opened here: numpy would leave a broken archive open.
        with path.open("rb") as stream, np.load(stream) as file:
            frames, characters, splits = (file[name] for name in ("frames", "character", "split"))
            bodies = file["labels"][:, 0].astype(np.int64) if "labels" in file else None
    except (*UNREADABLE, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} must be an archive with frames, character and split: {error}"
        ) from error
    if frames.shape[1:] != (FRAMES, 60, 60, 3) or frames.dtype != np.uint8:
        raise ValueError(
            f"{path} must hold uint8 frames with shape (N, {FRAMES}, 60, 60, 3), "
            f"got {frames.dtype} with shape {frames.shape}"
        )
    if not characters.shape == splits.shape == frames.shape[:1]:
        raise ValueError(
            f"{path} must hold a character and a split for each of {len(frames)} rows of frames, "
            f"got shapes {characters.shape} and {splits.shape}"
        )
    unknown = set(splits.tolist()) - {"train", "val", "test"}
    if unknown:
        raise ValueError(f"{path} must hold splits train, val or test, got {unknown}")
    even = characters % 2 == 0
    # A mask copies, and half a gigabyte need not be.
    keep = slice(None) if even.all() else even
    bodies = None if bodies is None else bodies[keep]
    return _image_set(frames[keep], characters[keep], splits[keep], bodies)


def _even_characters(folder: Path) -> dict[int, Path]:
    """Finds the published files, sorted by number."""
    if not folder.is_dir():
        return {}
    found = [(re.fullmatch(r"sprites_(\d+)\.mat", path.name), path) for path in visible(folder)]
    numbered = {int(match[1]): path for match, path in found if match}
    return {number: numbered[number] for number in sorted(numbered) if number % 2 == 0}


def _read_mat(files: dict[int, Path], splits_path: Path) -> ImageSet:
    splits = _read_splits(splits_path)
    missing = [number for number in files if number not in splits]
    if missing:
        raise ValueError(f"{splits_path} must name every character, and has no {missing[0]}")
    frames, bodies = zip(*(_read_character(path) for path in files.values()), strict=True)
    known = None if None in bodies else np.array(bodies)
    chosen = np.array([splits[i] for i in files])
    return _image_set(np.stack(frames), np.array(list(files)), chosen, known)


def _read_splits(path: Path) -> dict[int, str]:
    loadmat = _import("scipy.io").loadmat
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it holds the published split")
    try:
        content = loadmat(path)
        parts = {name: content[f"{name}idx"].ravel() for name in ("train", "val", "test")}
    except Exception as error:
        raise ValueError(
            f"{path} must be a MATLAB v5 file with trainidx, validx and testidx: {error}"
        ) from error
    # MATLAB counts from 1.
    return {int(i) - 1: name for name, numbers in parts.items() for i in numbers}


def _read_character(path: Path) -> tuple[np.ndarray, int | None]:
    """Reads the frames of one character, uint8 with shape (172, 60, 60, 3), and its type of
    body.
    """
    h5py = _import("h5py")
    try:
        with h5py.File(path, "r") as file:
            parts = [np.asarray(file[reference]) for reference in file["sprites"][:, 0]]
            body = int(file["labels"][0, 0]) if "labels" in file else None
    except UNREADABLE as error:
        raise ValueError(
            f"{path} must be a MATLAB v7.3 file with references to animations in sprites: {error}"
        ) from error
    shapes = [part.shape for part in parts]
    if len(parts) != len(LENGTHS) + 1 or shapes[:-1] != [(n, 3 * 60 * 60) for n in LENGTHS]:
        raise ValueError(
            f"{path} must hold {len(LENGTHS)} animations of {LENGTHS} frames with 10800 values "
            "each, "
            f"and one more that is left out, got shapes {shapes}"
        )
    flat = np.concatenate(parts[:-1])
    if not (flat.min() >= 0 and flat.max() <= 1):
        raise ValueError(
            f"{path} must hold values in [0, 1], got some from {flat.min()} to {flat.max()}"
        )
    frames = flat.reshape(-1, 3, 60, 60).transpose(0, 3, 2, 1)
    return np.rint(frames * 255).astype(np.uint8), body


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the published sprites are read with {name}: pip install 'mireg[examples]'"
        ) from error
