"""Evaluates a run on characters that it never saw: `python evaluate.py RUN`, and `--help` for what else there is."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from data.image_set import ImageSet
from data.pairs import PairSampler, Triplets, triplets
from data.sequences import sequence
from evaluation.animation import animate, save_gif, save_mp4
from evaluation.categories import category_errors, category_grid, category_picks
from evaluation.drawing import draw, random_triplets
from evaluation.pictures import example_rows, grid_picks, transfer_grid
from evaluation.retrieval import pose_codes, retrieval_picture, retrieval_scores
from evaluation.table2 import draw_triplets, table2, table2_text, train_judges
from evaluation.triplet_error import triplet_errors, trivial_errors
from evaluation.visualize import train_visualizers, visualization_grid
from model.presets import PoseAppearanceModel
from PIL import Image
from tqdm import tqdm
from training.files import write_json
from training.run import load_run, pick_device
from training.trainer import Trainer

import mireg

TABLE2_COUNT = 2000
"""How many triplets the judges look at."""


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
    table2: bool = False
    """Train judges of identity and pose on real images, and ask them about drawn ones: about a minute."""
    visualize: bool = False
    """Train decoders of one code alone, and draw what each says: about a minute."""
    retrieval: bool = False
    """Find held-out images of other characters in the same pose, by their pose codes."""
    animate: bool = False
    """Let pose sequences of some characters drive others: a GIF, and an MP4 where ffmpeg is installed."""
    judge_steps: int = 1000
    """For how many steps judges and decoders of one code are trained."""
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
    for name, rows in parts.items():
        chosen = np.stack([x[rows] for x in drawn])
        output = draw(trainer.averaged, *(image_set.images[i] for i in chosen[:2]))
        example_rows(image_set, chosen, output).save(folder / f"triplets_{name}.png")


def measure_triplets(
    trainer: Trainer, train_set: ImageSet, held_out: ImageSet, options: EvaluateOptions
) -> dict[str, object]:
    """Gives the published metric and its trivial scores, and draws the triplets that are best, median and worst."""
    model = trainer.averaged
    drawn = triplets(held_out, options.count, options.seed)
    errors = triplet_errors(model.transfer, held_out, drawn, model.options.size, trainer.device)
    draw_examples(trainer, held_out, drawn, errors.transfer, options.run)
    measured = {
        "count": options.count,
        "mean": float(errors.transfer.mean()),
        "median": float(np.median(errors.transfer)),
        "self_reconstruction_mean": float(errors.reconstruction.mean()),
        "self_reconstruction_median": float(np.median(errors.reconstruction)),
        **{
            f"mean_{split}": float(errors.transfer[held_out.split[drawn.target] == split].mean())
            for split in np.unique(held_out.split)
        },
    }
    if "category" in held_out.factors:
        measured.update(category_errors(held_out, drawn, errors.transfer))
    return {
        "triplets": measured,
        "trivial": trivial_errors(train_set.in_memory(20_000), held_out, drawn),
    }


def retrieve(model: PoseAppearanceModel, held_out: ImageSet, folder: Path) -> dict[str, object]:
    """Measures retrieval by pose code and draws it; across categories too, where there are some."""
    codes = pose_codes(model, held_out)
    retrieval_picture(codes, held_out).save(folder / "retrieval.png")
    result: dict[str, object] = dict(retrieval_scores(codes, held_out))
    if "category" in held_out.factors:
        across = "category"
        retrieval_picture(codes, held_out, across=across).save(folder / "retrieval_across.png")
        result["across_categories"] = retrieval_scores(codes, held_out, across=across)
    return result


def film(trainer: Trainer, held_out: ImageSet, drivers: int = 3) -> list[Image.Image]:
    """Lets pose sequences of some held-out characters drive the appearances of others."""
    options = trainer.options
    if "category" in held_out.factors:
        appearance, pose = category_picks(held_out, 2, options.seed)
        pose = pose[::2]
    else:
        appearance, pose = grid_picks(held_out, 5, options.seed).reshape(2, 5)
    sequences = [
        sequence(
            options.data,
            held_out,
            held_out.identity[index],
            which,
            identities=options.identities,
            seed=options.seed,
        )
        for which, index in enumerate(pose[:drivers])
    ]
    return animate(trainer.averaged, held_out.images[appearance], sequences)


def write(result: dict[str, object], path: Path) -> None:
    """Writes results, keeping what an earlier evaluation of the same steps found and this one was not asked for."""
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier.get("steps") == result["steps"]:
            result = {**earlier, **result}
    write_json(path, result)
    print(json.dumps(result, indent=2))


def main(options: EvaluateOptions) -> None:
    """Evaluates a run and writes evaluation.json and pictures into its folder."""
    device = pick_device(options.device)
    trainer, image_set = load_run(options.run, device)
    model = trainer.averaged
    train_set, held_out = image_set.subset("train"), image_set.subset("val", "test").in_memory()
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
        result.update(measure_triplets(trainer, train_set, held_out, options))
    if options.audit:
        report = audit_codes(trainer, held_out, options.seed)
        report.save_html(options.run / "audit.html")
        result["audit"] = report.to_dict()
        print(report)
    grid = transfer_grid(model.transfer, held_out, model.options.size, device)
    grid.save(options.run / "transfer.png")
    if "category" in held_out.factors:
        category_grid(model, held_out).save(options.run / "categories.png")
    if options.table2:
        judges = train_judges(train_set, model.options.size, device, options.judge_steps)
        drawn = random_triplets(held_out, TABLE2_COUNT, options.seed)
        drawings = draw_triplets(model, held_out, drawn)
        result["table2"] = table2(judges, held_out, drawn, drawings)
        print(table2_text(result["table2"]))
    if options.visualize:
        decoders = train_visualizers(model, train_set, options.judge_steps)
        visualization_grid(model, decoders, held_out).save(options.run / "visualization.png")
    if options.retrieval:
        result["retrieval"] = retrieve(model, held_out, options.run)
    if options.animate:
        frames = film(trainer, held_out)
        save_gif(frames, options.run / "animation.gif")
        if not save_mp4(frames, options.run / "animation.mp4"):
            print("No animation.mp4: ffmpeg is not installed")

    write(result, options.run / "evaluation.json")
    print(f"evaluation.json and pictures are in {options.run}")


if __name__ == "__main__":
    try:
        main(tyro.cli(EvaluateOptions))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
