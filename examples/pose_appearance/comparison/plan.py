"""What a budget runs: which methods, on which data, with which seeds and sizes."""

__all__ = ["BUDGETS", "METHODS", "TABLE1", "Budget", "PlannedRun", "plan"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from objectives import OBJECTIVES
from training.options import TrainOptions

from .finished import APART
from .tuning_record import tuned

METHODS = OBJECTIVES

TABLE1 = {
    "variational": "a",
    "adversarial": "b",
    "equal": "c",
    "fixed": "d",
    "paper": "e",
    "robust": "",
}
"""The columns of Table 1 of the paper, which are rows here, and below them the constraint of the library."""


class PlannedRun(NamedTuple):
    """One training run."""

    name: str
    """The name of its folder."""
    options: TrainOptions


@dataclass(frozen=True)
class Budget:
    """What is run, and how closely it is looked at."""

    runs: tuple[PlannedRun, ...]
    triplets: int
    """The number of held-out triplets."""
    audit_samples: int
    """The number of held-out codes that fresh critics judge."""
    judge_steps: int
    """For how many steps judges of drawings, and decoders of one code, are trained."""
    judged: int
    """The number of triplets whose drawings are judged."""
    gallery: int
    """The most held-out identities among which drawings and pose codes search."""
    explained: tuple[str, ...] = ("robust",)
    """The methods whose codes are drawn alone."""


def _runs(base: TrainOptions, methods: tuple[str, ...], seeds: tuple[int, ...]) -> list[PlannedRun]:
    """Gives a run of each method and seed: only the objective and its tuned weights differ."""
    return [
        PlannedRun(
            f"{base.data}-{method}-{seed}",
            replace(base, objective=method, seed=seed, **tuned(base.data, base.preset, method)),
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
    return Budget(
        tuple(_runs(base, methods, (0,))),
        triplets=60,
        audit_samples=520,
        judge_steps=3,
        judged=20,
        gallery=12,
    )


def quick(root: Path | None, methods: tuple[str, ...]) -> Budget:
    """Puppets at 32x32, at most 15 minutes on 2 cores."""
    base = TrainOptions(
        preset="tiny", identities=500, test_fraction=0.4, poses=60, steps=1000, compile="no"
    )
    return Budget(
        tuple(_runs(base, methods, (0,))),
        triplets=2000,
        audit_samples=2000,
        judge_steps=600,
        judged=500,
        gallery=40,
        explained=tuple(TABLE1),
    )


def full(root: Path | None, methods: tuple[str, ...]) -> Budget:
    """Sprites at 64x64 with 2 seeds, some 5 minutes of training a run, puppets with one, and creatures for the full model."""
    if root is None:
        raise ValueError("the full budget trains on sprites: say where they are with --data-root")
    # λ has to outweigh a sum over four times the pixels of the quick budget, where μ is 1. `robust` sees to that itself.
    sprites = TrainOptions(data="sprites", data_root=root, steps=1500, mu=4.0)
    puppets = TrainOptions(identities=600, test_fraction=1 / 3, poses=80, steps=1000, mu=4.0)
    # Nobody knows the keypoints of sprites.
    of_sprites = tuple(method for method in methods if method != "supervised")
    runs = _runs(sprites, of_sprites, (0,)) + _runs(puppets, methods, (0,))
    if "robust" in methods:
        runs += _runs(replace(puppets, data=APART), ("robust",), (0,))
    # Last, so that a comparison that is cut off has every method.
    runs += _runs(sprites, of_sprites, (1,))
    return Budget(
        tuple(runs),
        triplets=8000,
        audit_samples=8000,
        judge_steps=600,
        judged=2000,
        gallery=1000,
        explained=tuple(TABLE1),
    )


BUDGETS: dict[str, Callable[[Path | None, tuple[str, ...]], Budget]] = {
    "smoke": smoke,
    "quick": quick,
    "full": full,
}


def plan(
    name: str,
    root: Path | None = None,
    methods: tuple[str, ...] = METHODS,
    seeds: int | None = None,
    data: tuple[str, ...] = (),
    **changes: int | str,
) -> Budget:
    """Gives a budget by name.

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
