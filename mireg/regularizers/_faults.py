"""Warnings about what critics have seen of late: batches, labels and remembered codes."""

__all__ = ["faults_of"]

from typing import cast

import torch.nn.functional as F

from .._numerics import label_entropy
from ..scaling import Standardization
from ._correlations import MULTIPLIED, correlations
from ._critics import Critics

ENOUGH = 2.0
"""How many ε codes may share without a warning."""


def faults_of(critics: Critics, epsilon: float, estimate: float | None = None) -> dict[str, str]:
    """Returns warnings about recent batches and codes by short names. Waits for the device.

    Arguments:
        critics: The critics.
        epsilon: The target in nats.
        estimate: What they estimate in nats, to be compared with correlations of the codes. By
            default these are not computed.
    """
    found = {}
    if critics.empty.value > 0.99:
        found["negatives"] = (
            "the batches leave no negatives, so that the critics learn nothing: use batches of "
            "several groups, and of several samples whose labels are known (0 or above)"
        )
    if critics.alike.value > 0.9:
        found["labels"] = (
            "the labels of nearly every batch are all alike, so that the critics learn "
            "almost nothing: shuffle the data, or use larger batches if a label is rare"
        )
    if "alpha" in critics.scales and cast(Standardization, critics.scales["alpha"]).constant():
        found["alpha"] = "alpha is constant, so that pi cannot reveal it: check its encoder"
    return found | of_memory(critics, epsilon, estimate)


def of_memory(critics: Critics, epsilon: float, estimate: float | None) -> dict[str, str]:
    """Returns warnings about remembered labels and codes by short names."""
    compared = estimate is not None and estimate <= ENOUGH * epsilon and critics.given is None
    if critics.memory is None or not (compared or critics.classes):
        return {}
    found = {}
    held = critics.memory.recall(critics.memory.capacity, 0, 0)
    known = held.written if critics.classes is None else held.written & (held.alpha >= 0)
    alpha = held.alpha[known].cpu()
    if critics.classes is not None:
        entropy = label_entropy(alpha)
        if 0 < entropy <= epsilon:
            found["epsilon"] = (
                f"epsilon={epsilon:g} is not below {entropy:.3g} nats, the entropy of the last "
                f"{len(alpha):,} labels: every code meets this target, so choose a smaller one"
            )
        alpha = F.one_hot(alpha, critics.classes)
    if not compared:
        return found
    multiplied = MULTIPLIED if critics.classes is None else 0
    shared = correlations(held.pi[known].cpu(), alpha, held.groups[known].cpu(), multiplied)
    if shared is not None and shared.lowest > ENOUGH * epsilon:
        found["missed"] = (
            f"correlations of the last {len(alpha):,} codes amount to {shared.nats:.3g} nats "
            f"(standard error {shared.error:.2g}), and the critics estimate {estimate:.3g}: they "
            "miss what the codes share. Audit new samples before you believe mi_average, and use "
            "codes of fewer features"
        )
    return found
