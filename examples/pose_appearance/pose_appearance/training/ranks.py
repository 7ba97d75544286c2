"""One run on many ranks, as `torchrun` starts them: who speaks, and what all must decide alike."""

__all__ = [
    "collect",
    "decide",
    "first_says",
    "is_first",
    "join_ranks",
    "leave_ranks",
    "lost_rank",
    "rank",
]

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def join_ranks(device: torch.device) -> torch.device:
    """Joins the ranks that `torchrun` has started; alone there is nothing to join.

    Returns:
        The device of this rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and dist.is_available():
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        # torch 2.13 never ends a group that is older than torch._dynamo, which optimizers load.
        importlib.import_module("torch._dynamo")
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave_ranks() -> None:
    """Leaves the other ranks, which may go on.

    No caller may still hold a DDP wrapper: it holds the group. Freed after the group is destroyed,
    it can wait forever, with the GIL, for a thread of gloo that waits for the GIL.
    """
    if dist.is_available() and dist.is_initialized():
        # An error on its way holds the locals of the functions that it has left.
        error = sys.exc_info()[1]
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        gc.collect()
        dist.destroy_process_group()


def rank() -> int:
    """Returns the number of this rank, 0 if it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first() -> bool:
    """Returns whether this rank is the one that speaks and writes."""
    return rank() == 0


def first_says(say: Callable[[], T]) -> T:
    """Returns on every rank what the first says; an `OSError` or `ValueError` that it meets is
    raised on all.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return say()
    answer: list[Any] = [None, None]
    if is_first():
        try:
            answer[0] = say()
        except (OSError, ValueError) as error:
            answer[1] = error
    dist.broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def collect(own: T) -> list[T]:
    """Returns on every rank what each of them has, in the order of the ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return parts


def decide(
    progress: float, save: bool, stop: bool, device: torch.device
) -> tuple[float, bool, bool]:
    """Makes the ranks of one mind.

    Arguments:
        progress: How much of the run is over: the clock of the first rank counts.
        save: Whether it is time for a checkpoint, likewise.
        stop: Whether this rank was told to stop: one is enough.
        device: Where the ranks exchange tensors.

    Returns:
        The three, the same on every rank.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return progress, save, stop
    dtype = torch.float32 if device.type == "mps" else torch.float64
    votes = [progress, float(save)] if is_first() else [-1.0, 0.0]
    tensor = torch.tensor([*votes, float(stop)], dtype=dtype, device=device)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    progress, *flags = tensor.tolist()
    return progress, bool(flags[0]), bool(flags[1])


def lost_rank(error: Exception) -> bool:
    """Returns whether an error says that another rank is gone."""
    if not (dist.is_available() and dist.is_initialized()):
        return False
    signs = ("gloo", "nccl", "connection", "timeout", "timed out")
    known = isinstance(error, dist.DistError)
    return known or any(sign in str(error).lower() for sign in signs)
