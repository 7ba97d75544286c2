"""A memory of recent codes, from which critics learn in addition to the batch."""

__all__ = ["Memory"]

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import Self

from .pairs import GOLDEN


class Remembered(NamedTuple):
    """Rows of a memory."""

    pi: Tensor
    r"""The codes :math:`\pi`, with shape :math:`(K, *)`."""
    alpha: Tensor
    r"""The codes :math:`\alpha`, with shape :math:`(K, *)`, or labels, with shape :math:`(K,)`."""
    groups: Tensor
    """The identities, with shape :math:`(K,)`."""
    written: Tensor
    """Whether a row has been written, with shape :math:`(K,)`."""
    given: Tensor | None = None
    """The condition y, with shape :math:`(K, *)`; `None` without a condition."""


class Memory(nn.Module):
    r"""Creates a ring buffer of the newest codes.

    A critic overfits and underestimates the information if it sees only a few dozen fresh pairs per
    step, or the same few hundred repeatedly. Codes change slowly compared with what critics have to
    learn: codes from hundreds of steps ago still show what the newest reveal.

    Arguments:
        pi_shape: The shape of a code :math:`\pi`.
        alpha_shape: The shape of a code :math:`\alpha`, `()` for a label.
        capacity: The number of codes. Large codes reduce it to at most :attr:`NUMBERS` numbers in
            all.
        given_shape: The shape of the condition y, `()` for a label; `None` without a condition.

    Example:
        >>> memory = Memory((2,), (3,), capacity=4)
        >>> codes = {"pi": torch.ones(2, 2), "alpha": torch.ones(2, 3)}
        >>> memory.remember({**codes, "groups": torch.tensor([7, 8])})
        >>> memory.recall(2, 0, 0).groups
        tensor([7, 8])
    """

    NUMBERS = 2_000_000
    """The largest number of values that a memory holds."""

    pi: Tensor
    alpha: Tensor
    groups: Tensor
    count: Tensor
    seal: Tensor

    def __init__(
        self,
        pi_shape: tuple[int, ...],
        alpha_shape: tuple[int, ...],
        capacity: int = 8192,
        given_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()

        shapes = {"pi": pi_shape, "alpha": alpha_shape}
        if given_shape is not None:
            shapes["given"] = given_shape
        capacity = min(capacity, self.NUMBERS // sum(map(math.prod, shapes.values())))
        for name, shape in shapes.items():
            held = torch.zeros(capacity, *shape)
            self.register_buffer(name, held if shape else held.long())
        self.register_buffer("groups", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seal", torch.zeros((), dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Codes are kept as they are: an income is infinite in half precision.
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, x in self.named_buffers():
            if x.dtype in (torch.float16, torch.bfloat16):
                source = x if before[name].is_meta else before[name]
                setattr(self, name, source.to(x.device, torch.float32))
        return self

    @property
    def capacity(self) -> int:
        """The number of codes that the memory holds."""
        return len(self.pi)

    def whole(self) -> Tensor:
        """Returns whether the rows are codes, which an average of memories does not contain."""
        return sealed(self.count) == self.seal

    def recall(self, newest: int, blocks: int, size: int) -> Remembered:
        """Returns the newest rows, and blocks of consecutive older rows.

        Pairs are formed within a block. Between blocks the encoders have changed, which a critic
        would mistake for dependence.

        Arguments:
            newest: The number of newest rows.
            blocks: The number of blocks, spread evenly over the memory, and different after each
                :meth:`remember`.
            size: The number of rows in a block.
        """
        place = torch.arange(blocks, device=self.count.device)
        filled = torch.where(self.whole(), self.count.clamp(max=self.capacity), 0)
        # Regular phases would move with the codes at some batch sizes, and recall one block in
        # many consecutive steps.
        phase = scattered(self.count + place)
        age = size + ((place + phase) / max(blocks, 1) * (filled - size).clamp(min=0)).long()
        row = torch.arange(size, device=self.count.device) - age[:, None]
        latest = torch.arange(newest, device=self.count.device) - newest
        row = self.count + torch.cat((latest, row.flatten()))
        index = row % self.capacity
        given = getattr(self, "given", None)
        return Remembered(
            self.pi[index],
            self.alpha[index],
            self.groups[index],
            row >= self.count - filled,
            None if given is None else given[index],
        )

    @torch.no_grad()
    def remember(self, codes: Mapping[str, Tensor], accepted: Tensor | bool = True) -> None:
        """Overwrites the oldest codes with `pi`, `alpha`, `groups` and `given`, if `accepted`."""
        newest = {name: x[-self.capacity :] for name, x in codes.items()}
        n, kept = len(codes["pi"]), len(newest["pi"])
        self.count.mul_(self.whole())
        index = self.count + torch.arange(n - kept, n, device=self.count.device)
        index = index % self.capacity
        for name, x in newest.items():
            held: Tensor = getattr(self, name)
            taken = x.to(held.dtype)
            if accepted is not True:
                keep = torch.as_tensor(accepted, device=held.device)
                taken = torch.where(keep, taken, held[index])
            held.index_copy_(0, index, taken)
        self.count.add_(n * torch.as_tensor(accepted, device=self.count.device))
        self.seal.copy_(sealed(self.count))

    def extra_repr(self) -> str:
        return f"capacity={self.capacity}"


def scattered(x: Tensor) -> Tensor:
    """Returns numbers in [0, 1) for integers. Close integers have unrelated numbers."""
    for _ in range(2):
        x = x % 2**32
        # High bits change the low ones, and a product with any large odd number the high ones.
        x = (x ^ x >> 16) * 0x45D9F3B
    return x % 2**32 // 2**8 / 2**24


def sealed(count: Tensor) -> Tensor:
    """Returns a checksum of a count, a scalar. Averages of counts and checksums do not match."""
    rest = count % 65521
    return rest * rest * GOLDEN % 65521
