"""How accurate `mireg.audit` is where the truth is known: `PYTHONPATH=tests python tests/benchmarks/audit.py --out audit.json`.

An hour for all tasks on one core. `--rivals` asks the estimators that people use as well, on the same samples. `--null 100` audits independent codes with as many seeds instead. A second call goes
on where the first was stopped.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mi_tasks import BEYOND_NORMAL, OTHERS, Task
from rivals import rivals

import mireg


def task_row(task: Task, samples: int, seed: int, compare: bool) -> dict:
    """Audits samples of a task, and gives the same samples to the estimators that people use."""
    codes = task.sample(samples, np.random.default_rng(seed))
    start = time.process_time()
    report = mireg.audit(*codes, seed=seed)
    used = time.process_time() - start
    others = rivals(*codes) if compare else {}
    print(
        f"| {task.name} | {task.mi:.3f} | {report.mi:.3f} | {report.mi - task.mi:+.3f} | {report.standard_error:.3f} "
        f"| {report.log_z:+.3f} | {report.lower_bound:.3f} | {used:.0f} |"
        + "".join(f" {name} {value:.3f}" for name, value in others.items() if value is not None),
        flush=True,
    )
    known = {"task": task.name, "truth": task.mi, "beyond_normal": task in BEYOND_NORMAL}
    found = {"error": report.mi - task.mi, "cpu_seconds": used, "rivals": others}
    return {**known, **found, **report.to_dict()}


def null_row(samples: int, seed: int) -> dict:
    """Audits independent codes of 5 features each."""
    random = np.random.default_rng(seed)
    report = mireg.audit(*(random.standard_normal((samples, 5)) for _ in range(2)), seed=seed)
    print(seed, report.mi, report.lower_bound, report.p_value, flush=True)
    return {"task": f"null {seed}", **report.to_dict()}


def summary_of_tasks(rows: list[dict]) -> dict:
    """Gives how far off the estimates are."""
    result = {}
    for name, wanted in (("beyond_normal", True), ("others", False)):
        chosen = [row for row in rows if row["beyond_normal"] == wanted]
        errors = np.abs([row["error"] for row in chosen]) if chosen else np.zeros(1)
        result[name] = {
            "tasks": len(chosen),
            "mean_error": float(errors.mean()),
            "median_error": float(np.median(errors)),
            "worst_error": float(errors.max()),
            "not_settled": [r["task"] for r in chosen if not r["settled"]],
            "rivals": {
                key: _errors([(r["rivals"][key], r["truth"]) for r in chosen if key in r["rivals"]])
                for key in sorted({key for r in chosen for key in r["rivals"]})
            },
            "certified_too_much": [r["task"] for r in chosen if r["lower_bound"] > r["truth"]],
        }
    return result


def _errors(found: list[tuple[float | None, float]]) -> dict:
    """Gives how far off another estimator is, on the tasks that it applies to."""
    errors = np.abs([value - truth for value, truth in found if value is not None] or [np.nan])
    count = sum(value is not None for value, _ in found)
    return {"tasks": count, "mean_error": float(errors.mean()), "worst_error": float(errors.max())}


def summary_of_null(rows: list[dict]) -> dict:
    """Gives how often something is found where nothing is."""
    estimates = np.array([row["mi"] for row in rows])
    return {
        "seeds": len(rows),
        "estimate_mean": float(estimates.mean()),
        "estimate_furthest": float(np.abs(estimates).max()),
        "certified_above_0": sum(row["lower_bound"] > 0 for row in rows),
        "p_below_0.05": sum(row["p_value"] < 0.05 for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="tasks whose names hold this text")
    parser.add_argument("--null", type=int, default=0, help="audit independent codes so often")
    parser.add_argument("--rivals", action="store_true", help="ask other estimators too")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    known = {"samples": options.samples, "torch": torch.__version__, "machine": platform.machine()}
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    todo: dict[str, Callable[[], dict]] = {
        task.name: partial(task_row, task, options.samples, options.seed, options.rivals)
        for task in (*BEYOND_NORMAL, *OTHERS)
        if options.only in task.name
    }
    summary = summary_of_tasks
    if options.null:
        todo = {f"null {i}": partial(null_row, options.samples, i) for i in range(options.null)}
        summary = summary_of_null
    done = {row["task"] for row in rows}
    for name, audit in todo.items():
        if name not in done:
            rows.append(audit())
            seconds = sum(row["seconds"] for row in rows)
            result = {**known, **summary(rows), "seconds": seconds, "rows": rows}
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(summary(rows))


if __name__ == "__main__":
    main()
