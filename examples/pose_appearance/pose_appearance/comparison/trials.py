"""What tuning tried, for the record."""

__all__ = ["trials"]

from typing import Any

from ..data import DATA_SETS
from ..studies.run import Run, compared
from ..studies.section import Section, Table, number
from .tuned import read_record

TEXT = (
    "Weights that published work ties to its own scale were chosen by the median triplet error on "
    "validation identities, taken from the training ones: as many trials for every method that has"
    " one. Where the type of body is known, fresh critics are asked about it too, and methods "
    "whose bound keeps ε take a trial of at most 2 ε if they have one. robust and supervised have "
    "no weight."
)

HEADER = ["method", "weights", "steps", "validation error, mean", "median", "nats of the body", ""]


def trials(runs: list[Run]) -> Section | None:
    """Shows the trials behind the weights of some runs."""
    section = Section("Tuning", TEXT)
    methods = dict.fromkeys(run.method for run in runs)
    for data in compared(runs):
        records = {method: read_record(data, method) for method in methods}
        rows = [
            _row(method, trial, trial["options"] == record["chosen"])
            for method, record in records.items()
            for trial in record.get("trials", ())
        ]
        if rows:
            title = f"Trials on {data}, preset {DATA_SETS[data].tuned_with}"
            section.tables.append(Table(title, HEADER, rows))
    return section if section.tables else None


def _row(method: str, trial: dict[str, Any], chosen: bool) -> list[str]:
    """Returns the cells of a trial."""
    weights = ", ".join(f"{name} {value:g}" for name, value in trial["options"].items())
    errors = (trial["validation_mean"], trial["validation_median"])
    cells = [method, weights, str(trial["steps"]), *(number(error, 4) for error in errors)]
    body = trial.get("validation_body")
    return [*cells, "" if body is None else number(body), "chosen" if chosen else ""]
