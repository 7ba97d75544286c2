"""Processes that start fast: forked from a server that has torch loaded and has never computed with it."""

import contextlib
import multiprocessing
import os
import queue
import socket
import sys
import time
from multiprocessing.forkserver import ensure_running

PRELOADED = ["torch", "torch._dynamo", "torch.distributed", "mireg", "train"]


def context():
    """Gives the context whose processes are forked from the server."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    before = os.environ.get("PYTHONPATH")
    # The server looks for what to preload on its own path, which is not that of pytest.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return made


def _enter(rank, ranks, address, results, function, arguments):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=ranks)
    try:
        results.put((rank, function(rank, *arguments)))
    finally:
        dist.destroy_process_group()


def on_ranks(ranks, folder, function, *arguments):
    """Gives what a function of the rank returns on each rank of a gloo group: lists and numbers, no tensors."""
    made = context()
    results = made.Queue()
    address = f"file://{folder / 'store'}"
    processes = [
        made.Process(target=_enter, args=(r, ranks, address, results, function, arguments))
        for r in range(ranks)
    ]
    for process in processes:
        process.start()
    collected = {}
    deadline = time.monotonic() + 400
    while len(collected) < ranks:
        # A rank that failed has said why: the others would wait for it.
        failed = [p.exitcode for p in processes if p.exitcode]
        if failed or time.monotonic() > deadline:
            for process in processes:
                process.kill()
            raise RuntimeError(f"the ranks ended with {failed or 'nothing, in time'}")
        with contextlib.suppress(queue.Empty):
            collected.update([results.get(timeout=0.2)])
    for process in processes:
        process.join(timeout=60)
    return [collected[rank] for rank in range(ranks)]


def free_port():
    """Gives a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_launched(rank, port):
    """Does what torchrun does before it starts a program, as one of two ranks."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
