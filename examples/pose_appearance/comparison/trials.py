"""What tuning tried, for the record."""

__all__ = ["trials"]

from pathlib import Path
from typing import Any

from .finished import FinishedRun
from .section import Section, Table, number
from .tuning_record import TUNED, read_record

TEXT = (
    "Weights that published work ties to its own scale were chosen by the median triplet error on validation identities, taken from the training "
    "ones: as many trials for every method, robust included. The best of each is what was compared; supervised has no weight."
)

HEADER = ["method", "weights", "steps", "validation error, mean", "median", ""]


def trials(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows the trials behind the weights of some runs.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Tuning", TEXT)
    methods = dict.fromkeys(run.method for run in runs)
    record = {name: of for name, of in read_record(TUNED).items() if name in methods}
    rows = [
        _row(method, trial, trial["options"] == of_method["chosen"])
        for method, of_method in record.items()
        for trial in of_method["trials"]
    ]
    if rows:
        section.tables.append(Table(f"Trials at the sizes of preset {TUNED}", HEADER, rows))
    return section if section.tables else None


def _row(method: str, trial: dict[str, Any], chosen: bool) -> list[str]:
    """Gives the cells of a trial."""
    weights = ", ".join(f"{name} {value:g}" for name, value in trial["options"].items())
    errors = (trial["validation_mean"], trial["validation_median"])
    cells = [method, weights, str(trial["steps"]), *(number(error, 4) for error in errors)]
    return [*cells, "chosen" if chosen else ""]
