r"""The data that pass between codes and critics: batches, pairs and readings."""

__all__ = ["Batch", "Paired", "Reading", "accuracy", "said_of"]

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from .._numerics import mean
from ..estimators import Logits
from ..pairs import Pairs


class Reading(NamedTuple):
    """The output of critics for a batch, before they learn from it."""

    mi: Tensor
    """The estimate of the first critic in nats, with gradients for codes but not for the critic."""
    estimates: list[Tensor]
    """The estimates of all critics in nats, detached."""
    accuracies: list[Tensor]
    """The accuracy of each critic on joint and marginal pairs, detached; 0.5 is chance."""
    critic_loss: Tensor
    """The loss of all critics, a scalar."""
    observed: dict[str, Tensor]
    """The values by which :meth:`Critics.update` moves averages."""
    codes: dict[str, Tensor]
    """The codes that :meth:`Critics.update` stores in the memory."""


class Batch(NamedTuple):
    """Standardised codes: those of the step, followed by remembered ones."""

    pi: Tensor
    alpha: Tensor
    groups: Tensor | None
    counted: Tensor | None
    given: Tensor | None
    block: int
    """The number of rows in a block. Only codes of one block are paired."""

    def learnt(self, rows: int) -> "Batch":
        """Returns the first blocks with at least `rows` samples, or all blocks."""
        n = -(-rows // self.block) * self.block
        groups, counted, given = (None if x is None else x[:n] for x in self[2:5])
        return Batch(self.pi[:n], self.alpha[:n], groups, counted, given, self.block)


class Paired(NamedTuple):
    """The training data of a critic."""

    batch: Batch
    """The codes."""
    pool: Tensor
    """The partners."""
    pairs: Pairs
    """Which codes are paired."""
    loss: Tensor | None = None
    """The loss of the critic that weights the pairs, a scalar."""


def said_of(critic: Callable[..., Any], pi: Tensor, pool: Tensor, pairs: Pairs) -> Logits:
    """Returns the logits of a critic for pairs."""
    said = critic(pi, pool, pairs)
    known = isinstance(said, tuple) and len(said) == 2 and all(isinstance(x, Tensor) for x in said)
    columns = pairs.columns or len(pool)
    wanted = (len(pi), columns) if pairs.marginal is None else tuple(pairs.marginal.shape)
    if not known or said[0].shape != (len(pi),) or tuple(said[1].shape) != wanted:
        given = [tuple(x.shape) for x in said] if known else type(said).__name__
        raise ValueError(
            "a critic that gets pairs must return the logits of joint pairs, with shape "
            f"({len(pi)},), and of marginal pairs, with shape {wanted}, got {given}: define "
            "of_pi, of_alpha and compare, which sums over the last dimension, instead of forward"
        )
    return Logits(said[0], said[1], *pairs.weights)


def accuracy(logits: Logits) -> Tensor:
    """Returns the share of joint and of marginal pairs that are classified correctly, averaged."""
    joint = mean((logits.joint > 0).float(), logits.joint_weights)
    marginal = mean((logits.marginal < 0).float(), logits.marginal_weights)
    return 0.5 * (joint + marginal)
