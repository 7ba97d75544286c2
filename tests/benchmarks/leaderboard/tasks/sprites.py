"""Sprites: which movement it is and from where it is seen, without the body of the character.

The sprites of Reed et al. (2015) from `sprites.npz` in the folder that the environment variable
SPRITES names, at a fifth of the resolution. Test characters are none of those that were trained on.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from .base import Missing, Rows, Task

SOURCE = "sprites"
VALIDATION = 45
"""Characters of the training set that are for validation."""


def read() -> dict[str, np.ndarray]:
    """Reads frames, the character, its body, and movement and view as one label."""
    path = Path(os.environ.get("SPRITES", "data")) / "sprites.npz"
    if not path.exists():
        raise Missing("set SPRITES to a folder with sprites.npz")
    with np.load(path) as file:
        frames, split, labels = file["frames"], file["split"], file["labels"]
        movement, view = file["animation"], file["view"]
    count, poses = frames.shape[:2]
    x = frames.reshape(count, poses, 12, 5, 12, 5, 3).mean((3, 5)).round().astype(np.uint8)
    movement = np.unique(movement, return_inverse=True)[1]
    kinds = np.unique(10 * movement + view, return_inverse=True)[1]
    return {
        "x": x.reshape(count * poses, -1),
        "s": np.repeat(labels[:, 0], poses).astype(np.uint8),
        "y": np.tile(kinds, count).astype(np.uint8),
        "character": np.repeat(np.arange(count), poses).astype(np.uint16),
        "train": np.repeat(split == "train", poses),
    }


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Returns the task: characters are split, never their frames."""
    x = torch.from_numpy(arrays["x"].astype(np.float32) / 255)
    s, y = (torch.from_numpy(arrays[key].astype(np.int64)) for key in ("s", "y"))
    character, learnt = arrays["character"], arrays["train"].astype(bool)
    known = np.random.default_rng(0).permutation(np.unique(character[learnt]))
    held = np.isin(character, known[:VALIDATION])
    random = np.random.default_rng(0)
    parts = []
    for chosen in (learnt & ~held, held, ~learnt):
        order = torch.from_numpy(random.permutation(np.flatnonzero(chosen)))
        parts.append(Rows(x, s, y).at(order))
    return Task(name, *parts, classes=int(s.max()) + 1, targets=int(y.max()) + 1, features=32)
