"""Table 1 of the paper: what each part of the full model is for."""

__all__ = ["table1", "table1_columns"]

from pathlib import Path

import numpy as np

from ..methods import METHODS
from ..studies.run import Run, compared
from ..studies.section import Section, Table, number

HEADER = [
    "",
    "method",
    "I_T",
    "I_T'",
    "L_rec",
    "fresh critics",
    "of the body",
    "at least",
    "triplet error, median",
    "mean",
    "γ",
    "λ",
    "KL",
]

TEXT = (
    "I_T and I_T' are moving averages at the end of training, and L_rec is the sum of squared "
    "errors of an image on [-1, 1] then, all in nats. Fresh critics are those of mireg.audit: "
    "trained to convergence on frozen codes of held-out identities, no identity on both sides; 'of"
    " the body' is what they tell of the type of body from the pose code, where it is known: of "
    "few held-out identities it shows what their appearance codes do not. ± is 1.96 standard "
    "errors, and 'at least' is what holds with 95 % confidence. Pictures of seed 0: poses across, "
    "appearances down, all held out; the second row and column, where there are such, show what "
    "each code says alone (Sec. 4.2)."
)


def table1_columns() -> dict[str, str]:
    """Returns the methods of Table 1 by column, and below them the constraint of the library."""
    columns = {name: x.column for name, x in METHODS.items() if x.column is not None}
    return dict(sorted(columns.items(), key=lambda item: (item[1] == "", item[1])))


def table1(runs: list[Run]) -> Section | None:
    """Shows columns a to e of Table 1 as rows, one for each run, and `robust` below them."""
    section, rows = Section("Table 1: ablations", TEXT), list(table1_columns())
    for data, of_one in compared(runs).items():
        chosen = [run for run in of_one if run.method in rows]
        chosen.sort(key=lambda run: (rows.index(run.method), run.options.seed))
        if not chosen:
            continue
        caption = f"{data}, ε = {chosen[0].options.epsilon:g}"
        section.tables.append(Table(caption, HEADER, [_row(run) for run in chosen]))
        for run in chosen:
            section.numbers[run.folder.name] = _numbers(run)
            if run.options.seed == 0:
                letter = METHODS[run.method].column
                title = f"{letter}) {run.method}, {data}".removeprefix(") ")
                section.show(title, _picture_of(run.folder))
    return section if section.tables else None


def _picture_of(folder: Path) -> Path:
    """Returns the transfer grid of a run: the one with single codes on its borders, where it was
    drawn.
    """
    path = folder / "visualization.png"
    return path if path.exists() else folder / "transfer.png"


def _numbers(run: Run) -> dict[str, float | None]:
    """Returns the numbers of a row."""
    training, found = run.metrics, run.result("audit")
    audit, body = found["audit"], found.get("audit_body")
    return {
        "mi_average": training["mi_average"],
        "mi_shadow_average": training["mi_shadow_average"],
        "reconstruction": training["reconstruction"],
        "audit": audit["mi"],
        "audit_standard_error": audit["standard_error"],
        "audit_lower_bound": audit["lower_bound"],
        "audit_body": body["mi"] if body else None,
        "audit_body_standard_error": body["standard_error"] if body else None,
        "triplet_median": float(np.median(run.errors)),
        "triplet_mean": float(run.errors.mean()),
        "gamma": training["gamma"],
        "multiplier": training["multiplier"],
        "kl": training["kl"],
    }


def _interval(value: float | None, error: float | None) -> str:
    """Writes an estimate with 1.96 standard errors, nothing where there is none."""
    return "" if value is None or error is None else f"{value:.3f} ± {1.96 * error:.3f}"


def _row(run: Run) -> list[str]:
    """Returns the cells of a row."""
    n = _numbers(run)
    seed = f", seed {run.options.seed}" if run.options.seed else ""
    return [
        METHODS[run.method].column,
        run.method + seed,
        number(n["mi_average"]),
        number(n["mi_shadow_average"]),
        number(n["reconstruction"], 1),
        _interval(n["audit"], n["audit_standard_error"]),
        _interval(n["audit_body"], n["audit_body_standard_error"]),
        number(n["audit_lower_bound"]),
        number(n["triplet_median"], 4),
        number(n["triplet_mean"], 4),
        number(n["gamma"], 2),
        number(n["multiplier"], 2),
        number(n["kl"], 1),
    ]
