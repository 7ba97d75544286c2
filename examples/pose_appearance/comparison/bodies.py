"""What fresh critics tell of the type of body from pose codes, where it is known."""

__all__ = ["audit_bodies", "leak", "read_body"]

import json
from collections.abc import Iterator
from typing import Any

from evaluate import audit_body
from evaluation.sharing import paired_codes
from training.files import write_json

from .finished import FinishedRun
from .plan import Budget
from .runner import TRIPLET_SEED

FILE = "body.json"


def audit_bodies(runs: list[FinishedRun], budget: Budget) -> Iterator[str]:
    """Audits the type of body in the pose codes of runs, and writes what was found into their folders; what is there is not made again.

    Arguments:
        runs: The finished runs.
        budget: How many codes are judged.

    Yields:
        What comes next: the work can be left there.
    """
    for run in runs:
        if "body" not in run.images.factors or (run.folder / FILE).exists():
            continue
        yield f"body types in codes of {run.folder.name}"
        trainer = run.trainer()
        codes = paired_codes(trainer, run.held_out, TRIPLET_SEED, budget.audit_samples)
        if (report := audit_body(trainer, run.held_out, codes, TRIPLET_SEED)) is not None:
            write_json(run.folder / FILE, report.to_dict())


def read_body(run: FinishedRun) -> dict[str, Any] | None:
    """Gives what :func:`audit_bodies` found, nothing where types of body are unknown."""
    path = run.folder / FILE
    return json.loads(path.read_text()) if path.exists() else None


def leak(run: FinishedRun) -> float:
    """Gives the most that fresh critics find in the pose codes of a run, in nats: of the appearance code, or of the type of body."""
    body = read_body(run)
    return max(run.evaluation["audit"]["mi"], body["mi"] if body else 0.0)
