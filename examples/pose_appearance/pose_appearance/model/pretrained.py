"""The weights of a model as one small file: half precision, and a card that tells what they are."""

__all__ = ["WEIGHTS", "load_weights", "save_weights"]

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .exported import CARD
from .presets import ModelOptions, PoseAppearanceModel

WEIGHTS = "model.safetensors"
"""The file of the weights, beside the card."""


def save_weights(model: PoseAppearanceModel, folder: Path, about: dict[str, Any]) -> None:
    """Writes the weights of a model and their card.

    Arguments:
        model: The model.
        folder: Where to write; it is made if there is none, and files of the same names are
            replaced.
        about: What else the card is to tell, as JSON can.
    """
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: x.half().contiguous() for name, x in model.state_dict().items()}
    save_file(halves, folder / WEIGHTS)
    card = {"weights": WEIGHTS, "sizes": asdict(model.options), **about}
    (folder / CARD).write_text(json.dumps(card, indent=2, default=str) + "\n")


def load_weights(folder: Path) -> tuple[PoseAppearanceModel, dict[str, Any]]:
    """Reads what :func:`save_weights` wrote.

    Returns:
        The model on the CPU, in single precision, and its card.
    """
    try:
        card = json.loads((folder / CARD).read_text())
        sizes = {k: tuple(v) if isinstance(v, list) else v for k, v in card["sizes"].items()}
        model = PoseAppearanceModel(ModelOptions(**sizes)).requires_grad_(False)
        model.load_state_dict({k: x.float() for k, x in load_file(folder / WEIGHTS).items()})
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder} must hold {WEIGHTS} and its card {CARD}, as train.py --weights writes them: "
            f"{error}"
        ) from error
    return model.to(memory_format=torch.channels_last), card
