"""How accurate `mireg.audit` is where the truth is known: `PYTHONPATH=tests python tests/benchmarks/audit.py --out audit.json`.

All tasks take an hour on one core. `--rivals` runs common estimators on the same samples. `--null 100` audits independent codes of 100 seeds instead, and counts
the verdicts. If a run was stopped, the same command continues it.
"""

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mi_tasks import BEYOND_NORMAL, OTHERS, Task
from rivals import rivals

import mireg

NULL_EPSILON = 0.05
"""The target that independent codes are judged against: the estimates are far below it."""


def numbers(report: mireg.AuditReport) -> dict:
    """Returns a report without its texts."""
    found = report.to_dict()
    texts = ("title", "summary", "rows", "note", "warnings", "source", "alpha", "date", "version")
    return {name: value for name, value in found.items() if name not in texts}


def task_row(task: Task, samples: int, seed: int, compare: bool) -> dict:
    """Audits samples of a task. With `compare`, runs common estimators on the same samples."""
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
    return {**known, **found, **numbers(report)}


def null_row(samples: int, seed: int) -> dict:
    """Audits independent codes of 5 features each against `NULL_EPSILON`."""
    random = np.random.default_rng(seed)
    codes = (random.standard_normal((samples, 5)) for _ in range(2))
    report = mireg.audit(*codes, epsilon=NULL_EPSILON, seed=seed)
    print(seed, report.mi, report.lower_bound, report.p_value, report.verdict, flush=True)
    return {"task": f"null {seed}", **numbers(report)}


def summary_of_tasks(rows: list[dict]) -> dict:
    """Returns the errors of the estimates."""
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
                key: _errors(pairs)
                for key in sorted({key for r in chosen for key in r["rivals"]})
                if (pairs := _answers(chosen, key))
            },
            "certified_too_much": [r["task"] for r in chosen if r["lower_bound"] > r["truth"]],
        }
    return result


def _answers(rows: list[dict], key: str) -> list[tuple[float, float]]:
    """Returns what another estimator found, and the truth, on the tasks that it applies to."""
    found = [(row["rivals"].get(key), row["truth"]) for row in rows]
    return [(value, truth) for value, truth in found if value is not None]


def _errors(found: list[tuple[float, float]]) -> dict:
    """Returns the errors of another estimator."""
    errors = np.abs([value - truth for value, truth in found])
    return {
        "tasks": len(found),
        "mean_error": float(errors.mean()),
        "median_error": float(np.median(errors)),
        "worst_error": float(errors.max()),
    }


def summary_of_null(rows: list[dict]) -> dict:
    """Returns how often an audit of independent codes finds something, or does not settle."""
    estimates = np.array([row["mi"] for row in rows])
    return {
        "seeds": len(rows),
        "estimate_mean": float(estimates.mean()),
        "estimate_furthest": float(np.abs(estimates).max()),
        "certified_above_0": sum(row["lower_bound"] > 0 for row in rows),
        "p_below_0.05": sum(row["p_value"] < 0.05 for row in rows),
        "not_settled": sum(not row["settled"] for row in rows),
        "verdicts": dict(Counter(row["verdict"] for row in rows)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only tasks whose names contain this text")
    parser.add_argument(
        "--null", type=int, default=0, help="audit independent codes of this many seeds"
    )
    parser.add_argument("--rivals", action="store_true", help="run other estimators too")
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
