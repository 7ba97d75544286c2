"""Whether a rank on gloo ends when its work is done: `python tests/benchmarks/exits.py --out exits.json`.

Each program is started many times on two ranks, and every rank must end by itself, with the code that is expected. A rank is forked from this process, which has imported everything and computed nothing,
and ends as a program does: through the finalization of the interpreter. A program has hung if no rank has worked for the limit; waiting for a core counts as work, so that a busy machine counts no hangs.
Linux alone tells that. Accelerate and Lightning are left out where they are not installed.
"""

import argparse
import gc
import importlib.util
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "examples" / "pose_appearance")]

import processes
import runs
import test_many_ranks
import torch
import torch._dynamo
import torch.distributed as dist
import torch.distributed.checkpoint
import torch.distributed.fsdp
from pose_appearance.programs import evaluate, train
from pose_appearance.training.log import read_log
from pose_appearance.training.options import TrainOptions
from pose_appearance.training.ranks import join_ranks, leave_ranks

for name in ("accelerate", "lightning"):
    if importlib.util.find_spec(name) is not None:
        importlib.import_module(name)


@dataclass(frozen=True)
class Case:
    """One way to start ranks and to end them."""

    run: Callable[[Path], int | None]
    """What a rank does in a folder; gives its exit code."""
    codes: tuple[int, ...] = (0, 0)
    """The exit code that is expected of each rank."""
    signals: tuple[int, ...] = ()
    """The signal that each rank gets after the first step; 0 for none."""
    trained: bool = False
    """Whether the folder holds a finished run."""
    needs: str = "torch"
    """The package without which the case is left out."""


def recipe(name: str) -> Callable[[Path], None]:
    """Gives a function that runs a recipe as its command line does."""

    def run(folder: Path) -> None:
        sys.argv = [name, "--smoke"]
        runpy.run_path(str(ROOT / "examples" / "recipes" / name), run_name="__main__")

    return run


def trained(**changes: object) -> Callable[[Path], int]:
    """Gives a function that trains the flagship's tiny model from the beginning."""
    return lambda folder: train.main(replace(runs.TINY, out=folder, **changes))


def resumed(folder: Path) -> int:
    """Goes on with a run."""
    return train.main(TrainOptions(resume=folder, steps=6))


def evaluated(folder: Path) -> None:
    """Evaluates a run."""
    evaluate.main(evaluate.EvaluateOptions(folder, count=20, device="cpu"))


def tested(function: Callable[..., object], *arguments: object) -> Callable[[Path], None]:
    """Gives a function that does what a test does on a rank."""

    def run(folder: Path) -> None:
        join_ranks(torch.device("cpu"))
        try:
            given = [folder if x is Path else x for x in arguments]
            function(dist.get_rank(), dist.get_world_size(), *given)
        finally:
            leave_ranks()

    return run


LONG = 5000
CASES = {
    "recipe ddp.py": Case(recipe("ddp.py")),
    "train": Case(trained(steps=4)),
    "train, stopped by SIGTERM": Case(trained(steps=LONG), (1, 1), (signal.SIGTERM,) * 2),
    "train, another rank killed": Case(trained(steps=LONG), (1, -9), (0, signal.SIGKILL)),
    "train, diverged": Case(trained(steps=4, scale=1e-30), (1, 1)),
    "resume": Case(resumed, trained=True),
    "evaluate": Case(evaluated, trained=True),
    "test of DDP": Case(tested(test_many_ranks.train, {})),
    "test of FSDP2": Case(tested(test_many_ranks.sharded_on, Path)),
    "recipe accelerate_loop.py": Case(recipe("accelerate_loop.py"), needs="accelerate"),
    "recipe lightning_module.py": Case(
        recipe("lightning_module.py"), codes=(0,), needs="lightning"
    ),
}
"""The programs by their names. Lightning runs alone: it makes no group."""


