"""Training: a new run or one to resume, and what it leaves in its folder."""

__all__ = ["export", "main"]

import sys
from pathlib import Path

import numpy as np
import torch

from ..data import ImageSet
from ..studies.audit import audit_of
from ..studies.codes import paired_codes
from ..studies.pictures import curves, transfer_grid
from ..training.checkpoint import checkpoints_of
from ..training.finished import export_run, has_ended, write_metrics
from ..training.log import read_log
from ..training.options import TrainOptions
from ..training.ranks import first_says, is_first, join_ranks, leave_ranks, lost_rank, rank
from ..training.run import (
    StopSignal,
    build_trainer,
    compiles,
    load_images,
    pick_device,
    resume,
    run_folder,
    train,
)
from ..training.trainer import Trainer


def finish(trainer: Trainer, image_set: ImageSet, folder: Path) -> None:
    """Writes the pictures and the last numbers of a run, and tells where they are."""
    held_out = image_set.subset("val", "test")
    grid = transfer_grid(
        trainer.averaged.transfer,
        held_out if len(held_out) else image_set,
        trainer.model.options.size,
        trainer.device,
    )
    grid.save(folder / "transfer.png")
    curves(read_log(folder), trainer.options.epsilon, folder / "curves.png")
    metrics = write_metrics(trainer, folder)
    print(
        f"{metrics['images_per_second']:.0f} images a second; {metrics['data_share']:.1%} of the "
        "time went into waiting for data"
    )
    # An audit splits groups, of which it needs 20.
    if trainer.options.audit_samples and len(np.unique(held_out.identity)) >= 20:
        codes = paired_codes(trainer, held_out, 1, trainer.options.audit_samples)
        print(audit_of(trainer, codes, 1).title)
    print(f"transfer.png, curves.png and metrics.json are in {folder}")
    print(f"Evaluate with: python {Path(sys.argv[0]).parent / 'evaluate.py'} {folder}")


def export(folder: Path, options: TrainOptions) -> None:
    """Exports a run as its options ask, and says where the files are."""
    if options.export is not None:
        export_run(folder, options.export)
        print(f"Encoders, decoder and model.json are in {options.export}")
    if options.weights is not None:
        export_run(folder, options.weights, weights=True)
        print(f"Weights and model.json are in {options.weights}")


def main(options: TrainOptions) -> int:
    """Trains, or resumes, and writes the results; on as many ranks as `torchrun` starts."""
    # Where one rank dies, torchrun sends SIGTERM to the others: they shall live to say so.
    stop = StopSignal()
    device = join_ranks(pick_device(options.device))
    folder = None
    try:
        options, folder = first_says(lambda: run_folder(options))
        if (options.export or options.weights) and has_ended(folder, options):
            if is_first():
                export(folder, options)
            return 0
        return run(options, folder, device, stop)
    except Exception as error:
        if not lost_rank(error):
            raise
        known = (
            f"continue on any number of ranks with --resume {folder}" if folder else "start again"
        )
        reason = str(error).strip().split("\n")[0]
        print(f"error: rank {rank()} lost another rank: {known} ({reason})", file=sys.stderr)
        return 1
    finally:
        leave_ranks()


def run(options: TrainOptions, folder: Path, device: torch.device, stop: StopSignal) -> int:
    """Trains a run in its folder."""
    say = print if is_first() else lambda *_: None
    if options.threads:
        torch.set_num_threads(options.threads)
    image_set = load_images(options)
    say(f"{len(image_set)} images of {len(np.unique(image_set.identity))} identities, on {device}")
    trainer = build_trainer(options, image_set, device)
    if checkpoints_of(folder):
        resume(trainer, folder)
        say(f"Resuming at step {trainer.step_count}")
    if compiles(options, device):
        say("Compiling the networks: the first step takes a minute or two")
        trainer.compile()
    if not train(trainer, folder, stop):
        name = stop.name or "a signal to another rank"
        say(f"Stopped by {name} at step {trainer.step_count}: continue with --resume {folder}")
        return 1
    if is_first():
        finish(trainer, image_set, folder)
        export(folder, options)
    return 0
