r"""Agreement between the ranks of a process group. Nothing here has an effect if there is only one.

The loss of eq. (22) is not linear in :math:`I_T`, so each rank must apply it to the estimate of the whole batch, and the weights must move by that estimate.
Here a rank's estimate takes the value of the mean over ranks and keeps its own gradient. Averaging gradients over ranks, as DDP does, then gives the gradient
of the joined batch, for ranks of equal batch sizes.

.. code-block:: python

    constraint = mireg.RobustMIConstraint(32, 64, ranks=mireg.Ranks(gather=True))
    mireg.ranks.broadcast(constraint)                      # once: all ranks start alike
    encoders, decoder = DDP(encoders), DDP(decoder)        # the constraint stays outside

    for x1, x2 in loader:                                  # a DistributedSampler with drop_last=True
        pi, alpha, posterior = encoders(x2, x1)
        penalty = constraint(pi, alpha, posterior)         # the value is that of all ranks
        optimizer.zero_grad()
        (reconstruction(decoder(pi, alpha), x2) + penalty.loss + penalty.critic_loss).backward()
        mireg.ranks.average_gradients(constraint.parameters())   # DDP has averaged the others
        optimizer.step()
        constraint.update(penalty)
"""

__all__ = ["Ranks", "broadcast", "average_gradients", "gather", "generator_at"]

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Optional

import numpy as np
import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Ranks:
    r"""Creates the set of processes that share a batch.

    Alone, or without `torch.distributed`, it changes nothing. A copy of it, by `copy.deepcopy` too, refers to the same process group. `torch.save` does not keep
    the group: what is loaded refers to the default group.

    Arguments:
        process_group: The process group; the default group if `None`.
        gather: Whether the partners of marginal pairs come from all ranks. With R ranks each sample has R times as many. Codes of other ranks carry no
            gradients.

    Example:
        >>> constraint = mireg.RobustMIConstraint(32, 64, ranks=mireg.Ranks(gather=True))
    """

    def __init__(
        self, process_group: Optional["ProcessGroup"] = None, gather: bool = False
    ) -> None:
        self.process_group = process_group
        self.gather = gather

    def __deepcopy__(self, memo: dict[int, object]) -> "Ranks":
        return Ranks(self.process_group, self.gather)

    def __reduce__(self) -> tuple[type["Ranks"], tuple[None, bool]]:
        return Ranks, (None, self.gather)

    @property
    def count(self) -> int:
        """The number of ranks, 1 without a process group."""
        if not (dist.is_available() and dist.is_initialized()):
            return 1
        return dist.get_world_size(self.process_group)

    @property
    def index(self) -> int:
        """The place of this rank among them, 0 without a process group."""
        return dist.get_rank(self.process_group) if self.count > 1 else 0

    def average(self, x: Tensor) -> Tensor:
        """Averages a value over ranks. The gradient of this rank's own value passes.

        Arguments:
            x: A tensor of the same shape on every rank.

        Returns:
            The mean over ranks, with the gradient of `x`.

        Example:
            >>> mireg.Ranks().average(torch.tensor(2.0))
            tensor(2.)
        """
        count = self.count
        if count == 1:
            return x
        total = x.detach().clone()
        dist.all_reduce(total, group=self.process_group)
        # In this order the value is the mean to the last bit, the same on every rank.
        return total / count + (x - x.detach())

    def log_average(self, x: Tensor) -> Tensor:
        r"""Returns :math:`\log \mathbb{E} \exp x` over ranks. This rank's share of the gradient passes.

        Arguments:
            x: A tensor of the same shape on every rank.

        Returns:
            The value of all ranks. The mean over ranks of the gradients that it sends is that of one process.
        """
        count = self.count
        if count == 1:
            return x
        total = _gather(x[None], self.process_group).logsumexp(0) - math.log(count)
        return total + (x.detach() - total).exp() * (x - x.detach())

    def collect(self, x: Tensor) -> Tensor:
        r"""Returns the rows of all ranks if these are to be gathered, and `x` otherwise.

        Arguments:
            x: The rows of this rank, with shape :math:`(N, *)`.

        Returns:
            The rows, with shape :math:`(R N, *)` or :math:`(N, *)`. The rows of this rank keep their gradients.

        Raises:
            ValueError: If ranks have different numbers of rows.
        """
        if not self.gather or self.count == 1:
            return x
        self.check_size(x)
        rows = _gather(x, self.process_group)
        if not x.requires_grad:
            return rows
        start = self.index * len(x)
        return torch.cat((rows[:start], x, rows[start + len(x) :]))

    def check_size(self, x: Tensor) -> None:
        """Raises on every rank if these gather and have different numbers of rows: without it a backend would abort.

        Arguments:
            x: The rows of this rank, with shape :math:`(N, *)`. What has no rows is left to other checks.

        Raises:
            ValueError: If ranks have different numbers of rows.
        """
        if not isinstance(x, Tensor) or not x.ndim:
            return
        if self.gather and not torch.compiler.is_compiling():
            check_equal_sizes(x, self.process_group, "ranks that gather must have batches")

    def own_rows(self, n: int, device: torch.device) -> Tensor:
        """Returns the rows of this rank among those that :meth:`collect` returns, with shape :math:`(N,)`."""
        start = self.index * n if self.gather else 0
        return torch.arange(start, start + n, device=device)

    def __repr__(self) -> str:
        return f"Ranks(gather={self.gather})"


