"""Sec. 4.2 and Fig. 1 of the paper: what each code says alone, and which images have similar pose codes."""

__all__ = ["codes", "look_into_codes"]

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluate import retrieve
from evaluation.visualize import train_visualizers, visualization_grid
from training.files import write_json

from .finished import FinishedRun, of_data
from .plan import TABLE1, Budget
from .section import Picture, Section, Table, number

FILE = "retrieval.json"

COUNTS = ("top_1", "top_5", "top_10", "chance")

TEXT = (
    "Two decoders, of one detached code each, draw the mean of all images that a code leaves possible: the pose code without an appearance in the upper row, the appearance code without a pose in the "
    "left column, beside their inputs; in the middle is the transfer. Colours in the upper row would be a leak. Retrieval: the share of the nearest pose codes of other held-out identities that have "
    "the same pose, view or animation, or are within an eighth of its cycle; frames of hits are green, of misses red. Seed 0."
)


def look_into_codes(runs: list[FinishedRun], budget: Budget) -> Iterator[str]:
    """Draws single codes and retrieval into the folders of runs; what is there is not made again.

    Arguments:
        runs: The finished runs: seed 0 of the methods that the budget names.
        budget: How long decoders are trained, and how many identities are searched.

    Yields:
        What comes next: the work can be left there.
    """
    for run in runs:
        chosen = run.options.seed == 0 and run.method in budget.explained
        if not chosen or (run.folder / FILE).exists():
            continue
        yield f"codes of {run.folder.name}"
        model, held_out = run.trainer().averaged, run.some_held_out(budget.gallery)
        decoders = train_visualizers(model, run.images.subset("train"), budget.judge_steps)
        picture = visualization_grid(model, decoders, held_out, count=5)
        picture.save(run.folder / "visualization.png")
        scores = retrieve(model, held_out, run.folder)
        write_json(run.folder / FILE, {"gallery": len(held_out), **scores})


def read_retrieval(run: FinishedRun) -> dict[str, Any]:
    """Gives what :func:`look_into_codes` found, nothing where it did not look."""
    path = run.folder / FILE
    return json.loads(path.read_text()) if path.exists() else {}


def retrieval_rows(scores: dict[str, Any], name: str = "") -> list[list[str]]:
    """Gives a row for all that is known of poses."""
    return [
        [*([name] if name else []), kind, *(number(values[count]) for count in COUNTS)]
        for kind, values in scores.items()
        if isinstance(values, dict) and set(COUNTS) <= values.keys()
    ]


def codes(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows pictures of single codes and of retrieval, and the precision of the latter.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Sec. 4.2 and Fig. 1: single codes and retrieval", TEXT)
    for data, of_one in of_data(runs).items():
        found = {run: scores for run in of_one if (scores := read_retrieval(run))}
        # From `robust` and column e down to column a.
        names = list(reversed(TABLE1))
        order = sorted(found, key=lambda run: (*names, run.method).index(run.method))
        if not order:
            continue
        rows = [row for run in order for row in retrieval_rows(found[run], run.method)]
        caption = f"{data}: precision of retrieval among {found[order[0]]['gallery']} images"
        header = ["method", "the same", *(name.replace("_", " ") for name in COUNTS)]
        section.tables.append(Table(caption, header, rows))
        for run in order:
            section.numbers[run.folder.name] = found[run]
            # Table 1 shows those of its other rows.
            if run.method == "robust":
                for title, name in (
                    ("single codes", "visualization"),
                    ("nearest pose codes", "retrieval"),
                ):
                    path = run.folder / f"{name}.png"
                    section.pictures.append(Picture(f"{run.method}, {data}: {title}", path))
    return section if section.tables else None
