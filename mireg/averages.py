r"""State that moves in :meth:`update` alone, as modules with buffers, and moving averages.

A non-finite value moves nothing: one bad batch must not set a number to NaN for good.
"""

__all__ = ["Controller", "MovingAverage", "saved"]

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self


def saved(x: Tensor) -> Tensor:
    """Copies a vector for the backward pass, in reverse order.

    The backward pass of a compiled graph makes most copies again, and would find what an update in the same graph has
    written meanwhile. The result of `flip` is among those that it keeps.
    """
    return x.flip(0)


class Controller(nn.Module):
    """A module whose state stays in double precision when the model is cast.

    Steps of 1e-4 on a weight of 7 are lost in half precision.
    """

    state: Tensor
    possible: tuple[float, float] = (-math.inf, math.inf)
    """From where to where a state can be: what is loaded from another kind of weight may be outside."""

    def __init__(self, *initial: float) -> None:
        super().__init__()

        # A vector even for one number: compiled graphs of torch 2.13 lose what is written to scalars of float64.
        state = torch.tensor(initial, dtype=torch.float64)
        self.register_buffer("state", state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # The move itself is made in float32: MPS takes no double precision.
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
            # The last argument collects what is wrong, for one error.
            arguments[-1].append(
                f"{prefix}state must be from {low:g} to {high:g} for {type(self).__name__}, got {loaded.tolist()}: it is of another "
                "kind of weight, so make the regularizer with the parts that the state was saved with"
            )

    @property
    def value(self) -> Tensor:
        """The number that the state stands for, a scalar."""
        return self.state[0]

    def weight(self, dtype: torch.dtype) -> Tensor:
        """Returns the first number as it is now, a scalar for a loss that an update before its backward pass leaves alone."""
        return saved(self.state[:1])[0].to(dtype)

    def move(self, state: Tensor, accepted: Tensor | bool = True) -> None:
        """Takes a new state where it is finite and `accepted`."""
        taken = state.abs() < math.inf
        if accepted is not True:
            taken = taken & accepted
        self.state.copy_(torch.where(taken, state, self.state))

    def number(self) -> str:
        """Returns the value for people to read."""
        return "unknown" if self.state.is_meta else f"{self.value.item():.4g}"


class MovingAverage(Controller):
    r"""Creates an exponential moving average with bias correction.

    .. math:: m \leftarrow \beta m + (1 - \beta) x, \qquad w \leftarrow \beta w + (1 - \beta), \qquad \bar{x} = m / w

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
        """The average, 0 before the first update."""
        mean, weight = self.state.unbind()
        return mean / weight.clamp(min=torch.finfo(weight.dtype).tiny)

    def weight(self, dtype: torch.dtype) -> Tensor:
        weight, mean = saved(self.state).to(dtype).unbind()
        return mean / weight.clamp(min=torch.finfo(dtype).tiny)

    @torch.no_grad()
    def update(self, x: Tensor, accepted: Tensor | bool = True) -> None:
        """Takes one more value, a scalar, where it is finite and `accepted`."""
        # The one is NaN where the value is not finite: neither number moves then.
        seen = torch.stack((x, 0 * x + 1)).to(self.state.dtype)
        self.move(self.state.lerp(seen, 1 - self.decay), accepted)

    def extra_repr(self) -> str:
        return f"decay={self.decay}, value={self.number()}"
