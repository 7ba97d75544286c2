"""Runs the leaderboard.

    python tests/benchmarks/leaderboard/run.py --out runs/leaderboard --jobs 2

Every row is a task, a method, one of its six settings and a seed. Codes are made, kept and judged.
A row is appended to `rows.jsonl` when it is done, and is not done again, so a run that was stopped
continues. `table.py` makes figures of the rows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from concurrent import futures
from inspect import signature
from pathlib import Path
from typing import NamedTuple

# One thread a worker: it has to be said before numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import controls
import numpy as np
import torch
from figures import Row, key
from judge import Labelled, Splits, leakage, quality
from methods import METHODS
from tasks import MODULES, Missing, load
from training import STEPS, Codes

ORDER = (3, 4, 1, 5, 2, 0)
"""The order of a method's settings. A run that is stopped early has rows of all methods."""
QUICK = (
    "encoder alone",
    "PCA",
    "LEACE",
    "INLP",
    "gradient reversal",
    "CLUB",
    "MINE",
    "HSIC",
    "MMD",
    "variational bound",
    "L-MIFR",
    "mireg",
)
LARGEST = 24_000_000
"""Codes of more numbers than this are not kept: they are maps of the inputs, and fast to make."""


class Job(NamedTuple):
    """What one row is made from."""

    task: str
    method: str
    setting: float
    seed: int
    steps: int
    device: str
    judge: str
    data: Path | None
    out: Path
    keep: bool

    @property
    def key(self) -> tuple:
        """What makes a row another one."""
        return (self.task, self.method, self.setting, self.seed, self.steps)

    @property
    def path(self) -> Path:
        """Where the codes are kept."""
        words = f"{self.task}-{self.method}-{self.setting:g}-{self.seed}-{self.steps}"
        return self.out / "codes" / (words.replace(" ", "_").replace(",", "") + ".npz")


def make_codes(job: Job) -> Codes:
    """Returns codes, from the folder if they are there."""
    if job.path.exists():
        with np.load(job.path, allow_pickle=False) as file:
            parts = [torch.from_numpy(file[name]) for name in ("train", "validation", "test")]
            means = [torch.from_numpy(file[f"mean_{i}"]) for i in range(3) if f"mean_{i}" in file]
            notes = json.loads(str(file["notes"]))
        return Codes(*parts, means=tuple(means) or None, notes=notes)
    task, method = load(job.task, job.data), METHODS[job.method]
    steps = {"steps": job.steps} if "steps" in signature(method.run).parameters else {}
    codes = method.run(task, job.setting, job.seed, job.device, **steps)
    if job.keep and sum(part.numel() for part in codes[:3]) <= LARGEST:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(codes, name).numpy() for name in ("train", "validation", "test")}
        arrays |= {f"mean_{i}": part.numpy() for i, part in enumerate(codes.means or ())}
        part = job.path.with_name(job.path.name + ".part.npz")
        np.savez(part, **arrays, notes=json.dumps(codes.notes))
        os.replace(part, job.path)
    return codes


def work(job: Job) -> Row:
    """Makes a row."""
    torch.set_num_threads(1)
    start = time.monotonic()
    row: Row = {name: getattr(job, name) for name in ("task", "method", "setting", "seed", "steps")}
    if job.method == "planted XOR":
        row |= leakage(controls.planted_xor(), 2, job.judge)
        return {**row, "truth": controls.XOR, "torch": torch.__version__}
    task = load(job.task, job.data)
    parts = (task.train, task.validation, task.test)
    if job.method == "shuffled":
        splits = Splits(*(Labelled(part.x, part.s) for part in parts))
        row |= leakage(controls.shuffled(splits), task.classes, job.judge)
        return {**row, "truth": 0.0, "torch": torch.__version__}
    try:
        codes = make_codes(job)
    except FloatingPointError as error:
        return {**row, "failed": str(error), "torch": torch.__version__}
    row["seconds"] = round(time.monotonic() - start, 1)
    row |= codes.notes
    if not all(bool(part.isfinite().all()) for part in codes[:3]):
        return {**row, "failed": "codes are not finite", "torch": torch.__version__}
    told = Splits(*(Labelled(c, part.s) for c, part in zip(codes[:3], parts, strict=True)))
    wanted = Splits(*(Labelled(c, part.y) for c, part in zip(codes[:3], parts, strict=True)))
    row |= leakage(told, task.classes, job.judge)
    row |= quality(wanted, task.test.s, task.targets, job.judge)
    if codes.means is not None:
        means = Splits(*(Labelled(c, p.s) for c, p in zip(codes.means, parts, strict=True)))
        found = leakage(means, task.classes, job.judge, ("perceptron 2 x 256", "boosting"))
        row["leak_of_means"] = found["leak"]
    row["all_seconds"] = round(time.monotonic() - start, 1)
    row["device"], row["torch"] = job.device, torch.__version__
    return row


