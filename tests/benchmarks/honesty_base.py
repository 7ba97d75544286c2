"""What all problems of the honesty benchmark share: two codes, a task, and what a trained model is judged by."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

import mireg

SCALE = 0.1
"""The scale of a decoder's Gaussian: a sum of squares of 0.02 is one nat."""


class Missing(Exception):
    """Raised by a problem whose data are not on this machine."""


class Sources(NamedTuple):
    """Where data are read from."""

    cache: Path | None = None
    """The archive that `honesty_data.py` writes; without it the packages are asked."""
    sprites: Path | None = None
    """The folder of the sprites."""


class Outcome(NamedTuple):
    """The codes of a batch, its task loss, and its groups."""

    codes: mireg.Codes
    task: Tensor
    groups: Tensor | None = None


class Findings(NamedTuple):
    """The codes to audit, and the metrics of the task. `task` is one of these."""

    pi: Tensor
    alpha: Tensor
    groups: Tensor | None
    metrics: dict[str, float]
    also: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {}
    """Further codes, attributes and groups to audit, by name."""


def mlp(
    inputs: int,
    outputs: int,
    width: int = 128,
    depth: int = 2,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    sizes = itertools.pairwise((inputs, *[width] * depth))
    layers = [layer for a, b in sizes for layer in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def limited_gaussian(parameters: Tensor) -> torch.distributions.Distribution:
    """The Gaussian of a mean and a log-variance beside it, which is kept from -8 to 4."""
    mean, log_var = parameters.chunk(2, dim=1)
    return mireg.diagonal_gaussian(mean, log_var.clamp(-8, 4))


def error(output: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of a Gaussian, less its constant, in nats."""
    return (output - target).square().sum(1).mean() / (2 * SCALE**2)


class JointNetwork(nn.Module):
    """A perceptron on both codes plus the inner product of two towers: one logit a pair. It needs nothing of the library."""

    def __init__(self, pi_features: int, alpha_features: int, width: int = 256, tower: int = 128):
        super().__init__()

        self.both = mlp(pi_features + alpha_features, 1, width)
        self.of_pi = mlp(pi_features, tower, tower)
        self.of_alpha = mlp(alpha_features, tower, tower)
        self.scale = tower**-0.5

    def forward(self, pi: Tensor, alpha: Tensor) -> Tensor:
        product = (self.of_pi(pi) * self.of_alpha(alpha)).sum(1) * self.scale
        return self.both(torch.cat((pi, alpha), dim=1)).squeeze(1) + product


class Problem(nn.Module):
    """Two encoders and a task. `forward` makes codes of fresh samples of a split: train, validation or test.

    Data are buffers and samples are drawn on the device, so that a step never waits for the host. If `apart` is true, the validation
    samples of a finite data set are kept out of the training: a weight is tuned on them, or `update` is given them.
    """

    epsilon = 0.125
    steps = 2500
    batch = 128
    rate = 1e-3
    betas = (0.9, 0.999)
    audited = 4000
    pi_features = 8
    alpha_features: int | None = None
    classes: int | None = None
    alpha_moments = (0.0, 1.0)
    """Mean and deviation of an attribute in its own unit. Rivals see it standardised; the constraint has to do without."""
    critic: Callable[[], nn.Module] | None = None
    """Makes one critic, where a problem asks for another than the default."""
    price = 10.0
    """The order of magnitude of a nat in units of the task loss: the grids of the rivals' weights start from it."""
    decay: float | None = None
    """The decay of averaged weights, where a problem is judged by these."""

    best: float | None = None
    """The lowest mean task loss that version 0.1 reached within 1.25 ε."""
    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}
    """What is wanted of further metrics, as means over the seeds."""

    def __init__(self, seed: int, sources: Sources | None = None, apart: bool = False) -> None:
        super().__init__()

        self.seed, self.sources, self.apart = seed, sources or Sources(), apart
        self.build()

    def build(self) -> None:
        """Makes the networks, and keeps the data."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def hold(self, name: str, value: Tensor) -> None:
        """Keeps data that follow the module to its device."""
        self.register_buffer(name, value, persistent=False)

    def forward(self, n: int, split: str = "train") -> Outcome:
        raise NotImplementedError

    def standardised(self, alpha: Tensor) -> Tensor:
        mean, deviation = self.alpha_moments
        return alpha if self.classes else (alpha - mean) / deviation

    def pace(self, step: int, steps: int) -> float:
        """The learning rate of encoders and decoder at a step, relative to `rate`."""
        return 1.0

    @torch.no_grad()
    def examine(self, split: str) -> Findings:
        """Encodes samples that were not trained on, for the audit and the metrics."""
        codes, task, groups = self(self.audited, split)
        return Findings(codes.pi, codes.alpha, groups, {"task": task.item()})
