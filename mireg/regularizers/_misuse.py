"""Warnings about failures that look like success."""

__all__ = ["Misuse"]

import math
import os
import sys
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.utils.hooks import unserializable_hook

from .._checks import is_transformed
from ..weights import LEAST

FIRST_CHECK = 100
"""The first update at which the state is checked, then at 2, 3, 4, 6, 8, 12 times as many."""


class Misuse:
    """Creates a counter of calls that warns once about each fault. It ignores compiled steps.

    Arguments:
        name: The name of the regularizer in the warnings.
        epsilon: The target in nats.
        classes: The number of classes if alpha is a label.
    """

    def __init__(self, name: str, epsilon: float, classes: int | None) -> None:
        self.name = name
        self.asked = self.silent = self.updates = 0
        self.reached = self.used = self.of_mean = False
        self.said: set[str] = set()
        self.of_loop: dict[str, str] = {}
        self.first: Tensor | None = None
        if classes is not None and epsilon >= math.log(classes):
            self.say(
                "epsilon",
                f"epsilon={epsilon:g} is not below ln(classes) = {math.log(classes):.3g} nats, the "
                f"most that a code can reveal about {classes} classes: every code meets this "
                "target, so choose a smaller one",
            )
        if epsilon < LEAST:
            self.say(
                "epsilon",
                f"epsilon={epsilon:g} is less than any critic can measure, so a λ that follows the "
                "estimates rises until the code is empty: choose a larger one, such as 0.01 nats",
            )

    @property
    def settled(self) -> bool:
        """Whether critics have had time to follow the codes."""
        return self.updates >= 4 * FIRST_CHECK

    @property
    def late(self) -> bool:
        """Whether codes have had time to lose what they revealed at first."""
        return self.updates >= 8 * FIRST_CHECK

    @property
    def repeated(self) -> bool:
        """Whether samples may have been seen often enough to be memorised."""
        return self.updates >= 16 * FIRST_CHECK

    @property
    def starting(self) -> bool:
        """Whether the training has just begun, when a code may still be empty."""
        return 0 < self.updates < FIRST_CHECK

    def say(self, fault: str, text: str) -> None:
        """Warns about a fault, unless it already has."""
        if fault not in self.said:
            self.said.add(fault)
            warnings.warn(f"{self.name}: {text}", UserWarning, stacklevel=stack_level())

    def on_call(
        self,
        training: bool,
        critics: nn.Module,
        pi: Tensor,
        loss: Tensor,
        posterior: Distribution | None = None,
    ) -> None:
        """Counts a call, and warns if :meth:`Regularizer.update` never follows.

        Arguments:
            training: Whether the regularizer is in training mode.
            critics: The critics.
            pi: The codes, as the user passed them.
            loss: The loss of the encoders that the call returns.
            posterior: The distribution that `pi` was drawn from.
        """
        if torch.compiler.is_compiling():
            return
        if not training:
            # An evaluation, unless its loss is differentiated.
            if torch.is_grad_enabled() and loss.requires_grad and not is_transformed(pi):
                loss.register_hook(self.on_backward_in_evaluation)
            return
        if not torch.is_grad_enabled():
            self.silent += 1
            return
        self.asked += 1
        if is_transformed(pi):
            # Gradients of torch.func cannot be observed.
            self.reached = self.used = True
        self.reached = self.reached or pi.requires_grad
        if loss.requires_grad and pi.requires_grad and not self.used:
            loss.register_hook(self.on_backward)
        if self.first is None:
            self.first = first_of(critics)
        if self.asked == 1 and posterior is not None:
            self.of_mean = is_mean(pi, posterior)
        if self.asked == 2 * FIRST_CHECK and not self.updates:
            self.say("update", self.no_update())

    def no_update(self) -> str:
        """Returns the warning about a loop without updates."""
        return (
            f"{self.asked} penalties and no update: λ and the averages do not move. Call "
            "constraint.update(penalty) after each step of the optimizer"
        )

    def with_loop(self, faults: dict[str, str]) -> dict[str, str]:
        """Returns faults of the state with those of the loop that the last check found."""
        found = faults | self.of_loop
        if self.asked >= 2 * FIRST_CHECK and not self.updates:
            found["update"] = self.no_update()
        if "critics" in found:
            # Critics that do not learn cannot diverge.
            found.pop("shadow", None)
        return found

    @unserializable_hook  # type: ignore[untyped-decorator]
    def on_backward(self, _: Tensor) -> None:
        """Notes that the loss of a call has been differentiated."""
        self.used = True

    @unserializable_hook  # type: ignore[untyped-decorator]
    def on_backward_in_evaluation(self, _: Tensor) -> None:
        """Counts a step that is taken in evaluation mode."""
        self.asked += 1
        self.reached = self.used = True
        if self.asked == 2 * FIRST_CHECK and not self.updates:
            self.say("update", self.no_update())

    def on_update(
        self, critics: nn.Module, loss: Tensor, faults: Callable[[], dict[str, str]]
    ) -> None:
        """Counts an update, and checks the state at a few of them.

        Arguments:
            critics: The critics.
            loss: The loss of the encoders in the penalty of the update.
            faults: Returns warnings about the state by short names. It waits for the device.
        """
        if torch.compiler.is_compiling():
            return
        self.updates += 1
        if self.first is None:
            # Calls in compiled code, or in evaluation mode, have not noted it.
            self.first = first_of(critics)
        times, rest = divmod(self.updates, FIRST_CHECK)
        # Powers of two, and three times these: few syncs.
        if rest or times // (times & -times) > 3:
            return
        found, parameter = faults(), first_of(critics)
        self.of_loop = self.of_gradients(loss)
        still = (
            self.first is not None
            and parameter is not None
            and torch.equal(self.first.to(parameter), parameter)
        )
        if parameter is not None and not parameter.isfinite().all():
            self.of_loop["finite"] = (
                "the critics are no longer finite, and stay so: a code or a gradient was NaN or "
                "infinite. Load an earlier state, and limit codes and log-variances"
            )
        # Without negatives the critics cannot learn, so only that is reported.
        if still and "negatives" not in found:
            self.of_loop["critics"] = (
                "the critics have not learnt since the first step, so their estimates mean "
                "nothing. Add penalty.critic_loss to the loss, and constraint.parameters() to "
                "the optimizer. Under torch.utils.checkpoint, a critic needs use_reentrant=False"
            )
        if self.of_mean:
            self.of_loop["mean"] = (
                "pi is the mean of the posterior, so the KL does not limit what it reveals: pass a "
                "sample, posterior.rsample(), to the constraint and to the task"
            )
        for name, text in self.with_loop(found).items():
            self.say(name, text)

    def of_gradients(self, loss: Tensor) -> dict[str, str]:
        """Returns a warning if no gradient of a penalty has reached an encoder."""
        text, effect = "", "no penalty has changed an encoder"
        # Compiled calls are not counted, but their penalties have gradients.
        if self.silent and not self.asked and not loss.requires_grad:
            text = "it was called without gradients: call it outside of torch.no_grad()"
        elif self.asked and not self.reached:
            text = "pi has no gradients: draw it with rsample(), and do not detach it"
            if loss.requires_grad:
                effect = "no estimate has changed an encoder, and the KL alone empties the code"
        elif self.asked and not self.used:
            text = "penalty.loss was never differentiated: add penalty.loss to the loss"
        return {"gradients": f"{effect}, since {text}"} if text else {}


def first_of(critics: nn.Module) -> Tensor | None:
    """Returns a copy of the first parameter of the critics that is trained, if any."""
    trained = (parameter for parameter in critics.parameters() if parameter.requires_grad)
    parameter = next(trained, None)
    return None if parameter is None else parameter.detach().clone()


def is_mean(pi: Tensor, posterior: Distribution) -> bool:
    """Returns whether a code is the memory of the mean of its posterior. Compares no values."""
    try:
        mean = posterior.mean
    except NotImplementedError:
        return False
    # Tensors of torch.func have no memory of their own.
    if is_transformed(pi) or is_transformed(mean):
        return False
    return pi.data_ptr() == mean.data_ptr() != 0


def stack_level() -> int:
    """Returns the `stacklevel` of the first caller outside of this package and torch."""
    here = os.path.dirname(os.path.dirname(__file__))
    own = here + os.sep, os.path.dirname(torch.__file__) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(own):
        level, frame = level + 1, frame.f_back
    return level
