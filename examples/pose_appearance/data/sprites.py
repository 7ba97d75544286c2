"""The sprites of Reed et al., "Deep Visual Analogy-Making" (2015), which Fig. 7 of the paper is measured on.

They are read as published, one `sprites_{i}.mat` a character with `sprites_splits.mat`, or converted, as `sprites.npz`. No licence came with them.
"""

__all__ = ["sprites"]

import re
import zipfile
from pathlib import Path

import numpy as np

from .image_set import ImageSet

FRAMES = 172
"""The frames of a character without its last animation ("hurt"), whose images carry a white strip."""


def sprites(root: Path) -> ImageSet:
    """Reads the characters with an even number: their odd twins differ in the weapon only.

    Arguments:
        root: The converted file, or the folder that holds it or the published ones (or `mat/` with them).

    Returns:
        60x60 images with the published split, and poses from 0 to 171 that all characters share.
    """
    root = Path(root)
    converted = root if root.suffix == ".npz" else root / "sprites.npz"
    if converted.is_file():
        return _read_npz(converted)
    folder = root / "mat" if (root / "mat").is_dir() else root
    if not any(folder.glob("sprites_*.mat")):
        raise FileNotFoundError(
            f"no sprites at {root}: expected sprites.npz, or sprites_0.mat … and sprites_splits.mat"
        )
    return _read_mat(folder)


def _image_set(frames: np.ndarray, characters: np.ndarray, splits: np.ndarray) -> ImageSet:
    """Flattens (characters, frames, H, W, 3) to a set of images."""
    count = len(characters)
    return ImageSet(
        images=np.ascontiguousarray(frames.reshape(-1, *frames.shape[2:])),
        identity=np.repeat(characters.astype(np.int64), FRAMES),
        split=np.repeat(splits, FRAMES),
        pose=np.tile(np.arange(FRAMES), count),
        name="sprites",
    )


def _read_npz(path: Path) -> ImageSet:
    try:
        with np.load(path) as file:
            frames, characters, splits = (file[name] for name in ("frames", "character", "split"))
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} must be an archive with frames, character and split: {error}"
        ) from error
    if frames.shape[1:] != (FRAMES, 60, 60, 3) or frames.dtype != np.uint8:
        raise ValueError(
            f"{path} must hold uint8 frames with shape (N, {FRAMES}, 60, 60, 3), "
            f"got {frames.dtype} with shape {frames.shape}"
        )
    even = characters % 2 == 0
    return _image_set(frames[even], characters[even], splits[even])


def _read_mat(folder: Path) -> ImageSet:
    splits = _read_splits(folder / "sprites_splits.mat")
    paths = {
        int(m[1]): p for p in folder.iterdir() if (m := re.fullmatch(r"sprites_(\d+)\.mat", p.name))
    }
    characters = sorted(i for i in paths if i % 2 == 0)
    missing = [i for i in characters if i not in splits]
    if missing:
        raise ValueError(
            f"{folder / 'sprites_splits.mat'} must name every character, and has no {missing[0]}"
        )
    frames = np.stack([_read_character(paths[i]) for i in characters])
    return _image_set(frames, np.array(characters), np.array([splits[i] for i in characters]))


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


def _read_character(path: Path) -> np.ndarray:
    """Reads the frames of one character, uint8 with shape (172, 60, 60, 3)."""
    h5py = _import("h5py")
    try:
        with h5py.File(path, "r") as file:
            # The last animation is "hurt".
            references = file["sprites"][:-1, 0]
            parts = [np.asarray(file[reference]) for reference in references]
        flat = np.concatenate(parts)
        frames = flat.reshape(-1, 3, 60, 60).transpose(0, 3, 2, 1)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} must be a MATLAB v7.3 file with 21 animations of 60x60 sprites: {error}"
        ) from error
    if len(frames) != FRAMES:
        raise ValueError(
            f"{path} must hold {FRAMES} frames besides its last animation, got {len(frames)}"
        )
    return np.rint(frames * 255).astype(np.uint8)


def _import(name: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the published sprites are read with {name}: pip install 'mireg[examples]'"
        ) from error
