"""The one training loop: every trained method has the same encoder, head, steps, batches, optimizer
and rates, and differs by its penalty alone.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from tasks import Task
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.func import functional_call

STEPS, BATCH, RATE, CRITIC_RATE = 2000, 256, 1e-3, 3e-3
WIDTH = 256
SCALE = 0.1
"""The scale of a decoder's Gaussian, where x is rebuilt: a sum of squares of 0.02 is one nat."""


class Codes(NamedTuple):
    """The codes of all splits, what the codes' means are where codes are drawn, and what else is to
    be told.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    means: tuple[Tensor, Tensor, Tensor] | None = None
    notes: dict[str, Any] = {}


class Batch(NamedTuple):
    """What a penalty sees of a step."""

    pi: Tensor
    s: Tensor
    x: Tensor
    posterior: Independent
    output: Tensor
    """What the head makes of the code: logits of y, or x rebuilt."""
    progress: float
    """From 0 to 1."""


def perceptron(inputs: int, outputs: int, width: int = WIDTH, depth: int = 2) -> nn.Sequential:
    """Creates a perceptron."""
    sizes = itertools.pairwise((inputs, *[width] * depth))
    layers = [layer for a, b in sizes for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Network(nn.Module):
    """Creates an encoder with the mean and the log-variance of a code, and a head that sees the
    code alone (and s, where it rebuilds x).
    """

    def __init__(self, task: Task) -> None:
        super().__init__()

        inputs = task.train.x.shape[1]
        self.targets, self.classes = task.targets, task.classes
        self.encoder = perceptron(inputs, 2 * task.features)
        told = 0 if task.targets else task.classes
        self.head = perceptron(task.features + told, task.targets or inputs, depth=1)

    def posterior(self, x: Tensor) -> Independent:
        """Returns the distribution of the code."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        deviation = (log_var.clamp(-8, 4) / 2).exp()
        return Independent(Normal(mean, deviation, validate_args=False), 1, validate_args=False)

    def output(self, pi: Tensor, s: Tensor) -> Tensor:
        """Returns what the head makes of a code."""
        if self.targets:
            return self.head(pi)
        return self.head(torch.cat((pi, F.one_hot(s, self.classes).float()), 1))

    def loss(self, output: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Returns the loss of the task, a mean over rows in nats."""
        if self.targets:
            return F.cross_entropy(output, y)
        return (output - x).square().sum(1).mean() / (2 * SCALE**2)


class Penalty(nn.Module):
    """What a method adds: a loss for the encoder, and a loss for critics of its own. This one adds
    nothing.
    """

    stochastic = False
    """Whether codes are drawn from the posterior. Otherwise they are its mean."""

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__()

        self.task, self.setting = task, setting

    @property
    def weight(self) -> float:
        """The setting as a weight, in units of the task loss."""
        return self.setting * self.task.price

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss of the encoder and that of the critics, which send each other no
        gradients.
        """
        zero = batch.pi.new_zeros(())
        return zero, zero

    def start(self, network: Network) -> None:
        """Called before the first step."""

    def update(self) -> None:
        """Moves what moves after a step."""

    def notes(self) -> dict[str, Any]:
        """Returns what is to be kept with the row."""
        return {}


def frozen(network: nn.Module) -> Callable[..., Tensor]:
    """Returns the network as a function that sends gradients to its inputs alone."""
    constants = {name: p.detach() for name, p in network.named_parameters()}
    return lambda *inputs: functional_call(network, constants, inputs)


def train(
    task: Task, penalty: Penalty, seed: int, device: str, steps: int = STEPS
) -> tuple[Network, dict[str, float]]:
    """Trains encoder and head with a penalty, and returns the network and the seconds that it took,
    by the clock and of the processor.
    """
    torch.manual_seed(seed)
    network, rows = Network(task).to(device), task.train.to(device)
    penalty = penalty.to(device)
    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), "lr": RATE}]
    if critics := list(penalty.parameters()):
        groups.append({"params": critics, "lr": CRITIC_RATE})
    optimizer = torch.optim.Adam(groups, fused=True)
    penalty.start(network)
    start, cpu = time.monotonic(), time.process_time()
    for step in range(steps):
        # The encoder slows down over the second half, so that critics can catch up.
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - step / steps))
        chosen = torch.randint(len(rows.x), (BATCH,), device=device)
        x, s, y = rows.at(chosen)
        posterior = network.posterior(x)
        pi = posterior.rsample() if penalty.stochastic else posterior.mean
        output = network.output(pi, s)
        of_encoder, of_critics = penalty(Batch(pi, s, x, posterior, output, step / steps))
        loss = network.loss(output, x, y) + of_encoder + of_critics
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        penalty.update()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    return network, {"fit_seconds": round(seconds, 1), "fit_cpu_seconds": round(cpu_seconds, 1)}


@torch.no_grad()
def encode(task: Task, network: Network, stochastic: bool, seed: int, device: str) -> Codes:
    """Returns the codes of all rows: drawn once, where they are drawn."""
    torch.manual_seed(seed + 10_000)
    codes, means = [], []
    for part in (task.train, task.validation, task.test):
        posteriors = [network.posterior(x.to(device)) for x in part.x.split(10_000)]
        means.append(torch.cat([p.mean for p in posteriors]).cpu())
        codes.append(torch.cat([p.sample() for p in posteriors]).cpu() if stochastic else means[-1])
    return Codes(*codes, means=tuple(means) if stochastic else None)


def trained(make: type[Penalty]) -> Callable[..., Codes]:
    """Returns a method that trains with a penalty."""

    def run(task: Task, setting: float, seed: int, device: str, steps: int = STEPS) -> Codes:
        torch.manual_seed(seed)
        penalty = make(task, setting)
        network, seconds = train(task, penalty, seed, device, steps)
        codes = encode(task, network, penalty.stochastic, seed, device)
        notes = {**seconds, **penalty.notes()}
        return codes._replace(notes=notes)

    return run
