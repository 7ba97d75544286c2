"""A variational bound alone, L-MIFR, and dual ascent on the estimate of mireg's critic: who
controls, and who reads, can be told apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from tasks import Task
from torch import Tensor, nn
from training import Batch, Penalty, frozen, perceptron, trained

import mireg

from .adversaries import kl
from .base import TARGETS, Method, require

START, ASCENT = 1.0, 0.1
"""The multipliers at the start, and how far they move for a nat too much."""
PROPORTIONAL = 10.0
"""The proportional gain of the nuPI controller, in units of its integral gain."""
ANYTHING = 8.0
"""The limit of L-MIFR on what a code reveals about anything, in nats."""


class VariationalBound(Penalty):
    """The divergence of the posteriors from a standard normal, at one weight: a bound on what a
    code reveals about anything (Alemi et al., 2017).
    """

    stochastic = True

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.weight * kl(batch), batch.pi.new_zeros(())


class LMifr(Penalty):
    """L-MIFR (Song et al., 2019): the KL below 8 nats, and the estimate of an adversary below the
    target, by dual ascent on two multipliers.
    """

    stochastic = True

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        self.critic = perceptron(task.features, task.classes)
        self.register_buffer("multipliers", torch.full((2,), START * task.price))
        self.register_buffer("limits", torch.tensor([ANYTHING, setting]))
        self.seen: Tensor | None = None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        said = frozen(self.critic)(batch.pi)
        share = F.one_hot(batch.s, self.task.classes).float().mean(0)
        entropy = -(share * share.clamp(min=1e-9).log()).sum()
        both = torch.stack((kl(batch), entropy - F.cross_entropy(said, batch.s)))
        self.seen = both.detach()
        lesson = F.cross_entropy(self.critic(batch.pi.detach()), batch.s)
        return (self.multipliers.clone() * both).sum(), lesson

    def update(self) -> None:
        rate = ASCENT * self.task.price
        self.multipliers.add_(rate * (self.seen - self.limits)).clamp_(min=0)

    def notes(self) -> dict[str, Any]:
        return {"multipliers": [round(float(m), 4) for m in self.multipliers]}


class DualAscent(Penalty):
    """Plain dual ascent on the estimate of one critic of mireg: its reading, and nobody's
    controller.
    """

    stochastic = True

    def __init__(self, task: Task, setting: float) -> None:
        super().__init__(task, setting)

        # At the price of 1 the loss of this part is its estimate.
        self.reader = mireg.ClassifierMI(
            task.features,
            classes=task.classes,
            epsilon=setting,
            multiplier=mireg.weights.FixedMultiplier(1.0),
        )
        self.register_buffer("multiplier", torch.tensor(START * task.price))
        self.last: mireg.Penalty | None = None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.last = self.reader(batch.pi, batch.s)
        return self.multiplier.clone() * self.last.loss, self.last.critic_loss

    def update(self) -> None:
        self.reader.update(self.last)
        excess = self.last.metrics["mi"] - self.setting
        self.multiplier.add_(ASCENT * self.task.price * excess).clamp_(min=0)

    def notes(self) -> dict[str, Any]:
        return {"multipliers": [round(float(self.multiplier), 4)]}


class Cooper(DualAscent):
    """The same estimate with a multiplier of cooper-optim, which its nuPI controller moves (Sohrabi
    et al., 2024).
    """

    def __init__(self, task: Task, setting: float) -> None:
        require("cooper", "pip install cooper-optim==1.0.1")
        import cooper

        super().__init__(task, setting)

        self.price = cooper.multipliers.DenseMultiplier(init=torch.tensor([START * task.price]))
        self.constraint = cooper.Constraint(cooper.ConstraintType.INEQUALITY, multiplier=self.price)
        self.make_controller = functools.partial(
            cooper.optim.nuPI, lr=ASCENT * task.price, maximize=True
        )
        self.controller: torch.optim.Optimizer | None = None
        self.state = cooper.ConstraintState

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        # The multiplier has an optimizer of its own.
        return self.reader.parameters(recurse)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.last = self.reader(batch.pi, batch.s)
        state = self.state(violation=(self.last.loss - self.setting).reshape(1))
        primal = self.constraint.compute_contribution_to_lagrangian(state, "primal")
        dual = self.constraint.compute_contribution_to_lagrangian(state, "dual")
        if self.controller is None:
            # Made here, where the multiplier is on its device.
            gain = torch.full((1,), PROPORTIONAL, device=batch.pi.device)
            self.controller = self.make_controller(list(self.price.parameters()), Kp=gain)
        self.controller.zero_grad()
        dual.lagrangian_contribution.backward(retain_graph=True)
        return primal.lagrangian_contribution, self.last.critic_loss

    def update(self) -> None:
        self.reader.update(self.last)
        self.controller.step()
        self.price.post_step_()

    def notes(self) -> dict[str, Any]:
        return {"multipliers": [round(float(self.price.weight.detach()), 4)]}


class HumanCompatible(DualAscent):
    """The same estimate with the augmented Lagrangian of humancompatible-train."""

    def __init__(self, task: Task, setting: float) -> None:
        require("humancompatible", "pip install humancompatible-train==0.4.2.0")
        from humancompatible.train.dual_optim import ALM

        super().__init__(task, setting)

        # The penalty adds to the multiplier as the proportional gain does with cooper-optim.
        self.make_controller = functools.partial(
            ALM,
            m=1,
            lr=ASCENT * task.price,
            init_duals=START * task.price,
            penalty=PROPORTIONAL * ASCENT * task.price,
            dual_range=(0.0, None),
            is_ineq=True,
        )
        self.controller: torch.optim.Optimizer | None = None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.last = self.reader(batch.pi, batch.s)
        if self.controller is None:
            # Made here, where the device is known.
            self.controller = self.make_controller(device=batch.pi.device)
        excess = (self.last.loss - self.setting).reshape(1)
        penalty = self.controller.forward_update(batch.pi.new_zeros(()), excess)
        return penalty, self.last.critic_loss

    def update(self) -> None:
        self.reader.update(self.last)

    def notes(self) -> dict[str, Any]:
        (group,) = self.controller.param_groups
        return {"multipliers": [round(float(group["params"][0]), 4)]}


METHODS = {
    "variational bound": Method(
        trained(VariationalBound), (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), "weight"
    ),
    "L-MIFR": Method(trained(LMifr), TARGETS, "limit", target=True),
    "dual ascent on mireg's critic": Method(trained(DualAscent), TARGETS, "limit", target=True),
    "cooper on mireg's critic": Method(trained(Cooper), TARGETS, "limit", target=True),
    "humancompatible on mireg's critic": Method(
        trained(HumanCompatible), TARGETS, "limit", target=True
    ),
}
