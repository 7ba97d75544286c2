"""The comparison of all methods on one model and one budget, and the page that shows it."""

__all__ = ["CompareOptions", "main"]

import platform
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ..comparison.claims import claims
from ..comparison.fig7 import fig7
from ..comparison.legend import legend
from ..comparison.plan import BUDGETS, plan
from ..comparison.report import write_report
from ..comparison.runner import run_all
from ..comparison.table1 import table1
from ..comparison.trials import trials
from ..comparison.tuned import TUNED
from ..comparison.tuning import tune
from ..methods import METHODS
from ..studies import STUDIES
from ..training.files import write_json
from ..training.run import StopSignal


@dataclass(frozen=True)
class CompareOptions:
    """Train, measure and show every method side by side.

    Started again, it goes on where it was stopped.
    """

    out: Path
    """Where runs, report.html, comparison.json and pictures go."""
    budget: Literal[tuple(BUDGETS)] = "quick"
    """quick: puppets at 32x32, at most 15 minutes on 2 cores; full: sprites and puppets at 64x64,
    64 trainings of 3,000 steps; smoke: a few steps of each."""
    data_root: Path | None = None
    """Where the sprites are, for the full budget."""
    methods: tuple[str, ...] = tuple(METHODS)
    """The methods to compare."""
    seeds: int | None = None
    """The most seeds of a method, instead of the budget's."""
    data: tuple[str, ...] = ()
    """The data to train on, instead of all those of the budget: sprites, puppets, creatures."""
    studies: tuple[Literal[tuple(STUDIES)], ...] = tuple(STUDIES)
    """What to measure of the runs beside triplet_error and audit, which the report needs."""
    tune: bool = False
    """Make the trials of tuning instead, on validation identities, and write DATA/METHOD.json."""
    steps: int | None = None
    """How many steps each run makes, instead of the budget's."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, mps."""
    compile: Literal["auto", "yes", "no"] | None = None
    """Whether runs compile their networks, instead of what the budget says."""
    threads: int = 0
    """The number of CPU threads; 0 leaves it to torch."""
    machine: str = platform.processor() or platform.machine()
    """What the report says of the machine."""


def main(options: CompareOptions) -> int:
    """Completes the runs and writes the report."""
    if options.threads:
        torch.set_num_threads(options.threads)
    names = ("device", "threads", "compile", "steps")
    changes: dict[str, int | str] = {
        name: value for name in names if (value := getattr(options, name)) is not None
    }
    budget = plan(
        options.budget, options.data_root, options.methods, options.seeds, options.data, **changes
    )
    options.out.mkdir(parents=True, exist_ok=True)
    stop, start = StopSignal(), time.monotonic()
    if options.tune:
        if tune(budget, options.out, stop) is None:
            return _stopped(stop)
        print(f"The records are in {options.out}: comparisons read them from {TUNED}")
        return 0
    budget = replace(budget, studies={"triplet_error", "audit", *options.studies})
    runs = run_all(budget, options.out / "runs", stop)
    if runs is None:
        return _stopped(stop)
    sections = (
        legend(runs),
        table1(runs),
        fig7(runs, options.out),
        claims(runs),
        *(study.section(runs) for study in STUDIES.values()),
        trials(runs),
    )
    shown = [section for section in sections if section is not None]
    seeds, steps = ({getattr(run.options, name) for run in runs} for name in ("seed", "steps"))
    training = sum(run.metrics["seconds"] for run in runs)
    facts = [
        ("command", " ".join(("python", Path(sys.argv[0]).name, *sys.argv[1:]))),
        ("seeds", ", ".join(map(str, sorted(seeds)))),
        ("steps a run", ", ".join(map(str, sorted(steps)))),
        ("training", f"{training / 60:.1f} minutes in {len(runs)} runs"),
        ("machine", options.machine),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
    ]
    write_report(options.out / "report.html", f"Comparison, budget {options.budget}", facts, shown)
    numbers = {section.title: section.numbers for section in shown}
    write_json(options.out / "comparison.json", {"made": dict(facts), **numbers})
    minutes = (time.monotonic() - start) / 60
    print(f"report.html and comparison.json are in {options.out}, after {minutes:.1f} minutes")
    return 0


def _stopped(stop: StopSignal) -> int:
    print(f"Stopped by {stop.name}: the same command goes on from here")
    return 1
