"""Learning rates where a captured step reads them: on the device."""

__all__ = ["hold_rates", "portable_state", "set_rate"]

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def hold_rates(optimizer: Optimizer, device: torch.device) -> None:
    """Keeps learning rates as tensors on a GPU, and as numbers elsewhere."""
    for group in optimizer.param_groups:
        group["capturable"] = device.type == "cuda"
        group["lr"] = float(group["lr"])
        if group["capturable"]:
            group["lr"] = torch.tensor(group["lr"], device=device)


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Sets the learning rate of a group of parameters, wherever it is kept."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def portable_state(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the state of an optimizer with plain learning rates, for any device."""
    state = optimizer.state_dict()
    groups = [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]
    return {**state, "param_groups": groups}
