"""mireg, with ε and nothing else set."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch
from tasks import Task
from torch import Tensor
from training import BATCH, Batch, Codes, Network, Penalty, trained

import mireg

from .base import TARGETS, Method


class Robust(Penalty):
    """The constraint as its README has it."""

    stochastic = True

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.constraint = mireg.RobustMIConstraint(
            task.features, classes=task.classes, epsilon=setting
        )
        self.last: mireg.Penalty | None = None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.last = self.constraint(batch.pi, batch.s, batch.posterior)
        return self.last.loss, self.last.critic_loss

    def update(self) -> None:
        self.constraint.update(self.last)

    def notes(self) -> dict[str, Any]:
        names = ("mi_average", "mi_shadow_average", "kl", "gamma", "multiplier")
        return {"read": {name: round(float(self.last.metrics[name]), 5) for name in names}}


class HeldOut(Robust):
    """The constraint whose λ follows validation rows, a batch in every second step."""

    EVERY = 2

    def start(self, network: Network) -> None:
        # The method alone: as a part, the network would be trained as a critic.
        self.posterior, self.steps = network.posterior, 0
        self.device = next(network.parameters()).device
        self.validation = self.task.validation.to(self.device)

    def update(self) -> None:
        self.steps += 1
        held_out = None
        if self.steps % self.EVERY == 0:
            rows = torch.randint(len(self.validation.x), (BATCH,), device=self.device)
            x, s, _ = self.validation.at(rows)
            with torch.no_grad():
                posterior = self.posterior(x)
                held_out = self.constraint(posterior.sample(), s, posterior)
        self.constraint.update(self.last, held_out)


def erase(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Maps inputs that exist by the eraser. It is told y where trained methods are, too."""
    start, y = time.monotonic(), task.train.y.numpy() if task.targets else None
    eraser = mireg.Eraser(epsilon=setting, report=False, random_state=seed, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        eraser.fit(task.train.x.numpy(), task.train.s.numpy(), y)
    seconds = time.monotonic() - start
    parts = (task.train, task.validation, task.test)
    codes = [torch.from_numpy(eraser.transform(part.x.numpy())).float() for part in parts]
    return Codes(*codes, notes={"fit_seconds": round(seconds, 1)})


METHODS = {
    "mireg": Method(trained(Robust), TARGETS, "ε", target=True),
    "mireg, held out": Method(trained(HeldOut), TARGETS, "ε", target=True),
    "mireg.Eraser": Method(erase, TARGETS, "ε", target=True),
}
