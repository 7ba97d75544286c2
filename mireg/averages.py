r"""Moving averages and other state that only :meth:`update` changes, as modules with buffers.

Non-finite values are ignored: one bad batch must not turn the state into NaN permanently.
"""

__all__ = ["Controller", "MovingAverage", "saved"]

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self


def saved(x: Tensor) -> Tensor:
    """Returns a reversed copy of a vector that the backward pass of a compiled graph keeps.

    That pass recomputes other copies, and would read what an update in the same graph has written
    since. It does not recompute `flip`.
    """
    return x.flip(0)


class Controller(nn.Module):
    """Creates a module whose state stays in double precision if the model is cast.

    In half precision, steps of 1e-4 on a weight of 7 would be lost.

    Example:
        >>> weight = Controller(7.0).half()
        >>> weight.move(weight.state + 1e-4)
        >>> weight.value
        tensor(7.0001, dtype=torch.float64)
    """

    state: Tensor
    possible: tuple[float, float] = (-math.inf, math.inf)
    """The range of valid states. That of another kind of weight may be outside."""

    def __init__(self, *initial: float) -> None:
        super().__init__()

        # A vector even for one number: compiled graphs of torch 2.13 lose writes to float64
        # scalars.
        state = torch.tensor(initial, dtype=torch.float64)
        self.register_buffer("state", state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # The state is moved in float32, since MPS has no double precision.
        before = self.state
        self.state = before.float()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        dtype = torch.float32 if self.state.device.type == "mps" else torch.float64
        source = self.state if before.is_meta else before
        shared = self.state.device.type == "cpu" and self.state.is_shared()
        self.state = source.to(dtype).to(self.state.device)
        if shared:
            self.state.share_memory_()
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        loaded, (low, high) = state_dict.get(f"{prefix}state"), self.possible
        if not isinstance(loaded, Tensor) or loaded.is_meta or loaded.shape != self.state.shape:
            return
        if bool(((loaded < low) | (loaded > high)).any()):
            # The last argument collects the texts of one error.
            arguments[-1].append(
                f"{prefix}state must be from {low:g} to {high:g} for {type(self).__name__}, got "
                f"{loaded.tolist()}: it belongs to another kind of weight, so create the "
                "regularizer with the parts it was saved with"
            )

    @property
    def value(self) -> Tensor:
        """The number that the state represents, a scalar."""
        return self.state[0]

    def weight(self, dtype: torch.dtype) -> Tensor:
        """Returns the number as a scalar that no update before the backward pass can change."""
        return saved(self.state[:1])[0].to(dtype)

    def move(self, state: Tensor, accepted: Tensor | bool = True) -> None:
        """Sets the state to a new one if that is finite and `accepted`."""
        taken = state.abs() < math.inf
        if accepted is not True:
            taken = taken & accepted
        self.state.copy_(torch.where(taken, state, self.state))

    def number(self) -> str:
        """Returns the value as text."""
        return "unknown" if self.state.is_meta else f"{self.value.item():.4g}"


class MovingAverage(Controller):
    r"""Creates an exponential moving average with bias correction.

    .. math:: & m \leftarrow \beta m + (1 - \beta) x, \\
        & w \leftarrow \beta w + (1 - \beta), \\
        & \bar{x} = m / w

    Arguments:
        decay: The decay :math:`\beta`; 0.99 averages about 200 batches.

    Raises:
        ValueError: If the decay is not in [0, 1).

    Example:
        >>> average = MovingAverage(0.9)
        >>> average.update(torch.tensor(2.0))
        >>> average.value
        tensor(2., dtype=torch.float64)
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__(0.0, 0.0)

        if not 0 <= decay < 1:
            raise ValueError(f"the decay of a moving average must be in [0, 1), got {decay}")
        self.decay = decay

    @property
    def value(self) -> Tensor:
        """The average; 0 before the first update."""
        mean, weight = self.state.unbind()
        return mean / weight.clamp(min=torch.finfo(weight.dtype).tiny)

    def weight(self, dtype: torch.dtype) -> Tensor:
        weight, mean = saved(self.state).to(dtype).unbind()
        return mean / weight.clamp(min=torch.finfo(dtype).tiny)

    def started(self) -> Tensor:
        """Returns whether a value has been added, a scalar."""
        return saved(self.state)[0] > 0

    def weight_or(self, other: Tensor) -> Tensor:
        """Returns the average, or another scalar before the first update."""
        return torch.where(self.started(), self.weight(other.dtype), other)

    @torch.no_grad()
    def update(self, x: Tensor, accepted: Tensor | bool = True) -> None:
        """Adds a value, a scalar, if it is finite and `accepted`."""
        # 0 * x + 1 is NaN if x is not finite, so that neither number changes.
        seen = torch.stack((x, 0 * x + 1)).to(self.state.dtype)
        self.move(self.state.lerp(seen, 1 - self.decay), accepted)

    def extra_repr(self) -> str:
        return f"decay={self.decay}, value={self.number()}"
