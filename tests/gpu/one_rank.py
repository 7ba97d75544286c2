"""Checks that a process group of one rank changes nothing: `python one_rank.py cuda`.

A process of its own, since a group that hangs must not take the other tests along.
"""

import gc
import sys
import tempfile

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from vector_steps import apart, make_batch, twins

import mireg


def main(device):
    backend = "nccl" if device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        where = {"device_id": torch.device("cuda", 0)} if device == "cuda" else {}
        dist.init_process_group(
            backend, init_method=f"file://{folder}/store", rank=0, world_size=1, **where
        )
        alone, wrapped = twins("robust", device, width=64)
        start = alone.weights()
        plain = wrapped.networks
        devices = [0] if device == "cuda" else None
        wrapped.networks = DistributedDataParallel(plain, device_ids=devices)
        mireg.ranks.broadcast(wrapped.regularizer)
        for seed in range(5):
            batch = make_batch(32, seed, device)
            for training in (alone, wrapped):
                training.step(batch)
        # The wrapper goes before the group: its reducer would call into what is gone.
        wrapped.networks = plain
        gc.collect()
        distance = apart(start, alone.weights(), wrapped.weights())
        dist.destroy_process_group()
    if not distance < 1e-2:
        sys.exit(f"the wrapped training ended {distance:.3g} of its way from the other")


if __name__ == "__main__":
    main(sys.argv[1])