def average_gradients(
    parameters: Iterable[nn.Parameter], group: Optional["ProcessGroup"] = None
) -> None:
    """Averages gradients over ranks: call it between the backward pass and the step of the optimizer.

    A parameter that has a gradient on some ranks only counts as 0 on the others. One that has none on any rank gets none.

    Arguments:
        parameters: The parameters, in the same order on every rank. `DistributedDataParallel` does this for the parameters that it wraps.
        group: The process group; the default group if `None`.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3)
        >>> constraint.critic_loss(torch.randn(8, 2), torch.randn(8, 3)).backward()
        >>> mireg.ranks.average_gradients(constraint.parameters())
    """
    count = Ranks(group).count
    if count == 1:
        return
    trained = [p for p in parameters if p.requires_grad or p.grad is not None]
    if not trained:
        return
    # All ranks send as many numbers, whichever gradients each has: a backend would abort otherwise.
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    has_one = torch.tensor([float(p.grad is not None) for p in trained], device=trained[0].device)
    flat = torch.cat([*(g.flatten() for g in gradients), has_one])
    dist.all_reduce(flat, group=group)
    *means, found = torch.split(flat / count, [*(g.numel() for g in gradients), len(trained)])
    # Only a rank that lacks a gradient waits for the device.
    of_others = found.tolist() if any(p.grad is None for p in trained) else None
    for i, (p, gradient, mean) in enumerate(zip(trained, gradients, means, strict=True)):
        if p.grad is not None or (of_others is not None and of_others[i] > 0):
            p.grad = gradient.copy_(mean.view_as(gradient))


@torch.no_grad()
def broadcast(module: nn.Module, source: int = 0, group: Optional["ProcessGroup"] = None) -> None:
    """Gives every rank the parameters and buffers of one: call it once, after the constraint is made.

    Arguments:
        module: The module, of the same structure on every rank.
        source: The rank to copy from.
        group: The process group; the default group if `None`.

    Example:
        >>> mireg.ranks.broadcast(mireg.ClassifierMI(2, 3))
    """
    if Ranks(group).count > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, source, group=group)


def gather(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Collects the rows of all ranks, in the order of the ranks and without gradients.

    Arguments:
        x: The rows of this rank, with shape :math:`(N, *)`, as many on every rank.
        group: The process group; the default group if `None`.

    Returns:
        The rows of all :math:`R` ranks, with shape :math:`(R N, *)`.

    Raises:
        ValueError: If ranks have different numbers of rows.

    Example:
        >>> mireg.ranks.gather(torch.tensor([1, 2]))
        tensor([1, 2])
    """
    if not torch.compiler.is_compiling():
        check_equal_sizes(x, group, "ranks must gather tensors")
    return _gather(x, group)


def check_equal_sizes(x: Tensor, group: Optional["ProcessGroup"], what: str) -> None:
    """Raises on every rank if these have different numbers of rows."""
    if Ranks(group).count == 1:
        return
    sizes = _gather(torch.tensor([len(x)], device=x.device), group).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(f"{what} of equal size, got {sizes}: use drop_last=True in the loader")


def _gather(x: Tensor, group: Optional["ProcessGroup"]) -> Tensor:
    """Collects the rows of all ranks, which must have as many: :func:`gather` without a check."""
    x = x.detach().contiguous()
    count = Ranks(group).count
    if count == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(count)]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts)


def generator_at(seed: int, step: int) -> Generator:
    """Creates the generator of a step, the same on every rank and after every restart.

    Arguments:
        seed: The seed of the run.
        step: The number of the step.

    Returns:
        A generator on the CPU, which serves any device.

    Example:
        >>> first, again = (mireg.ranks.generator_at(0, 5) for _ in range(2))
        >>> torch.rand(1, generator=first) == torch.rand(1, generator=again)
        tensor([True])
    """
    # Seeds that differ in a few bits give correlated first draws: numpy's sequence mixes them.
    mixed = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(mixed >> np.uint64(1)))
