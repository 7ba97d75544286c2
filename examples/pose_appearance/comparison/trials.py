"""What tuning tried, for the record."""

__all__ = ["trials"]

from pathlib import Path
from typing import Any

from .finished import FinishedRun, of_data
from .section import Section, Table, number
from .tuning_record import TUNED, read_record

TEXT = (
    "Weights that published work ties to its own scale were chosen by the median triplet error on validation identities, taken from the training "
    "ones: as many trials for every method that has one. Where the type of body is known, fresh critics are asked about it too, and methods whose bound keeps ε "
    "take a trial of at most 2 ε if they have one. robust and supervised have no weight."
)

HEADER = ["method", "weights", "steps", "validation error, mean", "median", "nats of the body", ""]


def trials(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows the trials behind the weights of some runs.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Tuning", TEXT)
    methods = dict.fromkeys(run.method for run in runs)
    for data in of_data(runs):
        rows = [
            _row(method, trial, trial["options"] == of_method["chosen"])
            for method, of_method in read_record(data).items()
            if method in methods
            for trial in of_method["trials"]
        ]
        if rows:
            title = f"Trials on {data}, preset {TUNED[data]}"
            section.tables.append(Table(title, HEADER, rows))
    return section if section.tables else None


def _row(method: str, trial: dict[str, Any], chosen: bool) -> list[str]:
    """Gives the cells of a trial."""
    weights = ", ".join(f"{name} {value:g}" for name, value in trial["options"].items())
    errors = (trial["validation_mean"], trial["validation_median"])
    cells = [method, weights, str(trial["steps"]), *(number(error, 4) for error in errors)]
    body = trial.get("validation_body")
    return [*cells, "" if body is None else number(body), "chosen" if chosen else ""]
