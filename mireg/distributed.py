r"""Agreement between the ranks of a process group: all of it does nothing where there is only one.

The loss of eq. (22) is not linear in :math:`I_T`, so each rank must apply it to the estimate of the whole batch, and γ and λ must move by that estimate.
Here a rank's estimate takes the value of the mean over ranks and keeps its own gradient: averaging gradients over ranks, as DDP does, then gives the
gradient of the joined batch, for ranks of equal batch sizes.

.. code-block:: python

    constraint = mireg.RobustMIConstraint(32, 64, gather=True)
    mireg.distributed.broadcast(constraint)                # once: all ranks start alike
    encoders, decoder = DDP(encoders), DDP(decoder)        # the constraint stays outside

    for step, (x1, x2) in enumerate(loader):               # a DistributedSampler with drop_last=True
        pi, alpha, posterior = encoders(x2, x1)
        shifts = mireg.distributed.generator_at(seed, step)

        critic_optimizer.zero_grad()
        constraint.critic_loss(pi, alpha, generator=shifts).backward()
        mireg.distributed.average_gradients(constraint.critic_parameters())
        critic_optimizer.step()

        penalty = constraint(pi, alpha, posterior, generator=shifts)   # the value is that of all ranks
        optimizer.zero_grad(); (reconstruction(decoder(pi, alpha), x2) + penalty.loss).backward()
        optimizer.step()                                   # DDP has averaged the gradients
        constraint.update(penalty)
"""

__all__ = ["broadcast", "average_gradients", "generator_at", "average", "gather", "ranks"]

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Optional

import numpy as np
import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Joined(NamedTuple):
    """The codes alpha of all ranks in their order, without gradients; or those of this rank, if it is alone."""

    alpha: Tensor
    """The codes, with shape :math:`(R N, *)`."""
    groups: Tensor | None
    """The identities, with shape :math:`(R N,)`."""
    own: slice
    """The rows of this rank."""
    ranks: int = 1
    """The number :math:`R` of ranks."""
    process_group: Optional["ProcessGroup"] = None
    """The ranks that they come from."""


def ranks(group: Optional["ProcessGroup"] = None) -> int:
    """Gives the number of ranks, 1 without a process group.

    Arguments:
        group: The process group; the default group if `None`.

    Example:
        >>> mireg.distributed.ranks()
        1
    """
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def average(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Averages a value over ranks, and lets gradients through to this rank's own.

    Arguments:
        x: A tensor of the same shape on every rank.
        group: The process group; the default group if `None`.

    Returns:
        The mean over ranks, with the gradient of `x`.

    Example:
        >>> mireg.distributed.average(torch.tensor(2.0))
        tensor(2.)
    """
    count = ranks(group)
    if count == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total, group=group)
    # In this order the value is the mean to the last bit, the same on every rank.
    return total / count + (x - x.detach())


def log_average(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    r"""Gives :math:`\log \mathbb{E} \exp x` over ranks, and lets this rank's share of the gradient through.

    Arguments:
        x: A scalar on every rank.
        group: The process group; the default group if `None`.

    Returns:
        The value of all ranks. The mean over ranks of the gradients that it sends is that of one process.
    """
    count = ranks(group)
    if count == 1:
        return x
    total = gather(x[None], group).logsumexp(0) - math.log(count)
    return total + (x.detach() - total).exp() * (x - x.detach())


def average_gradients(
    parameters: Iterable[nn.Parameter], group: Optional["ProcessGroup"] = None
) -> None:
    """Averages gradients over ranks: call it between `critic_loss(…).backward()` and the step of the critics' optimizer.

    Arguments:
        parameters: The parameters, in the same order on every rank.
        group: The process group; the default group if `None`.

    Example:
        >>> constraint = mireg.ClassifierMI(2, 3)
        >>> constraint.critic_loss(torch.randn(8, 2), torch.randn(8, 3)).backward()
        >>> mireg.distributed.average_gradients(constraint.critic_parameters())
    """
    count = ranks(group)
    if count == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat, group=group)
        parts = torch.split(flat / count, [g.numel() for g in gradients])
        for gradient, mean in zip(gradients, parts, strict=True):
            gradient.copy_(mean.view_as(gradient))


@torch.no_grad()
def broadcast(module: nn.Module, source: int = 0, group: Optional["ProcessGroup"] = None) -> None:
    """Gives every rank the parameters and buffers of one: call it once, after the constraint is made.

    Arguments:
        module: The module, of the same structure on every rank.
        source: The rank to copy from.
        group: The process group; the default group if `None`.

    Example:
        >>> mireg.distributed.broadcast(mireg.ClassifierMI(2, 3))
    """
    if ranks(group) > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, source, group=group)


def gather(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Collects the rows of all ranks, in the order of the ranks and without gradients.

    Arguments:
        x: The rows of this rank, with shape :math:`(N, *)`, as many on every rank.
        group: The process group; the default group if `None`.

    Returns:
        The rows of all :math:`R` ranks, with shape :math:`(R N, *)`.

    Example:
        >>> mireg.distributed.gather(torch.tensor([1, 2]))
        tensor([1, 2])
    """
    x = x.detach().contiguous()
    count = ranks(group)
    if count == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(count)]
    dist.all_gather(parts, x, group=group)
    return torch.cat(parts)


def join(
    alpha: Tensor, groups: Tensor | None = None, group: Optional["ProcessGroup"] = None
) -> Joined:
    """Collects codes and identities from all ranks, without gradients.

    Arguments:
        alpha: The codes of this rank, of the same shape on every rank.
        groups: The identities of this rank.
        group: The process group; the default group if `None`.
    """
    count, n = ranks(group), len(alpha)
    if count == 1:
        return Joined(alpha, groups, slice(0, n))
    start = dist.get_rank(group) * n
    everyone = None if groups is None else gather(groups, group)
    return Joined(gather(alpha, group), everyone, slice(start, start + n), count, group)


def agree(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Gives every rank the value of the first."""
    if ranks(group) > 1:
        source = 0 if group is None else dist.get_global_rank(group, 0)
        dist.broadcast(x, source, group=group)
    return x


def generator_at(seed: int, step: int) -> Generator:
    """Creates the generator of a step, the same on every rank and after every restart.

    Arguments:
        seed: The seed of the run.
        step: The number of the step.

    Returns:
        A generator on the CPU, which serves any device.

    Example:
        >>> first, again = (mireg.distributed.generator_at(0, 5) for _ in range(2))
        >>> torch.rand(1, generator=first) == torch.rand(1, generator=again)
        tensor([True])
    """
    # Seeds that differ in a few bits give correlated first draws: numpy's sequence mixes them.
    mixed = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(mixed >> np.uint64(1)))
