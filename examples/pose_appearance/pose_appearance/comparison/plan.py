"""What a budget runs: which methods, on which data, with which seeds and sizes."""

__all__ = ["BUDGETS", "Budget", "PlannedRun", "plan"]

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ..methods import METHODS
from ..studies import STUDIES, Effort
from ..training.options import TrainOptions
from .table1 import table1_columns
from .tuned import tuned


class PlannedRun(NamedTuple):
    """One training run."""

    name: str
    """The name of its folder."""
    options: TrainOptions


@dataclass(frozen=True)
class Budget:
    """What is run, and how closely it is looked at."""

    runs: tuple[PlannedRun, ...]
    effort: Effort
    explained: tuple[str, ...] = ("robust",)
    """The methods whose codes are drawn alone."""
    studies: Collection[str] = tuple(STUDIES)
    """The names of the studies to make."""


def _runs(base: TrainOptions, methods: tuple[str, ...], seeds: tuple[int, ...]) -> list[PlannedRun]:
    """Returns a run of each method and seed: only the objective and its tuned weights differ."""
    return [
        PlannedRun(
            f"{base.data}-{method}-{seed}",
            replace(base, seed=seed).with_method(method, **tuned(base.data, base.preset, method)),
        )
        for seed in seeds
        for method in methods
    ]


def smoke(root: Path | None, methods: tuple[str, ...]) -> Budget:
    """A few steps of every method, to see that everything works."""
    base = TrainOptions(
        preset="tiny",
        identities=48,
        test_fraction=0.5,
        poses=8,
        steps=6,
        identities_per_batch=4,
        views=2,
        compile="no",
    )
    effort = Effort(triplets=60, audit_samples=520, judge_steps=3, judged=20, gallery=12, grid=5)
    return Budget(tuple(_runs(base, methods, (0,))), effort)


def quick(root: Path | None, methods: tuple[str, ...]) -> Budget:
    """Puppets at 32x32, at most 15 minutes on 2 cores."""
    base = TrainOptions(
        preset="tiny",
        identities=500,
        test_fraction=0.4,
        poses=60,
        steps=1000,
        compile="no",
        identities_per_batch=8,
        views=4,
        appearances=1,
        colour_noise=0.0,
    )
    effort = Effort(
        triplets=2000, audit_samples=2000, judge_steps=600, judged=500, gallery=40, grid=5
    )
    return Budget(tuple(_runs(base, methods, (0,))), effort, explained=tuple(table1_columns()))


def full(root: Path | None, methods: tuple[str, ...]) -> Budget:
    """Sprites and puppets at 64x64 with the batches of `train.py`, 3 seeds; creatures for robust."""
    if root is None:
        raise ValueError("the full budget trains on sprites: say where they are with --data-root")
    sprites = TrainOptions(data="sprites", data_root=root, steps=3000, width_noise=0.08)
    puppets = TrainOptions(steps=3000)
    # Nobody knows the keypoints of sprites.
    of_sprites = tuple(name for name in methods if not METHODS[name].given_poses)
    # By seeds, so that a comparison that is cut off has every method.
    runs = [
        run
        for seed in (0, 1, 2)
        for run in _runs(sprites, of_sprites, (seed,)) + _runs(puppets, methods, (seed,))
    ]
    if "robust" in methods:
        runs += _runs(replace(puppets, data="creatures"), ("robust",), (0,))
    effort = Effort(judge_steps=600, gallery=1000, grid=5)
    return Budget(tuple(runs), effort, explained=tuple(table1_columns()))


BUDGETS: dict[str, Callable[[Path | None, tuple[str, ...]], Budget]] = {
    "smoke": smoke,
    "quick": quick,
    "full": full,
}


def plan(
    name: str,
    root: Path | None = None,
    methods: tuple[str, ...] = tuple(METHODS),
    seeds: int | None = None,
    data: tuple[str, ...] = (),
    **changes: int | str,
) -> Budget:
    """Returns a budget by name.

    Arguments:
        name: "smoke", "quick" or "full".
        root: Where the sprites are.
        methods: The methods to compare.
        seeds: The most seeds of a method; those of the budget if `None`.
        data: The data to train on; those of the budget if empty.
        changes: Options that hold for every run instead of the budget's.
    """
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise ValueError(f"methods are {', '.join(METHODS)}, got {', '.join(sorted(unknown))}")
    budget = BUDGETS[name](root, methods)
    known = {run.options.data for run in budget.runs}
    unknown = set(data) - known
    if unknown:
        raise ValueError(
            f"the {name} budget has {', '.join(sorted(known))}, got {', '.join(sorted(unknown))}"
        )
    chosen = [
        run
        for run in budget.runs
        if (seeds is None or run.options.seed < seeds) and (not data or run.options.data in data)
    ]
    runs = [PlannedRun(run.name, replace(run.options, **changes)) for run in chosen]
    return replace(budget, runs=tuple(runs))
