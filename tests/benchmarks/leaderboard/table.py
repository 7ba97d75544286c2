"""Writes figures of finished rows as markdown and plots.

`python tests/benchmarks/leaderboard/table.py runs/leaderboard/rows.jsonl --out
runs/leaderboard/page`
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import figures
import numpy as np
from figures import BUDGETS, Row

# What methods/ says of them, so that a table needs no torch: those whose settings ask for a leak.
TARGETS = (
    "mireg",
    "mireg, held out",
    "mireg.Eraser",
    "L-MIFR",
    "dual ascent on mireg's critic",
    "cooper on mireg's critic",
    "humancompatible on mireg's critic",
)
ORACLES = ("quadratic LEACE",)
"""Methods that need the attribute where codes are made: not to be compared with the others."""
SHARES = (0.10, 0.15, 0.20, 0.30)
PUBLISHED = {
    "FCRL, published": (0.740, 0.761, 0.777, 0.807),
    "FNF, published": (0.759, 0.759, 0.759, 0.783),
    "FARE, published": (0.754, 0.759, 0.759, 0.794),
}
"""Best accuracy on Health, age at 60, at a parity gap of at most 0.1, 0.15, 0.2 and 0.3, as
committed by the authors of FARE (Jovanović et al., 2023).
"""


def number(value: float | None, digits: int = 3) -> str:
    """Returns a rounded number, or a word for what is not one."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "never"
    return f"{value:.{digits}f}"


