"""Whether a constraint survives an audit: `python tests/benchmarks/honesty.py --out runs/honesty.json`.

The task loss of each problem times 0.01, 1 and 100, three seeds, and nothing set but ε; beside it the paper's recipe and three
penalties that people use, each with one weight, tuned over six values on validation data (`--tune` first; these at scale 1 alone say
enough). Rows that are done are not done again, so that a second call goes on where the first was stopped. `--table` prints what the files hold.

Tables and letters come from packages, or from the archive that `honesty_data.py` writes; sprites from the folder `--sprites`. What is missing is skipped.
"""

import argparse
import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

# One thread a worker: it has to be said before numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from honesty_base import Missing, Sources
from honesty_data import CACHE
from honesty_methods import METHODS
from honesty_problems import PROBLEMS
from honesty_report import table, verdict
from honesty_run import Job, chosen_weight, run

Row = dict[str, Any]

TUNING_SEED = 1000


def key(row: Row) -> tuple:
    names = ("problem", "method", "seed", "scale", "steps", "tuning", "quick")
    # A weight names a row only while it is tuned.
    return (*(row[name] for name in names), row["weight"] if row["tuning"] else None)


def weights(problem: str, method: str, scale: float) -> list[float]:
    return [float(f"{w * PROBLEMS[problem].price * scale:.6g}") for w in METHODS[method].weights]


def tuned(rows: list[Row], job: Job) -> list[Row]:
    """The finished rows that tuned the weight of a job."""
    wanted = (job.problem, job.method, job.scale, job.steps or PROBLEMS[job.problem].steps)
    names = ("problem", "method", "scale", "steps")
    return [row for row in rows if row["tuning"] and tuple(row[n] for n in names) == wanted]


def plan(options: argparse.Namespace, rows: list[Row]) -> Iterator[Job]:
    """Gives what is to be run, less what is done."""
    done = {key(row) for row in rows}
    sources = Sources(options.cache, options.sprites)
    for seed in [TUNING_SEED] if options.tune else options.seed:
        for problem in options.problem:
            for method in options.method:
                for scale in options.scale:
                    job = Job(
                        problem,
                        method,
                        seed,
                        scale,
                        steps=options.steps,
                        tuning=options.tune,
                        quick=options.quick_audit,
                        device=options.device,
                        sources=sources,
                    )
                    grid = weights(problem, method, scale)
                    if options.tune:
                        jobs = [job._replace(weight=weight) for weight in grid]
                    elif grid:
                        tries = tuned(rows, job)
                        if len(tries) < len(grid):
                            print(f"{problem}, {method}, scale {scale:g}: to be tuned first")
                            continue
                        count = 1 + len(tries)
                        jobs = [job._replace(weight=chosen_weight(tries), trainings=count)]
                    else:
                        jobs = [job]
                    steps = options.steps or PROBLEMS[problem].steps
                    yield from (j for j in jobs if key({**j._asdict(), "steps": steps}) not in done)


def load(paths: list[Path]) -> list[Row]:
    return [row for path in paths if path.exists() for row in json.loads(path.read_text())["rows"]]


def save(rows: list[Row], path: Path) -> None:
    """Writes at once or not at all: a call that is killed loses no row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    unfinished.replace(path)


def prepare_worker() -> None:
    torch.set_num_threads(1)


def line(row: Row) -> str:
    """A row in a line, to watch."""
    audit, weight = row["audit"], f", weight {row['weight']:g}" if row["weight"] != 1 else ""
    further = "".join(f", {name} {a['mi']:.4f}" for name, a in row["also"].items())
    return (
        f"{row['problem']}, {row['method']}{weight}, scale {row['scale']:g}, seed {row['seed']}: task {row['task']:.4g}, "
        f"audit {audit['mi']:.4f} (to {audit['upper']:.4f}) of {row['epsilon']:g}{further}, {row['ms_per_step']:.1f} ms a step, "
        f"{row['seconds_training']:.0f} s and {row['seconds_examining'] + row['seconds_auditing']:.0f} s of judging"
    )


def work(jobs: Iterator[Job], options: argparse.Namespace) -> Iterator[Row]:
    """Gives rows as workers finish them. After the time limit no new one starts."""
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(options.jobs, context, prepare_worker) as pool:
        running: dict[futures.Future, Job] = {}
        while True:
            late = options.time_limit and time.monotonic() - start > options.time_limit
            while not late and len(running) < options.jobs and (job := next(jobs, None)):
                running[pool.submit(run, job)] = job
            if not running:
                return
            for future in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                job = running.pop(future)
                failure = future.exception()
                if failure is None:
                    yield future.result()
                elif isinstance(failure, Missing):
                    print(f"{job.problem} is skipped: {failure}", flush=True)
                else:
                    # If one row fails, the others still run.
                    print(f"{job.problem}, {job.method}, weight {job.weight:g}: failed", flush=True)
                    traceback.print_exception(failure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--method", nargs="+", default=["robust", "none"], choices=METHODS)
    parser.add_argument("--scale", type=float, nargs="+", default=[0.01, 1.0, 100.0])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of those of each problem")
    parser.add_argument("--tune", action="store_true", help="try the weights of the rivals")
    parser.add_argument("--quick-audit", action="store_true", help="judge by one critic a fold")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes of one thread each")
    parser.add_argument("--time-limit", type=float, help="seconds after which no new row starts")
    parser.add_argument("--cache", type=Path, default=CACHE, help="the archive of tables")
    parser.add_argument("--sprites", type=Path, help="the folder of the sprites")
    parser.add_argument("--out", type=Path, nargs="+", required=True)
    parser.add_argument("--table", action="store_true", help="print what the files hold")
    options = parser.parse_args()
    rows = load(options.out)
    if options.table:
        print(table(rows), verdict(rows), sep="\n\n")
        return
    own = load(options.out[:1])
    for row in work(plan(options, rows), options):
        own.append(row)
        save(own, options.out[0])
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