def start(case: Case, rank: int, port: int, folder: Path) -> int:
    """Forks a rank, and gives its process id. The rank never returns."""
    if pid := os.fork():
        return pid
    if len(case.codes) > 1:
        processes.as_launched(rank, port)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    said = os.open(folder.with_suffix(f".{rank}"), os.O_CREAT | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    torch.set_num_threads(1)
    raise SystemExit(case.run(folder))


def worked(pid: int) -> float:
    """Returns for how many seconds the main thread of a process has run or waited for a core."""
    try:
        run, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return (int(run) + int(waited)) / 1e9


def attempt(case: Case, folder: Path, limit: float) -> tuple[str, str]:
    """Starts a case once.

    Returns:
        How it ended, "well", "hung", "aborted" or "failed", and what it printed.
    """
    port, codes = processes.free_port(), {}
    pids = [start(case, rank, port, folder) for rank in range(len(case.codes))]
    signals, last, idle, work = case.signals, time.monotonic(), 0.0, [0.0] * len(pids)
    while len(codes) < len(pids) and idle < limit:
        time.sleep(0.05)
        for rank, pid in enumerate(pids):
            done, status = (0, 0) if rank in codes else os.waitpid(pid, os.WNOHANG)
            if done:
                codes[rank] = os.waitstatus_to_exitcode(status)
        if signals and read_log(folder):
            for pid, number in zip(pids, signals, strict=True):
                os.kill(pid, number)
            signals = ()
        now, before = time.monotonic(), work
        work = [0.0 if rank in codes else worked(pid) for rank, pid in enumerate(pids)]
        share = max(w - b for w, b in zip(work, before, strict=True)) / (now - last)
        idle, last = 0.0 if share > 0.1 else idle + now - last, now
    late = [rank for rank in range(len(pids)) if rank not in codes]
    for rank in late:
        os.kill(pids[rank], signal.SIGKILL)
        os.waitpid(pids[rank], 0)
    said = "".join(
        f"rank {r}:\n{folder.with_suffix(f'.{r}').read_text()}" for r in range(len(pids))
    )
    ended = tuple(codes.get(rank) for rank in range(len(pids)))
    if ended == case.codes:
        return "well", said
    kind = "hung" if late else "aborted" if -signal.SIGABRT in ended else "failed"
    return kind, f"exit codes {ended}, expected {case.codes}\n{said}"


def main() -> None:
    """Starts all cases, and counts how they end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="how often each case is started")
    parser.add_argument(
        "--limit", type=float, default=60, help="seconds without work until it has hung"
    )
    parser.add_argument("--only", nargs="*", help="the names of the cases to start")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    # What is imported is not to be collected again in every rank.
    gc.freeze()
    # No context manager: the ranks are forks, and would end it.
    work, counts = Path(tempfile.mkdtemp()), {}
    kind, said = attempt(Case(trained(steps=4)), work / "trained", options.limit)
    if not (work / "trained" / "checkpoint.pt").exists():
        sys.exit(f"no run to resume: {kind}\n{said}")
    for name, case in CASES.items():
        if (options.only and name not in options.only) or importlib.util.find_spec(
            case.needs
        ) is None:
            continue
        counts[name], begin = Counter(well=0, hung=0, aborted=0, failed=0), time.monotonic()
        for index in range(options.times):
            folder = work / f"{len(counts)}-{index}"
            if case.trained:
                shutil.copytree(work / "trained", folder)
            kind, said = attempt(case, folder, options.limit)
            counts[name][kind] += 1
            if kind != "well":
                print(f"{name}, start {index + 1} {kind}: {said}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        seconds = (time.monotonic() - begin) / options.times
        print(f"{name:30}{dict(counts[name])}  {seconds:.1f} s a start", flush=True)
    shutil.rmtree(work)
    result = {"torch": torch.__version__, "ranks": 2, "limit": options.limit, "cases": counts}
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(any(sum(count.values()) > count["well"] for count in counts.values()))


if __name__ == "__main__":
    main()
