"""What the rows of the honesty benchmark say: a table, and whether what is wanted was reached."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
from honesty_methods import METHODS
from honesty_problems import PROBLEMS

Row = dict[str, Any]

LEAK, UPPER, TASK = 1.25, 2.0, 1.05
"""An audit may find so many ε, the upper end of its interval may be at so many, and task losses may differ by such a factor."""

OTHER = ("accuracy", "auc", "median", "mean", "body", "fresh", "fresh_training")


def finished(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row["tuning"]]


def value(row: Row, name: str) -> float | None:
    """A further metric of a row, or what an audit of a further attribute found."""
    return row["also"][name]["mi"] if name in row["also"] else row.get(name)


def number(x: float) -> str:
    if not math.isfinite(x):
        return "diverged"
    return f"{x:.4f}" if abs(x) < 1 else f"{x:.1f}" if abs(x) < 1e5 else f"{x:.0e}"


def by(rows: list[Row], *names: str) -> dict[tuple, list[Row]]:
    """Groups rows, in the order of the problems and methods."""
    order = {name: i for i, name in enumerate([*PROBLEMS, *METHODS])}
    found: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return dict(sorted(found.items(), key=lambda item: [order.get(k, k) for k in item[0]]))


def table(rows: list[Row]) -> str:
    """A line for each problem, method and scale: means over the seeds, and the highest upper end of an interval."""
    lines = [
        "| problem | ε | method | task loss times | task | also | audit | highest upper end | trainings | ms a step | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (problem, method, scale), group in by(finished(rows), "problem", "method", "scale").items():
        also = [
            f"{name} {np.mean([value(row, name) for row in group]):.4f}"
            for name in OTHER
            if value(group[0], name) is not None
        ]
        audits = [row["audit"] for row in group]
        cells = (
            problem,
            f"{group[0]['epsilon']:g}",
            method,
            f"{scale:g}",
            number(float(np.mean([row["task"] for row in group]))),
            ", ".join(also) or "–",
            number(float(np.mean([a["mi"] for a in audits]))),
            number(max(a["upper"] for a in audits)),
            max(row["trainings"] for row in group),
            f"{min(row['ms_per_step'] for row in group):.1f}",
            len(group),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def shortcomings(problem_name: str, rows: list[Row], others: list[Row]) -> list[str]:
    """What the rows of one method on one problem fall short of; `others` are those of no constraint at all."""
    problem, found = PROBLEMS[problem_name], []
    leak = max(row["audit"]["mi"] / row["epsilon"] for row in rows)
    upper = max(row["audit"]["upper"] / row["epsilon"] for row in rows)
    if not leak <= LEAK:
        found.append(f"an audit finds {leak:.2f} ε")
    if not upper <= UPPER:
        found.append(f"an interval ends at {upper:.2f} ε")
    tasks = {
        scale: float(np.mean([row["task"] for row in group]))
        for (scale,), group in by(rows, "scale").items()
    }
    low, high = min(tasks.values()), max(tasks.values())
    if not high <= TASK * low:
        found.append(f"task losses of the scales differ by {100 * (high / low - 1):.1f} %")
    best = problem.best
    if problem_name == "no_leak" and others:
        best = float(np.mean([row["task"] for row in others]))
    if best is not None and not high <= TASK * best:
        found.append(f"a task loss of {number(high)}, where {number(best)} is known")
    for wanted, sign in ((problem.at_least, 1), (problem.at_most, -1)):
        for name, bound in wanted.items():
            for (scale,), group in by(rows, "scale").items():
                mean = float(np.mean([value(row, name) for row in group]))
                if not sign * mean >= sign * bound:
                    found.append(f"{name} {mean:.4f} at scale {scale:g}, wanted {bound:g}")
    return found


def verdict(rows: list[Row]) -> str:
    """A line for each problem and method: whether it reaches what is wanted, and else what is missing."""
    lines = ["| problem | method | runs | verdict |", "| --- | --- | --- | --- |"]
    done = finished(rows)
    for (problem, method), group in by(done, "problem", "method").items():
        if method == "none":
            continue
        others = [r for r in done if (r["problem"], r["method"]) == (problem, "none")]
        missing = shortcomings(problem, group, [r for r in others if r["scale"] == 1])
        lines.append(
            f"| {problem} | {method} | {len(group)} | {'; '.join(missing) or 'as wanted'} |"
        )
    return "\n".join(lines)
