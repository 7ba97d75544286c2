"""Checkpoints that are written whole or not at all."""

__all__ = ["load_checkpoint", "save_checkpoint"]

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes a state beside its place, then moves it there in one step.

    A run that is killed while it writes leaves the checkpoint before.
    """
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint, trusting nothing in it but tensors and plain values."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}: give the folder of a run")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint of this program: {error}") from error
