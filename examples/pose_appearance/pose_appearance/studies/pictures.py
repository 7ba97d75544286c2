"""Pictures that show what a model does."""

__all__ = ["as_pixels", "curves", "example_rows", "grid_of", "grid_picks", "tile", "transfer_grid"]

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data import ImageSet
from ..data.pairs import as_float, crop_to

matplotlib.use("Agg")

import matplotlib.pyplot as plt


def as_pixels(x: Tensor) -> np.ndarray:
    """Turns images in [-1, 1], with shape (N, 3, H, W), into uint8, with shape (N, H, W, 3)."""
    x = ((x.clamp(-1, 1) + 1) * 127.5).round().byte()
    return x.permute(0, 2, 3, 1).cpu().numpy()


def tile(rows: list[list[np.ndarray | None]], gap: int = 2, zoom: int = 2) -> Image.Image:
    """Lays images out as a table on white; `None` leaves a cell empty."""
    height, width = next(cell.shape[:2] for row in rows for cell in row if cell is not None)
    columns = max(len(row) for row in rows)
    canvas = np.full(
        (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8
    )
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if cell is not None:
                top, left = i * (height + gap) + gap, j * (width + gap) + gap
                canvas[top : top + height, left : left + width] = cell
    picture = Image.fromarray(canvas)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def grid_picks(image_set: ImageSet, count: int, seed: int) -> np.ndarray:
    """Chooses `count` images of appearance, then as many of pose, one an identity where there are
    enough.
    """
    random = np.random.default_rng(seed)
    names = random.permutation(np.unique(image_set.identity))
    return np.array(
        [
            random.choice(np.flatnonzero(image_set.identity == names[i % len(names)]))
            for i in range(2 * count)
        ]
    )


@torch.no_grad()
def transfer_grid(
    transfer: Callable[[Tensor, Tensor], Tensor],
    image_set: ImageSet,
    size: int,
    device: torch.device,
    count: int = 8,
    seed: int = 0,
) -> Image.Image:
    """Draws poses across and appearances down, with the inputs on the borders.

    Arguments:
        transfer: Takes images of appearance and of pose, and draws.
        image_set: The images to choose from, one an identity where there are enough.
        size: The size that the model takes.
        device: Where the model is.
        count: The number of poses and of appearances.
        seed: Chooses the images.
    """
    picks = grid_picks(image_set, count, seed)
    return grid_of(transfer, image_set, picks[:count], picks[count:], size, device)


@torch.no_grad()
def grid_of(
    transfer: Callable[[Tensor, Tensor], Tensor],
    image_set: ImageSet,
    appearances: np.ndarray,
    poses: np.ndarray,
    size: int,
    device: torch.device,
) -> Image.Image:
    """Draws chosen poses across and chosen appearances down, with the inputs on the borders.

    Arguments:
        transfer: Takes images of appearance and of pose, and draws.
        image_set: The images.
        appearances: Indices of those that give the appearances.
        poses: Indices of those that give the poses.
        size: The size that the model takes.
        device: Where the model is.
    """
    native = image_set.images.shape[1:3]
    x1, x3 = (
        as_float(torch.from_numpy(image_set.images[picks]), size).to(device)
        for picks in (appearances, poses)
    )
    rows: list[list[np.ndarray | None]] = [[None, *image_set.images[poses]]]
    for i, own in enumerate(appearances):
        drawn = transfer(x1[i : i + 1].expand_as(x3), x3)
        rows.append([image_set.images[own], *as_pixels(crop_to(drawn, native))])
    return tile(rows, zoom=max(1, 128 // image_set.size))


def example_rows(
    image_set: ImageSet, triplets: np.ndarray, drawn: np.ndarray, zoom: int = 2
) -> Image.Image:
    """Draws triplets as columns: appearance, pose, output, truth.

    Arguments:
        image_set: The images.
        triplets: Indices of x1, x3 and target, with shape (3, N).
        drawn: The outputs, uint8 with shape (N, H, W, 3).
        zoom: The factor to enlarge by.
    """
    x1, x3, target = (list(image_set.images[i]) for i in triplets)
    return tile([x1, x3, list(drawn), target], zoom=zoom)


def curves(log: list[dict[str, float]], epsilon: float, path: Path) -> None:
    """Plots the numbers of a run over its steps.

    Arguments:
        log: The lines of its log.
        epsilon: The target in nats, drawn as a line.
        path: Where to write the picture.
    """
    panels = {
        "squared error": (("error",), "log"),
        "mutual information (nats)": (("mi_average", "mi_shadow_average"), "linear"),
        "KL of the pose code (nats)": (("kl",), "log"),
        "weights": (("gamma", "multiplier"), "linear"),
    }
    labels = {
        "mi_average": "$I_T$",
        "mi_shadow_average": "$I_{T'}$",
        "gamma": "$\\gamma$",
        "multiplier": "$\\lambda$",
    }
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), constrained_layout=True)
    steps = [line["step"] for line in log]
    for axis, (title, (names, scale)) in zip(axes.flat, panels.items(), strict=True):
        for name in names:
            axis.plot(
                steps, [line.get(name, np.nan) for line in log], label=labels.get(name), linewidth=1
            )
        axis.set(title=title, xlabel="step", yscale=scale)
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend()
    axes.flat[1].axhline(epsilon, color="black", linestyle=":", linewidth=1)
    figure.savefig(path, dpi=110)
    plt.close(figure)