def lines(head: list[str], body: list[list[str]]) -> Iterator[str]:
    """Gives the lines of a table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in body:
        yield "| " + " | ".join(row) + " |"


def mean(values: list[float]) -> float:
    """Returns the mean over seeds, or nan for none."""
    return float(np.mean(values)) if values else math.nan


def cell(found: list[Row | None]) -> str:
    """Returns quality and leak of the chosen rows of all seeds."""
    there = [row for row in found if row]
    if not there:
        return "–"
    mark = "" if all(row["settled"] for row in there) else "*"
    few = f" ({len(there)} of {len(found)} seeds)" if len(there) < len(found) else ""
    leak = mean([row["leak"] for row in there])
    return f"{number(mean([row['quality'] for row in there]))} ({number(leak)}{mark}){few}"


def of_task(rows: list[Row], task: str) -> Iterator[str]:
    """Gives the table of a task: quality at audited leakage within each budget. All methods must
    have the same seeds.
    """
    rows = figures.of(rows, task=task)
    seeds = sorted({row["seed"] for row in rows})
    alone = [row["quality"] for row in figures.of(rows, method="encoder alone")]
    best = mean(alone or [row["quality"] for row in rows])
    body, places = [], []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = figures.of(rows, method=method)
        by_seed = [figures.of(own, seed=seed) for seed in seeds]
        within = [[figures.chosen(part, budget) for part in by_seed] for budget in BUDGETS]
        gap = mean([r["parity_gap"] for r in within[1] if r and "parity_gap" in r])
        tries = mean([figures.trainings(part, BUDGETS[1], method in TARGETS) for part in by_seed])
        space = mean([figures.area(part, best) for part in by_seed])
        seconds = [figures.seconds(part) for part in by_seed]
        name = method + (" (needs s)" if method in ORACLES else "")
        body.append(
            [
                name,
                *(cell(found) for found in within),
                number(space),
                number(gap),
                number(tries, 1),
                f"{mean(seconds):.0f}",
                str(len(by_seed[0])),
            ]
        )
        places.append(space)
    head = [
        "method",
        *(f"≤ {budget:g}" for budget in BUDGETS),
        "area",
        "gap at 0.05",
        "trainings to 0.05",
        "s, all trainings",
        "settings",
    ]
    yield from lines(head, [body[i] for i in np.argsort(places, kind="stable")])


def of_targets(rows: list[Row]) -> Iterator[str]:
    """Gives the control errors of methods that are asked for a leak."""
    body = []
    for method in TARGETS:
        own = figures.of(rows, method=method)
        for budget in BUDGETS:
            if not (part := [row for row in own if math.isclose(row["setting"], budget)]):
                continue
            errors = figures.control_errors(part)
            body.append(
                [
                    method,
                    f"{budget:g}",
                    number(float(np.median(errors)), 2),
                    number(max(errors), 2),
                    f"{100 * figures.kept_word(part):.0f} %",
                    str(len(part)),
                ]
            )
    head = ["method", "asked", "audited / asked, median", "worst", "upper end ≤ 1.25 ε", "rows"]
    yield from lines(head, body)


def of_asked(rows: list[Row], method: str = "mireg") -> Iterator[str]:
    """Gives what the judge found for each target of a method, a line a task, first seed."""
    first = figures.of(rows, seed=min((row["seed"] for row in rows), default=0))
    body = []
    for task in dict.fromkeys(row["task"] for row in first):
        own = figures.of(first, task=task, method=method)
        alone = figures.of(first, task=task, method="encoder alone")
        if not own:
            continue
        cells = []
        for budget in BUDGETS:
            row = figures.asked(own, budget)
            text = "–"
            if row is not None:
                mark = "" if row["settled"] else "*"
                interval = f"{number(row['low'])} to {number(row['high'])}"
                text = f"{number(row['leak'])}{mark} ({interval}), {number(row['quality'])}"
            cells.append(text)
        free = "–"
        if alone:
            free = f"{number(alone[0]['leak'])}, {number(alone[0]['quality'])}"
        body.append([task, *cells, free])
    asked = (f"asked {budget:g}" for budget in BUDGETS)
    yield from lines(["task", *asked, "encoder alone"], body)


def of_seeds(rows: list[Row], method: str = "mireg") -> Iterator[str]:
    """Gives what the judge found for each target of a method, where several seeds were trained."""
    body = []
    for task in dict.fromkeys(row["task"] for row in rows):
        here = figures.of(rows, task=task, method=method)
        by_seed = [figures.of(here, seed=seed) for seed in sorted({row["seed"] for row in here})]
        for budget in BUDGETS:
            own = [row for part in by_seed if (row := figures.asked(part, budget))]
            if len(own) < 2:
                continue
            body.append(
                [
                    task,
                    f"{budget:g}",
                    ", ".join(str(row["seed"]) for row in own),
                    ", ".join(number(row["leak"]) for row in own),
                    number(max(row["high"] for row in own)),
                    ", ".join(number(row["quality"]) for row in own),
                ]
            )
    head = ["task", "ε", "seeds", "nats", "highest upper end", "quality"]
    yield from lines(head, body)


def of_promise(rows: list[Row]) -> Iterator[str]:
    """Gives mireg as asked, one training, beside the best of all trainings of a rival: within ε as
    chosen on validation rows, and with no more nats than mireg as chosen on the test.
    """
    body = []
    for task in dict.fromkeys(row["task"] for row in rows):
        of_here = figures.of(rows, task=task)
        for budget in BUDGETS[1:]:
            for seed in sorted({row["seed"] for row in of_here}):
                here = figures.of(of_here, seed=seed)
                ours = figures.asked(figures.of(here, method="mireg"), budget)
                rivals = {
                    name: figures.of(here, method=name)
                    for name in dict.fromkeys(row["method"] for row in here)
                    if not name.startswith("mireg") and name not in ORACLES
                }
                within = [row for own in rivals.values() if (row := figures.chosen(own, budget))]
                if ours is None or not within:
                    continue
                quiet = [r for own in rivals.values() for r in own if r["leak"] <= ours["leak"]]
                validated = max(within, key=lambda row: row["validation_quality"])
                best = max(quiet, key=lambda row: row["quality"], default=None)
                trained = rivals[best["method"]] if best else []
                body.append(
                    [
                        task,
                        f"{budget:g}",
                        str(seed),
                        f"{cell([ours])} to {number(ours['high'])}",
                        "yes" if ours["high"] <= figures.SLACK * budget else "no",
                        f"{figures.seconds([ours]):.0f}",
                        f"{validated['method']}: {cell([validated])}",
                        f"{best['method']}: {cell([best])}" if best else "–",
                        f"{figures.seconds(trained):.0f}",
                    ]
                )
    head = [
        "task",
        "ε",
        "seed",
        "mireg as asked: quality (nats) to upper end",
        "≤ 1.25 ε",
        "s",
        "best rival within ε on validation rows",
        "best rival with no more nats on the test",
        "s, all its trainings",
    ]
    yield from lines(head, body)


def of_budgets(rows: list[Row]) -> Iterator[str]:
    """Gives the quality within each budget and the number of settings, of the methods that most
    tasks have.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = figures.of(rows, method=method)
        by_task = [figures.of(own, task=task) for task in tasks]
        if method == "encoder alone" or 2 * sum(map(bool, by_task)) <= len(tasks):
            continue
        cells = []
        for here in by_task:
            within = [figures.chosen(here, budget) for budget in BUDGETS]
            found = ", ".join(number(row["quality"] if row else None) for row in within)
            cells.append(f"{found} ({len(here)})" if here else "")
        body.append([method, *cells])
    yield from lines(["method", *tasks], body)


