"""The figures of the leaderboard, from rows. Nothing here trains or judges.

A row is chosen on validation data, and its figures are those of the test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

Row = dict[str, Any]

BUDGETS = (0.01, 0.05, 0.1)
GRID = np.geomspace(0.01, 0.2, 14)
"""The leaks over which the area is taken."""
SLACK = 1.25
KEY = ("task", "method", "setting", "seed", "steps")
"""What makes a row another one."""


def key(row: Row) -> tuple[Any, ...]:
    """Returns what makes a row another one."""
    return tuple(row[name] for name in KEY)


def merged(rows: Iterable[Row]) -> list[Row]:
    """Returns one row for each key: the audit of a row is a line of its own in a file."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        found[key(row)] = {**found.get(key(row), {}), **row}
    return list(found.values())


def of(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """Returns the rows with these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def codes(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows of methods, without controls and failures."""
    return [row for row in rows if "quality" in row]


def shared(rows: list[Row]) -> list[Row]:
    """Returns the rows of the seeds that all methods of a task have, to compare them alike."""
    kept = []
    for task in dict.fromkeys(row["task"] for row in rows):
        here = of(rows, task=task)
        methods = {row["method"] for row in here}
        for seed in sorted({row["seed"] for row in here}):
            part = of(here, seed=seed)
            kept += part if {row["method"] for row in part} == methods else []
    return kept


def chosen(rows: list[Row], budget: float) -> Row | None:
    """Returns the row of the best task quality among those that leak no more than a budget, all on
    validation data.
    """
    within = [row for row in rows if row["validation_leak"] <= budget]
    return max(within, key=lambda row: row["validation_quality"], default=None)


def seconds(rows: list[Row]) -> float:
    """Returns the seconds of training: of the processor if known, else of the clock."""
    return sum(row.get("fit_cpu_seconds", row.get("fit_seconds", 0.0)) for row in rows)


def asked(rows: list[Row], budget: float) -> Row | None:
    """Returns the row that was asked for a leak: no choice was made."""
    return next((row for row in rows if math.isclose(row["setting"], budget)), None)


def area(rows: list[Row], best: float) -> float:
    """Returns the area over the Pareto curve: how much less than `best` the quality is, a mean over
    the logarithm of the leak from 0.01 to 0.2.

    Where no row is within a budget, the quality is what is had without codes.
    """
    trivial = rows[0].get("trivial_quality", 0.0)
    found = [chosen(rows, budget) for budget in GRID]
    return float(np.mean([best - (row["quality"] if row else trivial) for row in found]))


def trainings(rows: list[Row], budget: float, target: bool) -> float:
    """Returns how many trainings it takes until one is within a budget, by validation data.

    A method with a target begins with what is asked and goes on to lower targets. Of all others the
    settings are tried in random order, and this is the
    expectation. It is infinite if none is within.
    """
    if target:
        row_of = {row["setting"]: row for row in rows}
        tries = sorted((s for s in row_of if s <= budget * 1.001), reverse=True)
        for count, setting in enumerate(tries, 1):
            if row_of[setting]["validation_leak"] <= budget:
                return float(count)
        return math.inf
    within = sum(row["validation_leak"] <= budget for row in rows)
    return (len(rows) + 1) / (within + 1) if within else math.inf


def control_errors(rows: list[Row]) -> list[float]:
    """Returns what was audited over what was asked."""
    return [max(row["leak"], 0.0) / row["setting"] for row in rows]


def kept_word(rows: list[Row]) -> float:
    """Returns the share of rows whose upper end is at most 1.25 of what was asked."""
    return float(np.mean([row["high"] <= SLACK * row["setting"] for row in rows]))


def front(rows: list[Row]) -> list[Row]:
    """Returns the rows that no other beats in both quality and leak on validation data, by leak."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda r: (r["validation_leak"], -r["validation_quality"])):
        if not kept or row["validation_quality"] > kept[-1]["validation_quality"]:
            kept.append(row)
    return kept
