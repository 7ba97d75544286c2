"""Trains the small networks that judge or explain a model."""

__all__ = ["fit", "small_encoder"]

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..model.networks import Encoder

WARMUP_STEPS = 50


def small_encoder(size: int, features: int, seed: int) -> Encoder:
    """Builds an encoder of images, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Encoder(size, max(1, size // 16), (64, 128), 1, features, stochastic=False)
    return network.to(memory_format=torch.channels_last)


def fit(
    networks: Iterable[nn.Module],
    loss_at: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
    name: str,
) -> None:
    """Trains networks with Adam and a cosine decay of the learning rate, and freezes them.

    Arguments:
        networks: The networks.
        loss_at: Gives the loss of a step.
        steps: The number of steps.
        learning_rate: The highest learning rate.
        name: What the progress bar says.
    """
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99), fused=True)
    for step in tqdm(range(steps), desc=name, unit="step", leave=False):
        rate = learning_rate * min(1.0, (step + 1) / WARMUP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.zero_grad()
        loss_at(step).backward()
        optimizer.step()
    for parameter in parameters:
        parameter.requires_grad_(False)
