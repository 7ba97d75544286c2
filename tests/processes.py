"""Processes of tests: each has a time limit, and one that is late is ended and says what it printed until then.

Ranks are forked from a server that has torch loaded and has never computed with it, which is fast. Programs start as a user starts them.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.forkserver import ensure_running
from pathlib import Path

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


def say_into(path):
    """Lets all that this process prints go into a file, what C++ prints too."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def gloo_threads():
    """Returns the names of the threads that gloo runs in this process; none where the system does not tell."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def watch_groups():
    """Lets `destroy_process_group` raise an error in this process if a group of gloo outlives it.

    What ends the group later does so with the GIL held, and may wait forever for a thread that waits for the GIL.
    """
    import torch.distributed as dist

    destroy = dist.destroy_process_group

    def checked(*arguments):
        destroy(*arguments)
        deadline = time.monotonic() + 5
        while gloo_threads():
            if time.monotonic() > deadline:
                raise AssertionError(f"a group outlives destroy_process_group: {gloo_threads()}")
            time.sleep(0.01)

    dist.destroy_process_group = checked


def _enter(rank, ranks, folder, results, ends, function, arguments):
    import torch
    import torch.distributed as dist
    from pose_appearance.training.ranks import leave_ranks

    say_into(folder / f"said_{rank}")
    if ends:
        watch_groups()
    torch.set_num_threads(1)
    address = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=ranks)
    try:
        result = function(rank, *arguments)
    finally:
        leave_ranks()
    results.put((rank, result))


def on_ranks(ranks, folder, function, *arguments, ends=True):
    """Runs a function of the rank on each rank of a gloo group, in processes of their own.

    Arguments:
        ranks: The number of ranks.
        folder: Where they meet, and where what they print goes.
        function: What a rank does, given its number and the arguments.
        arguments: The arguments that follow the rank.
        ends: Whether the group must have ended after `destroy_process_group`.

    Returns:
        What each rank has returned: lists and numbers, no tensors.
    """
    made = context()
    results = made.Queue()
    processes = [
        made.Process(target=_enter, args=(r, ranks, folder, results, ends, function, arguments))
        for r in range(ranks)
    ]
    said = [folder / f"said_{rank}" for rank in range(ranks)]
    for process in processes:
        process.start()
    collected = {}
    deadline = time.monotonic() + 300
    while len(collected) < ranks:
        # A rank that failed has said why: the others would wait for it.
        failed = [p.exitcode for p in processes if p.exitcode]
        if failed or time.monotonic() > deadline:
            end_all()
            how = f"ended with {failed}" if failed else "had no result after 300 s"
            raise RuntimeError(f"the ranks {how}{_printed(said)}")
        with contextlib.suppress(queue.Empty):
            collected.update([results.get(timeout=0.2)])
    join(processes, said, 60)
    return [collected[rank] for rank in range(ranks)]


def join(processes, said, timeout):
    """Waits for forked processes, and raises an error where one is late.

    Arguments:
        processes: What has been started.
        said: The files that they print into.
        timeout: How many seconds all may take together.
    """
    deadline = time.monotonic() + timeout
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
    if None in (codes := [process.exitcode for process in processes]):
        end_all()
        raise AssertionError(f"exit codes {codes} after {timeout} s{_printed(said)}")


def _printed(said):
    return "".join(f"\n--- {p.name}:\n{p.read_text()}" for p in said if p.exists())


_programs = {}


def start(*command, **options):
    """Starts a program whose output goes into files. End it by :func:`finish`.

    Arguments:
        command: The program and its arguments.
        options: Options of `subprocess.Popen`.
    """
    files = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(2)]  # noqa: SIM115
    program = subprocess.Popen(
        [str(part) for part in command],
        stdout=files[0],
        stderr=files[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        **options,
    )
    _programs[program] = files
    return program


def finish(program, timeout=120, code=0):
    """Waits for a program, and raises an error where it is late or has another exit code.

    Returns:
        What it printed, and what it printed as errors.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(timeout)
    ended = program.poll()
    out, err = _end(program)
    if ended != code:
        how = f"had not ended after {timeout} s" if ended is None else f"ended with {ended}"
        raise AssertionError(f"{program.args} {how}\n--- stdout:\n{out}\n--- stderr:\n{err}")
    return out, err


def run(*command, timeout=120, code=0, **options):
    """Runs a program from beginning to end: :func:`start` and :func:`finish`."""
    return finish(start(*command, **options), timeout, code)


def _end(program):
    """Ends a program if it still runs, and returns what it printed."""
    if program.poll() is None:
        # torchrun ends its ranks, which have sessions of their own, within 30 seconds.
        program.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(40)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    said = []
    for file in _programs.pop(program):
        file.seek(0)
        said.append(file.read())
        file.close()
    return said


def end_all():
    """Ends what a test has left running."""
    for process in multiprocessing.active_children():
        process.kill()
        process.join()
    for program in list(_programs):
        _end(program)


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
