"""Figs. 8 and 9 of the paper: the appearance of some identities, driven by the pose sequences of others."""

__all__ = ["animation", "film_runs"]

from collections.abc import Iterator
from pathlib import Path

from evaluate import film as film_of
from evaluation.animation import save_gif, save_mp4

from .finished import FinishedRun, of_data
from .plan import Budget
from .section import Picture, Section

NAME = "animation.gif"

MOST_BYTES = 4_000_000
"""Larger films stay out of the page."""

TEXT = (
    "The appearances along the top, driven by the sequences of poses down the left side. All are held out; the model is robust, seed 0. Beside this film in the folder of the run lies an MP4, "
    "where ffmpeg was installed."
)


def film_runs(runs: list[FinishedRun], budget: Budget) -> Iterator[str]:
    """Writes a film into the folder of each run of the full model with seed 0; what is there is not made again.

    Arguments:
        runs: The finished runs.
        budget: The budget.

    Yields:
        What comes next: the work can be left there.
    """
    for run in runs:
        path = run.folder / NAME
        if run.method != "robust" or run.options.seed or path.exists():
            continue
        yield f"film of {run.folder.name}"
        frames = film_of(run.trainer(), run.held_out)
        save_mp4(frames, path.with_suffix(".mp4"))
        partial = path.with_suffix(".partial.gif")
        save_gif(frames, partial)
        partial.replace(path)


def film_picture(run: FinishedRun) -> Picture | None:
    """Gives the film of a run for the page, nothing where there is none or it is large."""
    path = run.folder / NAME
    if not path.exists() or path.stat().st_size > MOST_BYTES:
        return None
    return Picture(f"{run.method}, {run.options.data}", path)


def animation(runs: list[FinishedRun], out: Path) -> Section | None:
    """Shows the films.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    section = Section("Figs. 8 and 9: animation", TEXT)
    for of_one in of_data(runs).values():
        section.pictures.extend(film for run in of_one if (film := film_picture(run)))
    return section if section.pictures else None
