"""Completes planned runs, each in a folder: what is done stays, what was cut off goes on."""

__all__ = ["complete", "run_all", "study_run"]

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ..data import DATA_SETS
from ..studies import STUDIES, Run, Study
from ..studies.pictures import curves
from ..studies.run import images_of
from ..training.checkpoint import checkpoints_of
from ..training.files import write_json
from ..training.finished import write_metrics
from ..training.log import read_log
from ..training.options import TrainOptions, read_options, write_options
from ..training.run import StopSignal, build_trainer, compiles, pick_device, resume, train
from .plan import Budget, PlannedRun


def run_all(budget: Budget, out: Path, stop: StopSignal) -> list[Run] | None:
    """Trains the runs of a budget, and makes the studies of each.

    Arguments:
        budget: What to run.
        out: Where the folders of the runs go.
        stop: Ends the work early.

    Returns:
        The runs, or `None` if the work was stopped.
    """
    finished = []
    for number, planned in enumerate(budget.runs, 1):
        print(f"[{number}/{len(budget.runs)}] {planned.name}", flush=True)
        folder = complete(planned, out, stop)
        if folder is None:
            return None
        run = Run(folder, budget.effort)
        for study in study_run(run, budget):
            if stop.name is not None:
                return None
            print(f"{study} of {planned.name}", flush=True)
        run.release()
        finished.append(run)
    return finished


def complete(planned: PlannedRun, out: Path, stop: StopSignal) -> Path | None:
    """Trains a run as far as that is not done yet.

    Returns:
        Its folder, or `None` if it was stopped.
    """
    folder = out / planned.name
    options = _claim(folder, planned.options)
    if (folder / "metrics.json").exists():
        return folder
    device = pick_device(options.device)
    trainer = build_trainer(options, images_of(options), device)
    if checkpoints_of(folder):
        resume(trainer, folder)
    # Short as they are, these runs compile too: there are many of the same networks.
    if options.compile == "auto" and compiles(replace(options, steps=None, minutes=15), device):
        trainer.compile()
    if not train(trainer, folder, stop):
        return None
    curves(read_log(folder), options.epsilon, folder / "curves.png")
    write_metrics(trainer, folder)
    return folder


def _claim(folder: Path, options: TrainOptions) -> TrainOptions:
    """Prepares the folder of a run, and raises where it holds one with other options."""
    path = folder / "options.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_options(options, path)
    saved = read_options(path)
    # Where and how fast a run is made is free to change.
    free = {
        "data_root": options.data_root,
        "device": options.device,
        "compile": options.compile,
        "threads": options.threads,
    }
    if replace(saved, **free) != options:
        raise ValueError(
            f"{folder} holds a run with other options: see its options.json, or give another --out"
        )
    return options


def study_run(run: Run, budget: Budget) -> Iterator[str]:
    """Makes the studies of a run, and writes their numbers into its folder, a file for each.

    What is there is not made again.

    Yields:
        The study that comes next: the work can be left there.
    """
    for name, study in STUDIES.items():
        path = run.folder / f"{name}.json"
        if path.exists() or not _chosen(study, run, budget) or not study.applies(run):
            continue
        yield name
        torch.manual_seed(run.seed)
        write_json(path, study.measure(run, study.gather(run)))


def _chosen(study: Study, run: Run, budget: Budget) -> bool:
    """Returns whether a study looks at a run."""
    first = run.options.seed == 0
    return (
        study.name in budget.studies
        and {
            "all": True,
            "compared": not DATA_SETS[run.options.data].categories,
            "explained": first and run.method in budget.explained,
            "main": first and run.method == "robust",
        }[study.scope]
    )
