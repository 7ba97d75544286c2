"""What each code says alone, as pictures (Sec. 4.2, Figs. 1 and 5): decoders of one detached code
each.
"""

__all__ = ["CodeDecoder", "Visualize", "Visualizers", "train_visualizers", "visualization_grid"]

from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import mireg

from ..data import ImageSet
from ..data.pairs import PairSampler, crop_to
from ..model.networks import Decoder
from ..model.presets import PoseAppearanceModel
from .drawing import Inputs, device_of
from .fitting import fit
from .pictures import as_pixels, grid_picks, tile
from .run import Run, compared
from .section import Section
from .study import Study, study

TEXT = (
    "Two decoders, of one detached code each, draw the mean of all images that a code leaves "
    "possible: the pose code without an appearance in the upper row, the appearance code without a"
    " pose in the left column, beside their inputs; in the middle is the transfer. Colours in the "
    "upper row would be a leak. Seed 0."
)


class CodeDecoder(nn.Module):
    """Creates a decoder of one code.

    Arguments:
        size: The size of the images, in pixels.
        features: The number of features of the code.
        colour: What it draws before training, with shape (3,).
    """

    def __init__(self, size: int, features: int, colour: Tensor) -> None:
        super().__init__()

        # The model's decoder without its costly blocks: means are blurred. Its second code says
        # nothing.
        self.decoder = Decoder(size, max(1, size // 16), (32,), 0, features, 1, 256)
        self.decoder.start_from(colour)

    def forward(self, code: Tensor) -> Tensor:
        return self.decoder(code, code.new_zeros(len(code), 1))


class Visualizers(NamedTuple):
    """The decoders of the two codes."""

    pose: CodeDecoder
    """Draws a pose code, marginalised over appearances."""
    appearance: CodeDecoder
    """Draws an appearance code, marginalised over poses."""


def train_visualizers(
    model: PoseAppearanceModel, train: ImageSet, steps: int = 1000, seed: int = 0
) -> Visualizers:
    """Trains both decoders with squared error, whose best answer is the mean of all images that a
    code leaves possible.

    The pose code of an image draws that image, the appearance code draws other images of the same
    identity. The model stays as it is.

    Arguments:
        model: The model.
        train: Images of training identities.
        steps: The number of steps.
        seed: The seed.
    """
    options, device = model.options, device_of(model)
    colour = torch.from_numpy(train.mean_colour())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoders = Visualizers(
            CodeDecoder(options.size, options.pi_features, colour),
            CodeDecoder(options.size, options.alpha_features, colour),
        )
    for decoder in decoders:
        decoder.to(device, memory_format=torch.channels_last)
    views = 2
    identities = min(8, len(np.unique(train.identity)))
    sampler = PairSampler(train, identities, views, options.size, seed)
    generator = torch.Generator().manual_seed(seed)

    def loss_at(step: int) -> Tensor:
        x1, x2, _ = sampler.batch_at(step).to(device)
        with torch.no_grad():
            posterior = mireg.diagonal_gaussian(*model.pose_encoder(x2))
            alpha = model.appearance_encoder(x1).repeat_interleave(views, dim=0)
            # What the decoder of the model gets: the noise is part of the code.
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
            pi = posterior.mean + posterior.stddev * noise
        outputs = (decoders.pose(pi), decoders.appearance(alpha))
        return sum(
            ((output - x2).square().mean() for output in outputs), torch.zeros((), device=device)
        )

    fit(decoders, loss_at, steps, 1e-3, "visualizations")
    return decoders


@torch.no_grad()
def visualization_grid(
    model: PoseAppearanceModel,
    decoders: Visualizers,
    image_set: ImageSet,
    count: int = 8,
    seed: int = 0,
) -> Image.Image:
    """Draws poses across and appearances down, and along the borders what their codes say alone.

    Arguments:
        model: The model.
        decoders: Those of :func:`train_visualizers`.
        image_set: The images to choose from: the same as in :func:`transfer_grid`.
        count: The number of poses and of appearances.
        seed: Chooses the images.
    """
    native = image_set.images.shape[1:3]
    picks = grid_picks(image_set, count, seed)
    x = Inputs(image_set.images, model.options.size, device_of(model))(picks)
    alpha, (pi, _) = model.appearance_encoder(x[:count]), model.pose_encoder(x[count:])

    def pixels(drawn: Tensor) -> np.ndarray:
        return as_pixels(crop_to(drawn, native))

    appearances, poses = image_set.images[picks[:count]], image_set.images[picks[count:]]
    rows: list[list[np.ndarray | None]] = [
        [None, None, *poses],
        [None, None, *pixels(decoders.pose(pi))],
    ]
    alone = pixels(decoders.appearance(alpha))
    for i in range(count):
        drawn = pixels(model.decoder(pi, alpha[i : i + 1].expand(count, -1)))
        rows.append([appearances[i], alone[i], *drawn])
    return tile(rows, zoom=max(1, 128 // image_set.size))


@study
class Visualize(Study):
    """Creates the pictures of single codes."""

    help = "Train decoders of one code alone, and draw what each says: about a minute."
    scope = "explained"

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        decoders = train_visualizers(run.model, run.train_set, run.effort.judge_steps)
        grid = visualization_grid(run.model, decoders, run.gallery, run.effort.grid)
        grid.save(run.folder / "visualization.png")
        return {}

    def section(self, runs: list[Run]) -> Section | None:
        section = Section("Sec. 4.2: single codes", TEXT)
        for data, of_one in compared(runs).items():
            for run in of_one:
                # Table 1 shows those of its other rows.
                if run.method == "robust":
                    section.show(f"{run.method}, {data}", run.folder / "visualization.png")
        return section if section.pictures else None
