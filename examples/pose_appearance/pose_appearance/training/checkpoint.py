"""Checkpoints that are written whole or not at all, and the one before."""

__all__ = [
    "checkpoints_of",
    "load_checkpoint",
    "load_newest",
    "save_checkpoint",
    "set_aside",
]

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

NAME, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes a state beside its place, keeps the checkpoint before as `.previous`, and moves the
    new one there.

    Whenever the run is killed, one of the two is whole. A full disk leaves both as they were.
    """
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise OSError(
            f"no checkpoint could be written to {path}, and the one before is kept: {error}"
        ) from error
    if path.exists():
        os.replace(path, path.with_suffix(".previous.pt"))
    os.replace(partial, path)


def checkpoints_of(folder: Path) -> list[Path]:
    """Lists the checkpoints of a run, the newest first."""
    return [path for name in (NAME, PREVIOUS) if (path := folder / name).is_file()]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint, trusting nothing in it but tensors and plain values."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}: give the folder of a run")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The first line says what is wrong; torch goes on to advise trusting the file.
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path} is no checkpoint of this program: {reason}") from error


def load_newest(
    folder: Path, accept: Callable[[dict[str, Any]], None]
) -> tuple[Path, dict[Path, ValueError]]:
    """Takes the newest checkpoint of a run that can be used.

    Arguments:
        folder: The folder of the run.
        accept: Takes the state, or raises a `ValueError` that says what is wrong with it.

    Returns:
        The checkpoint that was taken, and what is wrong with newer ones.
    """
    refused: dict[Path, ValueError] = {}
    for path in checkpoints_of(folder):
        try:
            accept(load_checkpoint(path))
        except ValueError as error:
            refused[path] = error
        else:
            return path, refused
    if refused:
        raise ValueError("; ".join(map(str, refused.values())))
    raise FileNotFoundError(f"there is no checkpoint in {folder}: give the folder of a run")


def set_aside(path: Path) -> Path:
    """Renames a checkpoint that cannot be used: the next one must not push it over the good one
    before.
    """
    place = path.with_suffix(".refused")
    os.replace(path, place)
    return place
