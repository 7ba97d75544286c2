"""Evaluates a run on characters that it never saw: `python evaluate.py RUN`, and `--help` for what else there is.

On the ranks that `torchrun` starts, the triplets and the codes are shared out, and the first rank does the rest and writes.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from data.image_set import ImageSet
from data.pairs import Triplets
from data.sequences import sequence
from evaluation.animation import animate, save_gif, save_mp4
from evaluation.categories import category_errors, category_grid, category_picks
from evaluation.drawing import draw, random_triplets
from evaluation.pictures import example_rows, grid_picks, transfer_grid
from evaluation.retrieval import pose_codes, retrieval_picture, retrieval_scores
from evaluation.sharing import Codes, Shared, paired_codes, share
from evaluation.table2 import draw_triplets, table2, table2_text, train_judges
from evaluation.triplet_error import TripletErrors, trivial_errors
from evaluation.visualize import train_visualizers, visualization_grid
from model.presets import PoseAppearanceModel
from PIL import Image
from tqdm import tqdm
from training.files import write_json
from training.ranks import collect, is_first, join_ranks, leave_ranks, lost_rank
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


def audit_codes(
    trainer: Trainer, image_set: ImageSet, seed: int, samples: int = 8000
) -> mireg.AuditReport:
    """Lets fresh critics judge codes of pairs of images."""
    return audit_of(trainer, paired_codes(trainer, image_set, seed, samples), seed)


def audit_of(trainer: Trainer, codes: Codes, seed: int) -> mireg.AuditReport:
    """Lets fresh critics judge what :func:`paired_codes` gave."""
    with tqdm(total=100, desc="audit", leave=False) as bar:
        return mireg.audit(
            *codes,
            epsilon=trainer.options.epsilon,
            seed=seed,
            progress=lambda what, share: bar.update(round(100 * share) - bar.n),
        )


def audit_body(
    trainer: Trainer, image_set: ImageSet, codes: Codes, seed: int
) -> mireg.AuditReport | None:
    """Lets fresh critics tell the type of body from pose codes, if it is known: few identities show that, and their appearance codes much less."""
    if "body" not in image_set.factors:
        return None
    pi, _, groups = codes
    names, first = np.unique(image_set.identity, return_index=True)
    body = image_set.factors["body"][first][np.searchsorted(names, groups.numpy())]
    return audit_of(trainer, (pi, torch.from_numpy(body), groups), seed)


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
    trainer: Trainer,
    train_set: ImageSet,
    held_out: ImageSet,
    drawn: Triplets,
    errors: TripletErrors,
    options: EvaluateOptions,
) -> dict[str, object]:
    """Gives the published metric and its trivial scores, and draws the triplets that are best, median and worst."""
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
    """Evaluates a run and writes evaluation.json and pictures into its folder; on as many ranks as `torchrun` starts."""
    device = join_ranks(pick_device(options.device))
    try:
        first, measured = is_first(), together(options, device)
    except Exception as error:
        if not lost_rank(error):
            raise
        raise ValueError(f"lost another rank: start again ({error})") from error
    finally:
        leave_ranks()
    if first:
        finish(*measured, options)


def together(
    options: EvaluateOptions, device: torch.device
) -> tuple[Trainer, ImageSet, ImageSet, Shared]:
    """Does what the ranks share.

    Returns:
        The run without wrappers, the images of training and those held out, and what was worked out.
    """
    trainer, image_set = load_run(options.run, device)
    train_set, held_out = image_set.subset("train"), image_set.subset("val", "test").in_memory()
    if not len(held_out):
        raise ValueError(f"{image_set.name} has no held-out identities to evaluate on")
    shared = share(trainer, train_set, held_out, options.count, options.seed, options.audit)
    # All have what they need before one leaves.
    collect(None)
    trainer.unwrap()
    return trainer, train_set, held_out, shared


def finish(
    trainer: Trainer,
    train_set: ImageSet,
    held_out: ImageSet,
    shared: Shared,
    options: EvaluateOptions,
) -> None:
    """Does what one rank does alone, and writes all of it."""
    model, device = trainer.averaged, trainer.device
    result: dict[str, object] = {
        "steps": trainer.step_count,
        "seconds": trainer.seconds,
        **shared.estimates,
    }
    if shared.drawn is not None and shared.errors is not None:
        measured = train_set, held_out, shared.drawn, shared.errors
        result.update(measure_triplets(trainer, *measured, options))
    if shared.codes is not None:
        report = audit_of(trainer, shared.codes, options.seed)
        report.save_html(options.run / "audit.html")
        result["audit"] = report.to_dict()
        print(report)
        if (of_body := audit_body(trainer, held_out, shared.codes, options.seed)) is not None:
            result["audit_body"] = of_body.to_dict()
            print(f"The type of body, told from pose codes:\n{of_body}")
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
