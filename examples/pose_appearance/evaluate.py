"""Evaluates a run on characters that it never saw: `python evaluate.py RUN`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from data.image_set import ImageSet
from data.pairs import PairSampler, Triplets, as_float, crop_to, triplets
from evaluation.pictures import as_pixels, example_rows, transfer_grid
from evaluation.triplet_error import triplet_errors, trivial_errors
from tqdm import tqdm
from training.checkpoint import load_newest
from training.options import read_options
from training.run import build_trainer, load_images, pick_device
from training.trainer import Trainer

import mireg


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a run on held-out characters, and draw its best and its worst."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder of the run."""
    count: int = 8000
    """The number of triplets."""
    seed: int = 1
    """The seed of the triplets."""
    audit: bool = False
    """Let fresh critics judge the codes of held-out characters: a minute or two more."""
    device: str = "auto"
    """Where to evaluate: auto, cpu, cuda, mps."""


def sampler_of(trainer: Trainer, image_set: ImageSet, seed: int) -> PairSampler:
    """Gives batches of a set of images like those of training, with fewer identities if it has no more."""
    options = trainer.options
    identities = min(options.identities_per_batch, len(np.unique(image_set.identity)))
    return PairSampler(image_set, identities, options.views, trainer.model.options.size, seed)


@torch.no_grad()
def estimates(trainer: Trainer, image_set: ImageSet, batches: int = 40) -> dict[str, float]:
    """Gives what T and T' read, on average, from the codes of a set of images."""
    sampler = sampler_of(trainer, image_set, trainer.options.seed)
    totals: dict[str, float] = {}
    for step in range(batches):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch)
        penalty = trainer.regularizer(*codes, groups=groups)
        for name in ("mi", "mi_shadow", "kl"):
            totals[name] = totals.get(name, 0.0) + float(penalty.metrics[name]) / batches
    return totals


@torch.no_grad()
def audit_codes(
    trainer: Trainer, image_set: ImageSet, seed: int, samples: int = 8000
) -> mireg.AuditReport:
    """Lets fresh critics judge codes of pairs of images; the averaged weights have made them."""
    sampler = sampler_of(trainer, image_set, seed)
    rows = []
    for step in tqdm(
        range(samples // (sampler.identities * sampler.views)), desc="codes", leave=False
    ):
        batch = sampler.batch_at(step).to(trainer.device)
        codes, groups = trainer.encode(batch, trainer.averaged)
        rows.append((codes.pi, codes.alpha, groups))
    pi, alpha, groups = (torch.cat(x).cpu() for x in zip(*rows, strict=True))
    with tqdm(total=100, desc="audit", leave=False) as bar:
        return mireg.audit(
            pi,
            alpha,
            groups,
            epsilon=trainer.options.epsilon,
            seed=seed,
            progress=lambda what, share: bar.update(round(100 * share) - bar.n),
        )


@torch.no_grad()
def draw_examples(
    trainer: Trainer, image_set: ImageSet, drawn: Triplets, errors: np.ndarray, folder: Path
) -> None:
    """Writes pictures of the triplets with the lowest, the middle and the highest errors."""
    order = np.argsort(errors)
    middle = len(order) // 2 - 5
    parts = {"best": order[:10], "median": order[middle : middle + 10], "worst": order[-10:]}
    native, images = image_set.images.shape[1:3], torch.from_numpy(image_set.images)
    for name, rows in parts.items():
        chosen = np.stack([x[rows] for x in drawn])
        size = trainer.model.options.size
        x1, x3 = (as_float(images[i], size).to(trainer.device) for i in chosen[:2])
        output = as_pixels(crop_to(trainer.averaged.transfer(x1, x3), native))
        example_rows(image_set, chosen, output).save(folder / f"triplets_{name}.png")


def main(options: EvaluateOptions) -> None:
    """Evaluates a run and writes evaluation.json and pictures into its folder."""
    trained = read_options(options.run / "options.json")
    device = pick_device(options.device)
    image_set = load_images(trained)
    trainer = build_trainer(trained, image_set, device)
    path, refused = load_newest(options.run, trainer.load_state_dict)
    for reason in refused.values():
        print(f"warning: {reason}: {path.name} is evaluated", file=sys.stderr)

    train_set = image_set.subset("train")
    held_out = image_set.subset("val", "test").in_memory()
    if not len(held_out):
        raise ValueError(f"{image_set.name} has no held-out identities to evaluate on")
    torch.manual_seed(options.seed)
    result: dict[str, object] = {
        "steps": trainer.step_count,
        "seconds": trainer.seconds,
        "estimates_train": estimates(trainer, train_set),
    }
    if len(np.unique(held_out.identity)) > 1:
        result["estimates_held_out"] = estimates(trainer, held_out)
    if held_out.pose is not None:
        drawn = triplets(held_out, options.count, options.seed)
        size = trainer.model.options.size
        errors = triplet_errors(trainer.averaged.transfer, held_out, drawn, size, device)
        result["triplets"] = {
            "count": options.count,
            "mean": float(errors.transfer.mean()),
            "median": float(np.median(errors.transfer)),
            "self_reconstruction_mean": float(errors.reconstruction.mean()),
            "self_reconstruction_median": float(np.median(errors.reconstruction)),
            **{
                f"mean_{split}": float(
                    errors.transfer[held_out.split[drawn.target] == split].mean()
                )
                for split in np.unique(held_out.split)
            },
        }
        result["trivial"] = trivial_errors(train_set.in_memory(20_000), held_out, drawn)
        draw_examples(trainer, held_out, drawn, errors.transfer, options.run)
    if options.audit:
        report = audit_codes(trainer, held_out, options.seed)
        report.save_html(options.run / "audit.html")
        result["audit"] = report.to_dict()
        print(report)
    grid = transfer_grid(trainer.averaged.transfer, held_out, trainer.model.options.size, device)
    grid.save(options.run / "transfer.png")

    text = json.dumps(result, indent=2)
    (options.run / "evaluation.json").write_text(text + "\n")
    print(text)
    print(f"evaluation.json and pictures are in {options.run}")


if __name__ == "__main__":
    try:
        main(tyro.cli(EvaluateOptions))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
