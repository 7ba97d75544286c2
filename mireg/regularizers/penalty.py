r"""What a regularizer returns for a step, and the checks of what its update is given."""

__all__ = ["Penalty", "check_held_out", "check_parts", "informed"]

from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from ..weights import FixedMultiplier, Multiplier
from .metrics import Metrics


class Penalty(NamedTuple):
    """The losses and metrics of a regularizer for one step.

    Example:
        >>> pi, alpha = torch.randn(8, 2), torch.randn(8, 3)
        >>> penalty = mireg.ClassifierMI(2, 3)(pi, alpha)
        >>> penalty.loss.shape, penalty.metrics["multiplier"]
        (torch.Size([]), tensor(1.))
    """

    loss: Tensor
    """The loss of encoders and learnable priors, a scalar. No critic gets gradients from it."""
    critic_loss: Tensor
    """The loss of the critics, a scalar. No encoder gets gradients from it."""
    metrics: Metrics
    """Detached scalars by name, such as `mi`, `mi_shadow`, `kl`, `gamma` and `multiplier`."""
    parts: tuple["Penalty", ...] = ()
    """The penalties of the parts of a composed regularizer."""
    observed: Mapping[str, Tensor] = {}
    """Further detached tensors by which :meth:`Regularizer.update` moves averages."""
    codes: Mapping[str, Tensor] = {}
    """The codes to store in the memory, detached."""

    def __radd__(self, other: object) -> NoReturn:
        raise TypeError(
            "a penalty holds two losses: add penalty.loss and penalty.critic_loss to the loss of "
            "the task, not the penalty"
        )

    @classmethod
    def mean(cls, penalties: Sequence["Penalty"]) -> "Penalty":
        """Returns the mean of the penalties of several micro-batches, for one update.

        Arguments:
            penalties: The penalties of one regularizer, for micro-batches of equal size.

        Raises:
            ValueError: If `penalties` is empty, or their metrics differ.

        Example:
            >>> zero = torch.tensor(0.0)
            >>> parts = [Penalty(zero, zero, {"mi": torch.tensor(x)}) for x in (1.0, 2.0)]
            >>> Penalty.mean(parts).metrics
            {'mi': tensor(1.5000)}
        """
        if not penalties:
            raise ValueError("the mean needs at least one penalty, got none")
        first = penalties[0]
        if any(p.metrics.keys() != first.metrics.keys() for p in penalties):
            raise ValueError("the penalties must come from one regularizer, got different metrics")

        def average(values: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(values)).mean(0)

        # A micro-batch without a known label has no estimate.
        known = [p.observed.get("known", torch.ones_like(p.loss)) for p in penalties]
        counted = torch.stack(known).detach() > 0
        counted = counted | ~counted.any()

        def average_of_known(name: str, values: Sequence[Tensor]) -> Tensor:
            if name == "kl":
                return average(values)
            both = torch.stack(list(values))
            kept = counted.view(-1, *[1] * (both.ndim - 1))
            return torch.where(kept, both, 0).sum(0) / counted.sum()

        parts = zip(*(p.parts for p in penalties), strict=True)
        return cls(
            average([p.loss for p in penalties]),
            average([p.critic_loss for p in penalties]),
            {x: average_of_known(x, [p.metrics[x] for p in penalties]) for x in first.metrics},
            tuple(cls.mean(part) for part in parts),
            {x: average_of_known(x, [p.observed[x] for p in penalties]) for x in first.observed},
            {name: torch.cat([p.codes[name] for p in penalties]) for name in first.codes},
        )


def check_parts(
    regularizer: nn.Module, penalty: Penalty, count: int, *names: str, only: bool = False
) -> None:
    """Raises if a penalty does not have `count` parts and these metrics (`only`: and no others)."""
    own = isinstance(penalty, Penalty) and len(penalty.parts) == count
    own = own and not (only and penalty.metrics.keys() - {*names})
    if not own or any(name not in penalty.metrics for name in names):
        given = type(penalty).__name__
        if isinstance(penalty, Penalty):
            given = f"one with {len(penalty.parts)} parts and the metrics {sorted(penalty.metrics)}"
        part = {Tensor: "loss", dict: "metrics"}.get(type(penalty))
        fix = f": pass the penalty itself, not its {part}" if part else ""
        raise ValueError(
            f"update of {type(regularizer).__name__} takes the penalty that it returned for this "
            f"step, got {given}{fix}"
        )


def check_held_out(
    regularizer: nn.Module, penalty: Penalty, held_out: Penalty, multiplier: nn.Module, name: str
) -> None:
    """Raises if a penalty is not one of held-out codes, or if the multiplier ignores it."""
    check_parts(regularizer, held_out, 0, name)
    if held_out is penalty:
        raise ValueError(
            "held_out must be the penalty of samples that no encoder is trained on, got the "
            "penalty of this step"
        )
    if isinstance(multiplier, Multiplier | FixedMultiplier):
        raise TypeError(
            f"held_out needs a multiplier that follows it, mireg.weights.LogMultiplier(), got "
            f"{type(multiplier).__name__}, which ignores it"
        )


def informed(penalty: Penalty) -> Tensor:
    """Returns whether a sample took part in the estimates. Without known labels none does."""
    known = penalty.observed.get("known")
    return torch.ones_like(penalty.loss, dtype=torch.bool) if known is None else known > 0
