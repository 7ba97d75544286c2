"""Audits the codes of finished rows with `mireg.audit`, beside the judge and never instead of it.

    python tests/benchmarks/leaderboard/audits.py runs/leaderboard --only mireg "encoder alone"

Codes that were not kept are made again from the same seed. What an audit of the first test codes
says is appended to `rows.jsonl` and belongs to the row with the same key. What is done is not done
again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from figures import KEY, key, merged
from figures import codes as judged
from methods import METHODS
from run import Job, Row, make_codes, read
from tasks import MODULES, Missing, load

import mireg

SAMPLES = 8_000


def audited(row: Row, job: Job, samples: int) -> dict[str, Any]:
    """Returns what `mireg.audit` finds in the test codes of a row, with a verdict on its target."""
    codes, task = make_codes(job), load(job.task, job.data)
    start, epsilon = time.monotonic(), row["setting"] if METHODS[job.method].target else None
    s = task.test.s[:samples]
    report = mireg.audit(codes.test[:samples], s, epsilon=epsilon, kind="label")
    low, high = report.interval
    return {
        "samples": len(s),
        "mi": report.mi,
        "low": low,
        "high": high,
        "settled": report.settled,
        "verdict": report.verdict,
        "seconds": round(time.monotonic() - start, 1),
    }


def main() -> None:
    """Audits what is not audited."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder that run.py writes")
    parser.add_argument("--tasks", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--settings", type=float, nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, default=SAMPLES, help="test codes that it sees")
    parser.add_argument("--data", type=Path, help="the folder that prepare.py writes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.out / "rows.jsonl"
    for row in judged(merged(read(path))):
        wanted = row["task"] in options.tasks and row["method"] in options.only
        wanted &= row["seed"] in options.seeds and "audit" not in row
        if not wanted or (options.settings and row["setting"] not in options.settings):
            continue
        job = Job(*key(row), "cpu", "cpu", options.data, options.out, False)
        try:
            found = audited(row, job, options.samples)
        except Missing as error:
            print(f"{job.task}, {job.method}: skipped, {error}", flush=True)
            continue
        with path.open("a") as file:
            file.write(json.dumps({**dict(zip(KEY, key(row), strict=True)), "audit": found}) + "\n")
        name = f"{job.task}, {job.method}, {job.setting:g}, seed {job.seed}"
        said = f"{found['mi']:.4f} ({found['low']:.4f} to {found['high']:.4f})"
        print(f"{name}: judge {row['leak']:.4f}, audit {said}, {found['verdict']}", flush=True)


if __name__ == "__main__":
    main()
