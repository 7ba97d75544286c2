r"""Agreement between the ranks of a process group: all of it does nothing where there is only one.

The loss of eq. (22) is not linear in :math:`I_T`, so each rank must apply it to the estimate of the whole batch, and γ and λ must move by that estimate.
Here a rank's estimate takes the value of the mean over ranks and keeps its own gradient: averaging gradients over ranks, as DDP does, then gives the
gradient of the joined batch, for `mean_logit` and ranks of equal batch sizes. A mean over ranks of DV or SMILE is near that of the joined batch, and not equal.
"""

__all__ = ["average", "average_gradients", "broadcast"]

from collections.abc import Iterable
from typing import TYPE_CHECKING, Optional

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def ranks(group: Optional["ProcessGroup"] = None) -> int:
    """Gives the number of ranks, 1 without a process group."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def average(x: Tensor, group: Optional["ProcessGroup"] = None) -> Tensor:
    """Averages a value over ranks, and lets gradients through to this rank's own.

    Arguments:
        x: A tensor of the same shape on every rank.
        group: The process group; the default group if `None`.

    Returns:
        The mean over ranks, with the gradient of `x`.
    """
    count = ranks(group)
    if count == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total, group=group)
    # In this order the value is the mean to the last bit, the same on every rank.
    return total / count + (x - x.detach())


def average_gradients(
    parameters: Iterable[nn.Parameter], group: Optional["ProcessGroup"] = None
) -> None:
    """Averages gradients over ranks: call it between `critic_loss(…).backward()` and the step of the critics' optimizer.

    Arguments:
        parameters: The parameters, in the same order on every rank.
        group: The process group; the default group if `None`.
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
    """
    if ranks(group) > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, source, group=group)
