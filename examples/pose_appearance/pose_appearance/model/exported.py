"""A model as files that run without its code: one program a network, by torch.export, and a card
that tells what they take and give.

Other programs need torch alone:

    encode_pose, encode_appearance, decode = (
        torch.export.load(f"DIR/{name}.pt2").module()
        for name in ("pose_encoder", "appearance_encoder", "decoder")
    )
    mean, log_var = encode_pose(pose)  # images in [-1, 1], (batch, 3, 64, 64)
    drawn = decode(mean, encode_appearance(appearance))
"""

__all__ = ["CARD", "ExportedModel", "export_model", "load_exported"]

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .presets import PoseAppearanceModel

CARD = "model.json"
"""The file that tells what is in the folder."""

NETWORKS = ("pose_encoder", "appearance_encoder", "decoder")

FORMAT = 1
"""Counts the changes of the files that an older reader would misread."""


@dataclass(frozen=True)
class ExportedModel:
    """The networks of an exported model, which call like those that they were made from."""

    pose_encoder: nn.Module
    """Takes images and gives mean and log-variance of the pose code."""
    appearance_encoder: nn.Module
    """Takes images and gives the appearance code."""
    decoder: nn.Module
    """Takes a pose code and an appearance code and gives images."""
    card: dict[str, Any]
    """What the card says."""

    def transfer(self, x_appearance: Tensor, x_pose: Tensor) -> Tensor:
        """Draws as :meth:`PoseAppearanceModel.transfer` does."""
        mean, _ = self.pose_encoder(x_pose)
        return self.decoder(mean, self.appearance_encoder(x_appearance))

    def to(self, device: torch.device) -> "ExportedModel":
        """Moves the networks, in place."""
        for name in NETWORKS:
            getattr(self, name).to(device)
        return self


def export_model(model: PoseAppearanceModel, folder: Path, about: dict[str, Any]) -> None:
    """Writes the networks, for any size of batch, and their card.

    Arguments:
        model: The model.
        folder: Where to write; it is made if there is none, and files of the same names are
            replaced.
        about: What else the card is to tell, as JSON can.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = model.options
    images = torch.zeros(2, 3, sizes.size, sizes.size)
    codes = torch.zeros(2, sizes.pi_features), torch.zeros(2, sizes.alpha_features)
    inputs = {"pose_encoder": (images,), "appearance_encoder": (images,), "decoder": codes}
    batch = torch.export.Dim("batch")
    for name, example in inputs.items():
        # A copy: the one that trains stays on its device, in its layout.
        network = copy.deepcopy(getattr(model, name))
        network.to("cpu", memory_format=torch.contiguous_format)
        shapes = tuple({0: batch} for _ in example)
        program = torch.export.export(network, example, dynamic_shapes=shapes)
        torch.export.save(program, folder / f"{name}.pt2")
    card = {
        "format": FORMAT,
        "torch": torch.__version__,
        "files": {name: f"{name}.pt2" for name in NETWORKS},
        "images": f"float32 in [-1, 1], RGB, with shape (batch, 3, {sizes.size}, {sizes.size})",
        "pose_encoder": f"images to mean and log-variance of π, each (batch, {sizes.pi_features})",
        "appearance_encoder": f"images to α, (batch, {sizes.alpha_features})",
        "decoder": "π, or its mean, and α to images",
        "sizes": asdict(sizes),
        **about,
    }
    (folder / CARD).write_text(json.dumps(card, indent=2, default=str) + "\n")


def load_exported(folder: Path) -> ExportedModel:
    """Reads what :func:`export_model` wrote.

    Arguments:
        folder: The folder with the card.

    Returns:
        The networks on the CPU, for any size of batch.
    """
    path = Path(folder) / CARD
    if not path.is_file():
        raise FileNotFoundError(f"there is no exported model at {folder}: {path} is missing")
    try:
        card = json.loads(path.read_text())
        found, files = card["format"], [path.parent / card["files"][name] for name in NETWORKS]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must be the card of an exported model: {error}") from error
    if found != FORMAT:
        raise ValueError(f"{path} must have format {FORMAT}, got {found}: export the run again")
    return ExportedModel(*(_load_network(file, card) for file in files), card=card)


def _load_network(path: Path, card: dict[str, Any]) -> nn.Module:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the card beside it names it")
    try:
        return torch.export.load(path).module()
    except Exception as error:
        raise ValueError(
            f"{path} must be a program of torch.export, whole, and torch {torch.__version__} not "
            f"older than the {card.get('torch')} that wrote it: {error}"
        ) from error