def of_controls(rows: list[Row]) -> Iterator[str]:
    """Gives what the judge found where the answer is known."""
    body = [
        [
            f"{row['method']}, {row['task']}",
            number(row["truth"], 4),
            number(row["leak"], 4),
            f"{number(row['low'], 4)} to {number(row['high'], 4)}",
        ]
        for row in rows
        if "truth" in row
    ]
    yield from lines(["control", "truth", "found", "interval"], body)


def of_listing(rows: list[Row], task: str) -> Iterator[str]:
    """Gives all rows of a task by leakage, first seed."""
    first = figures.of(rows, task=task, seed=min(row["seed"] for row in rows))
    body = [
        [
            row["method"],
            f"{row['setting']:g}",
            number(row["leak"]) + ("" if row["settled"] else "*"),
            f"{number(row['low'])} to {number(row['high'])}",
            number(row.get("auc")),
            number(row.get("leak_of_means")),
            number(row["quality"]),
            number(row.get("parity_gap")),
            row["attacker"],
        ]
        for row in sorted(first, key=lambda row: row["leak"])
    ]
    head = ["method", "setting", "nats", "interval", "AUC", "nats of means"]
    yield from lines([*head, "quality", "parity gap", "chosen attacker"], body)


def audit_of(row: Row) -> str:
    """Returns what `mireg.audit` found in the codes of a row, if it was asked."""
    if "audit" not in row:
        return "–"
    found = row["audit"]
    mark = "" if found["settled"] else "*"
    return f"{number(found['mi'])}{mark} ({number(found['low'])} to {number(found['high'])})"


def of_audits(rows: list[Row]) -> Iterator[str]:
    """Gives what the judge and `mireg.audit` found in the same codes, and the audit's verdict."""
    body = []
    for row in rows:
        if "audit" in row:
            mark = "" if row["settled"] else "*"
            body.append(
                [
                    row["task"],
                    row["method"],
                    f"{row['setting']:g}",
                    str(row["seed"]),
                    f"{number(row['leak'])}{mark} ({number(row['low'])} to {number(row['high'])})",
                    audit_of(row),
                    row["audit"]["verdict"],
                ]
            )
    head = ["task", "method", "setting", "seed", "judge", "mireg.audit", "verdict"]
    yield from lines(head, body)


def of_published(rows: list[Row]) -> Iterator[str]:
    """Gives the best accuracy at a parity gap, on the test as published ones are, beside these."""
    own = figures.of(rows, task="health, age at 60")
    body = []
    for method in dict.fromkeys(row["method"] for row in own):
        found = []
        for share in SHARES:
            within = [r for r in figures.of(own, method=method) if r["parity_gap"] <= share]
            found.append(number(max((r["quality"] for r in within), default=None)))
        body.append([method, *found])
    body += [[name, *map(number, values)] for name, values in PUBLISHED.items()]
    yield from lines(["health, age at 60", *(f"gap ≤ {share:g}" for share in SHARES)], body)


def page(rows: list[Row]) -> str:
    """Returns all tables."""
    judged = figures.codes(rows)
    alike = figures.shared(judged)
    parts = ["## Controls", "", *of_controls(rows), ""]
    for task in dict.fromkeys(row["task"] for row in judged):
        parts += [f"## {task.capitalize()}", "", *of_task(alike, task), ""]
        parts += [f"## {task.capitalize()}, row by row", "", *of_listing(judged, task), ""]
    parts += ["## What mireg was asked for, and what the judge found", "", *of_asked(judged), ""]
    parts += ["## Several seeds", "", *of_seeds(judged), ""]
    parts += ["## As asked, beside the best rival", "", *of_promise(alike), ""]
    parts += ["## Within each budget", "", *of_budgets(alike), ""]
    parts += ["## Asked and audited", "", *of_targets(judged), ""]
    parts += ["## The judge beside the audit of the library", "", *of_audits(judged), ""]
    if figures.of(judged, task="health, age at 60"):
        parts += ["## Beside published figures", "", *of_published(alike), ""]
    return "\n".join(parts)


def read(paths: list[Path]) -> list[Row]:
    """Returns the rows of files, or of the folders that `run.py` writes."""
    files = [path / "rows.jsonl" if path.is_dir() else path for path in paths]
    texts = [line for path in files for line in path.read_text().splitlines()]
    return figures.merged(json.loads(text) for text in texts)


def main() -> None:
    """Writes `tables.md`, `pareto.png`, `asked.png` and the rows in one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard/page"))
    options = parser.parse_args()
    rows = read(options.rows)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "tables.md").write_text(page(rows) + "\n")
    (options.out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import plots

    plots.pareto(figures.codes(rows), options.out / "pareto.png")
    plots.asked(figures.codes(rows), TARGETS, options.out / "asked.png")
    print(page(rows))


if __name__ == "__main__":
    main()
