"""How accurate `mireg.audit` is where the truth is known: `PYTHONPATH=tests python tests/benchmarks/audit.py --out audit.json`.

Some 40 minutes for all tasks on one core. `--null 100` audits independent codes with as many seeds instead.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from mi_tasks import BEYOND_NORMAL, OTHERS

import mireg


def tasks(samples: int, seed: int, only: str) -> list[dict]:
    rows = []
    for task in (*BEYOND_NORMAL, *OTHERS):
        if only not in task.name:
            continue
        report = mireg.audit(*task.sample(samples, np.random.default_rng(seed)), seed=seed)
        row = {"task": task.name, "truth": task.mi, "error": report.mi - task.mi}
        rows.append({**row, "beyond_normal": task in BEYOND_NORMAL, **report.to_dict()})
        print(
            f"| {task.name} | {task.mi:.3f} | {report.mi:.3f} | {row['error']:+.3f} | {report.standard_error:.3f} "
            f"| {report.log_z:+.3f} | {report.lower_bound:.3f} | {report.seconds:.0f} |",
            flush=True,
        )
    return rows


def null(samples: int, seeds: int) -> list[dict]:
    rows = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        codes = (random.standard_normal((samples, d)) for d in (5, 5))
        rows.append(mireg.audit(*codes, seed=seed).to_dict())
        print(seed, rows[-1]["mi"], rows[-1]["lower_bound"], rows[-1]["p_value"], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="tasks whose names hold this text")
    parser.add_argument("--null", type=int, default=0, help="audit independent codes so often")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    start = time.monotonic()
    result: dict = {
        "samples": options.samples,
        "seed": options.seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    if options.null:
        rows = null(options.samples, options.null)
        estimates = np.array([row["mi"] for row in rows])
        result |= {
            "estimate_mean": estimates.mean(),
            "estimate_furthest": np.abs(estimates).max(),
            "certified_above_0": sum(row["lower_bound"] > 0 for row in rows),
            "p_below_0.05": sum(row["p_value"] < 0.05 for row in rows),
        }
    else:
        rows = tasks(options.samples, options.seed, options.only)
        for name, chosen in (
            ("beyond_normal", [row for row in rows if row["beyond_normal"]]),
            ("others", [row for row in rows if not row["beyond_normal"]]),
        ):
            errors = np.abs([row["error"] for row in chosen]) if chosen else np.zeros(1)
            result[name] = {
                "mean_error": errors.mean(),
                "median_error": float(np.median(errors)),
                "worst_error": errors.max(),
                "certified_too_much": sum(row["lower_bound"] > row["truth"] for row in chosen),
            }
    result |= {"seconds": time.monotonic() - start, "rows": rows}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print({name: value for name, value in result.items() if name != "rows"})


if __name__ == "__main__":
    main()
