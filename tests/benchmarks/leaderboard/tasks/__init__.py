"""The tasks by name: what is encoded, what the codes are for, and what they must not reveal."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from . import adult, digits, health, mixtures, sentences, sprites
from .base import Missing, Rows, Task

__all__ = ["MODULES", "Missing", "Rows", "Task", "load", "prepare"]

MODULES = {
    "sentences": sentences,
    "adult": adult,
    "health, age at 60": health,
    "health, nine ages": health,
    "mixtures": mixtures,
    "digits": digits,
    "sprites": sprites,
}


@functools.cache
def load(name: str, folder: Path | None = None) -> Task:
    """Returns a task, from prepared arrays if a folder has them, and from the user's packages
    otherwise.
    """
    module = MODULES[name]
    path = None if folder is None else folder / f"{module.SOURCE}.npz"
    if path is not None and path.exists():
        with np.load(path) as file:
            arrays = {key: file[key] for key in file}
    else:
        arrays = module.read()
    return module.task(arrays, name)


def prepare(folder: Path) -> None:
    """Writes the arrays of all tasks whose files are there, and that are not written yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, module in {module.SOURCE: module for module in MODULES.values()}.items():
        if (folder / f"{source}.npz").exists():
            continue
        try:
            arrays = module.read()
        except Missing as missing:
            print(f"{source} is left out: {missing}")
            continue
        if not arrays:
            continue
        path = folder / f"{source}.npz"
        np.savez_compressed(path, **arrays)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
