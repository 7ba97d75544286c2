"""Warnings about failures that look like success."""

__all__ = ["Misuse"]

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

FIRST_CHECK = 100
"""The first update at which the state is checked, then at 2, 4, 8 times as many: few syncs."""


class Misuse:
    """Creates a counter of calls that warns once about each fault. It ignores compiled steps.

    Arguments:
        name: The name of the regularizer in the warnings.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.updates = 0
        self.said: set[str] = set()
        self.first: Tensor | None = None

    @property
    def settled(self) -> bool:
        """Whether critics have had time to follow the codes."""
        return self.updates >= 4 * FIRST_CHECK

    def say(self, fault: str, text: str) -> None:
        """Warns about a fault, unless it already has."""
        if fault not in self.said:
            self.said.add(fault)
            warnings.warn(f"{self.name}: {text}", UserWarning, stacklevel=4)

    def on_call(self, training: bool, critics: nn.Module) -> None:
        """Counts a call, and warns if :meth:`Regularizer.update` never follows."""
        if torch.compiler.is_compiling() or not (training and torch.is_grad_enabled()):
            return
        self.asked += 1
        if self.first is None:
            self.first = first_of(critics)
        if self.asked == 2 * FIRST_CHECK and not self.updates:
            self.say(
                "update",
                f"{self.asked} penalties and no update: λ and the averages do not move. Call "
                "constraint.update(penalty) after each step of the optimizer",
            )

    def on_update(self, critics: nn.Module, faults: Callable[[], dict[str, str]]) -> None:
        """Counts an update, and checks the state at a few of them.

        Arguments:
            critics: The critics.
            faults: Returns warnings about the state by short names. It waits for the device.
        """
        if torch.compiler.is_compiling():
            return
        self.updates += 1
        if self.updates % FIRST_CHECK or (self.updates // FIRST_CHECK) & (
            self.updates // FIRST_CHECK - 1
        ):
            return
        found, parameter = faults(), first_of(critics)
        still = (
            self.first is not None
            and parameter is not None
            and torch.equal(self.first.to(parameter), parameter)
        )
        if parameter is not None and not parameter.isfinite().all():
            self.say(
                "finite",
                "the critics are no longer finite, and stay so: a code or a gradient was NaN or "
                "infinite. Load an earlier state, and limit codes and log-variances",
            )
        if still:
            # Critics that do not learn cannot diverge.
            found.pop("shadow", None)
            # Without negatives the critics cannot learn, so only that is reported.
            if "negatives" not in found:
                self.say(
                    "critics",
                    "the critics have not learnt since the first step, so their estimates mean "
                    "nothing. Add penalty.critic_loss to the loss, and constraint.parameters() to "
                    "the optimizer",
                )
        for name, text in found.items():
            self.say(name, text)


def first_of(critics: nn.Module) -> Tensor | None:
    """Returns a copy of the first parameter of the critics, if any."""
    parameter = next(critics.parameters(), None)
    return None if parameter is None else parameter.detach().clone()
