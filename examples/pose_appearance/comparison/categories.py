"""Sec. 4.3 of the paper: transfer across categories that no pair of training images mixes."""

__all__ = ["categories", "cross_categories"]

from collections.abc import Iterator
from pathlib import Path

from evaluation.categories import category_errors, category_grid

from .animation import film_picture
from .codes import COUNTS, read_retrieval, retrieval_rows
from .finished import APART, FinishedRun
from .plan import Budget
from .section import Picture, Section, Table, number

NAME = "categories.png"

TEXT = (
    "Bipeds, quadrupeds and birds: two images of a pair are always of one creature, so that nothing in training says what a pose of a bird is on a horse. View, animation and phase mean the same in all. "
    "Triplet errors within and across categories, and the precision of retrieval by pose code among creatures of other categories. Pictures: poses across, appearances down; nearest pose codes of other "
    "categories; a film."
)


def cross_categories(runs: list[FinishedRun], budget: Budget) -> Iterator[str]:
    """Draws transfers across categories into the folders of runs on creatures; what is there is not made again.

    Arguments:
        runs: The finished runs.
        budget: The budget.

    Yields:
        What comes next: the work can be left there.
    """
    for run in _of_creatures(runs):
        path = run.folder / NAME
        if not path.exists():
            yield f"categories of {run.folder.name}"
            category_grid(run.trainer().averaged, run.held_out).save(path)


def categories(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows transfer and retrieval across categories.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Sec. 4.3: across categories", TEXT)
    for run in _of_creatures(runs):
        errors = category_errors(run.held_out, run.triplets, run.errors)
        header = [name.replace("_", " ") for name in errors]
        cells = [number(value, 4) for value in errors.values()]
        section.tables.append(Table(f"{run.method}: triplet errors", header, [cells]))
        found = read_retrieval(run).get("across_categories", {})
        section.numbers[run.folder.name] = {**errors, "retrieval": found}
        if found:
            header = ["the same", *(name.replace("_", " ") for name in COUNTS)]
            caption = f"{run.method}: precision of retrieval among other categories"
            section.tables.append(Table(caption, header, retrieval_rows(found)))
        for title, name in (("transfer", NAME), ("nearest pose codes", "retrieval_across.png")):
            if (run.folder / name).exists():
                section.pictures.append(Picture(f"{run.method}: {title}", run.folder / name))
        film = film_picture(run)
        if film is not None:
            section.pictures.append(film)
    return section if section.tables else None


def _of_creatures(runs: list[FinishedRun]) -> list[FinishedRun]:
    return [run for run in runs if run.options.data == APART]
