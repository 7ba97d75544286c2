"""Evaluation of a run on characters that it never saw: its studies, on one rank or on many."""

__all__ = ["EvaluateOptions", "main"]

import json
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from ..studies import STUDIES, Effort, Run
from ..training.files import write_json
from ..training.ranks import collect, is_first, join_ranks, leave_ranks, lost_rank
from ..training.run import pick_device

Asked = make_dataclass(
    "Asked",
    [
        (name, Annotated[bool, tyro.conf.arg(help=study.help)], field(default=False))
        for name, study in STUDIES.items()
        if study.help
    ],
    frozen=True,
    namespace={"__doc__": "The studies to make beside those that every evaluation has."},
)
Asked.__module__ = __name__


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a run on held-out characters, and draw its best and its worst."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder of the run."""
    asked: Annotated[Asked, tyro.conf.arg(name="")] = field(default_factory=Asked)
    count: int = 8000
    """The number of triplets."""
    seed: int = 1
    """The seed of the triplets."""
    judge_steps: int = 1000
    """For how many steps judges and decoders of one code are trained."""
    device: str = "auto"
    """Where to evaluate: auto, cpu, cuda, mps."""


def main(options: EvaluateOptions) -> None:
    """Makes the studies of a run, and writes evaluation.json and pictures into its folder.

    On the ranks that `torchrun` starts, each study shares out what it can, and the first rank does
    the rest and writes.
    """
    device = join_ranks(pick_device(options.device))
    try:
        first, gathered = is_first(), gather(options, device)
    except Exception as error:
        if not lost_rank(error):
            raise
        raise ValueError(f"lost another rank: start again ({error})") from error
    finally:
        leave_ranks()
    if first:
        finish(*gathered)


def gather(options: EvaluateOptions, device: torch.device) -> tuple[Run, dict[str, Any]]:
    """Does what the ranks share.

    Returns:
        The run without wrappers, and what was gathered for each study.
    """
    effort = Effort(triplets=options.count, judge_steps=options.judge_steps)
    run = Run(options.run, effort, options.seed, device)
    gathered = {}
    for name, study in STUDIES.items():
        if getattr(options.asked, name, True) and study.applies(run):
            torch.manual_seed(run.seed)
            gathered[name] = study.gather(run)
    # All have what they need before one leaves.
    collect(None)
    run.trainer.unwrap()
    return run, gathered


def finish(run: Run, gathered: dict[str, Any]) -> None:
    """Does what one rank does alone, and writes all of it."""
    result: dict[str, Any] = {"steps": run.trainer.step_count, "seconds": run.trainer.seconds}
    for name, found in gathered.items():
        study = STUDIES[name]
        torch.manual_seed(run.seed)
        measured = study.measure(run, found)
        result |= measured
        if text := study.text(measured):
            print(text)
    write(result, run.folder / "evaluation.json")
    print(f"evaluation.json and pictures are in {run.folder}")


def write(result: dict[str, Any], path: Path) -> None:
    """Writes results, keeping what an earlier evaluation of the same steps found beside them."""
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier.get("steps") == result["steps"]:
            result = {**earlier, **result}
    write_json(path, result)
    print(json.dumps(result, indent=2))
