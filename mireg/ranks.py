r"""Agreement between the ranks of a process group. Nothing here has an effect in a single process.

The loss of eq. (22) is not linear in :math:`I_T`. Each rank must therefore apply it to the estimate
of the whole batch, and move the weights by that estimate. Each rank uses the mean estimate over
ranks with the gradient of its own. If gradients are averaged over ranks, as by DDP, the result is
the gradient of the joint batch, for ranks of equal batch sizes.

.. code-block:: python

    constraint = mireg.RobustMIConstraint(32, 64, ranks=mireg.Ranks(gather=True))
    mireg.ranks.broadcast(constraint)                  # once: all ranks start with equal weights
    encoders, decoder = DDP(encoders), DDP(decoder)    # the constraint stays outside

    for x1, x2 in loader:                              # with a DistributedSampler, drop_last=True
        pi, alpha, posterior = encoders(x2, x1)
        penalty = constraint(pi, alpha, posterior)     # estimates are those of all ranks
        optimizer.zero_grad()
        (reconstruction(decoder(pi, alpha), x2) + penalty.loss + penalty.critic_loss).backward()
        mireg.ranks.average_gradients(constraint.parameters())   # DDP averages the others
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

    It has no effect in a single process. A deep copy refers to the same process group. `torch.save`
    does not store the group: a loaded object refers to the default group.

    Arguments:
        process_group: The process group; the default group if `None`.
        gather: Whether partners of marginal pairs come from all R ranks, so that each sample has R
            times as many. Codes of other ranks carry no gradients.

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
        """The number of ranks; 1 without a process group."""
        if not (dist.is_available() and dist.is_initialized()):
            return 1
        return dist.get_world_size(self.process_group)

    @property
    def index(self) -> int:
        """The index of this rank; 0 without a process group."""
        return dist.get_rank(self.process_group) if self.count > 1 else 0

    def average(self, x: Tensor) -> Tensor:
        """Returns the mean over ranks, with the gradient of this rank's own value.

        Arguments:
            x: A tensor of the same shape on every rank.

        Example:
            >>> mireg.Ranks().average(torch.tensor(2.0))
            tensor(2.)
        """
        count = self.count
        if count == 1:
            return x
        total = x.detach().clone()
        dist.all_reduce(total, group=self.process_group)
        # In this order, the value is exactly equal on all ranks.
        return total / count + (x - x.detach())

    def log_average(self, x: Tensor) -> Tensor:
        r"""Returns :math:`\log \mathbb{E} \exp x` over ranks, with the gradient of this rank.

        Arguments:
            x: A tensor of the same shape on every rank.
        """
        count = self.count
        if count == 1:
            return x
        total = _gather(x[None], self.process_group).logsumexp(0) - math.log(count)
        return total + (x.detach() - total).exp() * (x - x.detach())

    def collect(self, x: Tensor) -> Tensor:
        r"""Returns the rows of all ranks if `gather` is set, and `x` otherwise.

        Arguments:
            x: The rows of this rank, with shape :math:`(N, *)`.

        Returns:
            The rows, with shape :math:`(R N, *)` or :math:`(N, *)`. The rows of this rank keep
            their gradients.

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
        """Raises a `ValueError` on every rank if ranks gather different numbers of rows.

        Without it, a backend would abort.

        Arguments:
            x: The rows of this rank, with shape :math:`(N, *)`. Other checks handle other values.
        """
        if not isinstance(x, Tensor) or not x.ndim:
            return
        if self.gather and not torch.compiler.is_compiling():
            check_equal_sizes(x, self.process_group, "ranks that gather must have batches")

    def own_rows(self, n: int, device: torch.device) -> Tensor:
        """Returns the indices of this rank in the rows of :meth:`collect`, with shape (N,)."""
        start = self.index * n if self.gather else 0
        return torch.arange(start, start + n, device=device)

    def __repr__(self) -> str:
        return f"Ranks(gather={self.gather})"


def average_gradients(
    parameters: Iterable[nn.Parameter], group: Optional["ProcessGroup"] = None
) -> None:
    """Averages gradients over ranks, between the backward pass and the step of the optimizer.

    A missing gradient counts as 0 if another rank has one, and stays missing otherwise.

    Arguments:
        parameters: The parameters that DDP does not wrap, in the same order on every rank.
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
    # All ranks must send equally many numbers, whichever gradients they have, or a backend aborts.
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
    """Copies the parameters and buffers of one rank to all. Call it once, before training.

    Arguments:
        module: The module, with the same structure on every rank.
        source: The rank to copy from.
        group: The process group; the default group if `None`.

    Example:
        >>> mireg.ranks.broadcast(mireg.ClassifierMI(2, 3))
    """
    if Ranks(group).count > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, source, group=group)


def gather(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Returns the rows of all ranks, in the order of the ranks and without gradients.

    Arguments:
        x: The rows of this rank, with shape :math:`(N, *)`, and N equal on all ranks.
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
    """Raises on every rank if ranks have different numbers of rows."""
    if Ranks(group).count == 1:
        return
    sizes = _gather(torch.tensor([len(x)], device=x.device), group).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(f"{what} of equal size, got {sizes}: use drop_last=True in the loader")


def _gather(x: Tensor, group: Optional["ProcessGroup"]) -> Tensor:
    """Returns :func:`gather` without a check of sizes."""
    x = x.detach().contiguous()
    count = Ranks(group).count
    if count == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(count)]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts)


def generator_at(seed: int, step: int) -> Generator:
    """Returns a generator for a step, equal on every rank and after a restart.

    Arguments:
        seed: The seed of the run.
        step: The number of the step.

    Returns:
        A generator on the CPU.

    Example:
        >>> first, again = (mireg.ranks.generator_at(0, 5) for _ in range(2))
        >>> torch.rand(1, generator=first) == torch.rand(1, generator=again)
        tensor([True])
    """
    # Seeds that differ in few bits yield correlated first draws, so NumPy mixes them.
    mixed = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(mixed >> np.uint64(1)))