def plan(options: argparse.Namespace, done: set[tuple]) -> Iterator[Job]:
    """Gives what is to be run, less what is done: controls, which have no seed, first. Then seeds
    first, then settings in `ORDER`.
    """
    rows: list[tuple[str, str, float, int]] = [("planted", "planted XOR", 0.0, 0)]
    rows += [(task, "shuffled", 0.0, 0) for task in options.tasks]
    for seed in options.seeds:
        for place in range(len(ORDER)):
            for task in options.tasks:
                for name in options.only:
                    settings = METHODS[name].settings
                    if len(settings) == len(ORDER):
                        settings = tuple(settings[i] for i in ORDER)
                    kept = settings[: options.settings]
                    rows += [(task, name, x, seed) for x in kept[place : place + 1]]
    made_on = (options.steps, options.device, options.judge, options.data, options.out)
    for row in rows:
        job = Job(*row, *made_on, not options.no_codes)
        if job.key not in done:
            yield job


def read(path: Path) -> list[Row]:
    """Returns the rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def line(row: Row) -> str:
    """Returns a row in a line, to watch."""
    name = f"{row['task']}, {row['method']}, {row['setting']:g}, seed {row['seed']}"
    if "failed" in row:
        return f"{name}: {row['failed']}"
    found = f"leak {row['leak']:.4f} ({row['low']:.4f} to {row['high']:.4f}, {row['attacker']})"
    if "quality" in row:
        found += f", quality {row['quality']:.4f}, fit {row['fit_seconds']:.0f} s"
    return f"{name}: {found}, judge {row['judge_seconds']:.0f} s"


def start(options: argparse.Namespace, jobs: Iterator[Job]) -> Iterator[tuple[Job, Row]]:
    """Gives rows as workers finish them. After the time limit no new one starts."""
    begun, context = time.monotonic(), multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(options.jobs, context) as pool:
        running: dict[futures.Future, Job] = {}
        while True:
            late = options.time_limit and time.monotonic() - begun > options.time_limit
            while not late and len(running) < options.jobs and (job := next(jobs, None)):
                running[pool.submit(work, job)] = job
            if not running:
                return
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                job, failure = running.pop(future), future.exception()
                if failure is None:
                    yield job, future.result()
                elif isinstance(failure, Missing):
                    print(f"{job.task}, {job.method}: skipped, {failure}", flush=True)
                else:
                    print(f"{job.task}, {job.method}, {job.setting:g}: failed", flush=True)
                    traceback.print_exception(failure)


def main() -> None:
    """Runs what is not done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--settings", type=int, help="only the first so many of each method")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu", help="where encoders are trained")
    parser.add_argument("--judge", default="cpu", help="where attackers are trained, but the trees")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--time-limit", type=float, help="seconds after which no new row starts")
    parser.add_argument(
        "--quick", action="store_true", help="two tasks, twelve methods, three settings"
    )
    parser.add_argument("--data", type=Path, help="the folder that prepare.py writes")
    parser.add_argument("--no-codes", action="store_true", help="keep rows alone")
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard"))
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.only, options.settings = ["sentences", "adult"], list(QUICK), 3
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "rows.jsonl"
    done = {key(row) for row in read(path)}
    for _, row in start(options, plan(options, done)):
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
