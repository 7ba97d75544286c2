"""Drawing the appearance of some pictures in the pose of others, with a trained model."""

__all__ = ["SynthesizeOptions", "main"]

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..data.decoding import read_image, significant_bits, to_square
from ..data.pairs import as_float, crop_to
from ..data.places import contents, images_in
from ..model.exported import CARD, ExportedModel, load_exported
from ..model.presets import PoseAppearanceModel
from ..model.pretrained import WEIGHTS, load_weights
from ..studies.pictures import as_pixels, tile
from ..training.finished import native_size, trained_model
from ..training.run import pick_device
from .demo import demo_pictures

BATCH = 64

PRETRAINED = Path(__file__).parents[2] / "pretrained"
"""The weights of the default run."""


@dataclass(frozen=True)
class SynthesizeOptions:
    """Draw each appearance in each pose, with a trained model, as a picture or as a GIF.

    A picture is a table: poses across, appearances down, the inputs on its borders. A GIF goes
    through the poses, frame by frame, with the appearances side by side. Pictures of any size are
    scaled to that of the model, like those of the training, which yours should resemble: one
    figure, framed alike.
    """

    model: Annotated[Path, tyro.conf.Positional] = PRETRAINED
    """The folder of a run, or what `train.py --export` or `--weights` wrote. By default a model of
    puppets that comes with the program."""
    appearance: tuple[Path, ...] = ()
    """The pictures whose appearance is drawn: files, or folders of files."""
    pose: tuple[Path, ...] = ()
    """The pictures whose pose is taken: files, or folders of files, such as the frames of a video,
    in the order of their numbers."""
    demo: bool = False
    """Draw new puppets instead of reading pictures: a table as demo.png and a film as demo.gif,
    beside --out."""
    out: Path = Path("synthesis.png")
    """Where to write: .png or .jpg for a picture, .gif for an animation."""
    borders: bool = True
    """Show the inputs as well."""
    zoom: int = 2
    """How much to enlarge the result."""
    fps: float = 10.0
    """The frames per second of a GIF."""
    device: str = "auto"
    """Where to draw: auto, cpu, cuda, mps."""

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".gif"):
            raise ValueError(f"--out must end in .png, .jpg, .jpeg or .gif, got {self.out}")
        for name in ("zoom", "fps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} must be positive, got {getattr(self, name)}")
        for name in ("appearance", "pose"):
            if bool(getattr(self, name)) == self.demo:
                raise ValueError(
                    f"--{name} must name at least one picture, or --demo be given instead"
                )


def find_pictures(paths: tuple[Path, ...]) -> list[Path]:
    """Lists files, and those in folders in the order of the numbers in their names."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"there is no picture at {path}")
        if not path.is_dir():
            found.append(path)
            continue
        inside, _ = images_in(path)
        if not inside:
            raise FileNotFoundError(
                f"{path} must hold pictures that Pillow reads: {contents(path)}"
            )
        found += sorted(inside, key=_natural)
    return found


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 9.png before 10.png."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", path.name)]


def read_pictures(paths: list[Path], size: int) -> np.ndarray:
    """Reads pictures, scaled to fit, as uint8 with shape (N, size, size, 3)."""
    bits = significant_bits(paths)
    return np.stack([to_square(read_image(p, bits=bits), size, p, resize=True) for p in paths])


def load_model(folder: Path) -> tuple[PoseAppearanceModel | ExportedModel, int, int]:
    """Loads a run's averaged weights or an exported model.

    Returns:
        The model, the size that it takes, and that of the images it was trained on, which were
        padded.
    """
    if (folder / WEIGHTS).is_file():
        trained, card = load_weights(folder)
        return trained, trained.options.size, card["native_size"]
    if (folder / CARD).is_file():
        exported = load_exported(folder)
        return exported, exported.card["sizes"]["size"], exported.card["native_size"]
    model, options = trained_model(folder)
    return model, model.options.size, native_size(options)


@torch.no_grad()
def synthesize(
    model: PoseAppearanceModel | ExportedModel, appearance: Tensor, pose: Tensor
) -> Tensor:
    """Draws every appearance in every pose.

    Arguments:
        model: The model.
        appearance: Images in [-1, 1], with shape (A, 3, H, W).
        pose: Images in [-1, 1], with shape (P, 3, H, W).

    Returns:
        Images, with shape (A, P, 3, H, W), on the CPU.
    """
    alpha = torch.cat([model.appearance_encoder(x) for x in appearance.split(BATCH)])
    pi = torch.cat([model.pose_encoder(x)[0] for x in pose.split(BATCH)])
    pairs = torch.cartesian_prod(torch.arange(len(alpha)), torch.arange(len(pi)))
    pairs = pairs.reshape(-1, 2).to(alpha.device)
    starts = tqdm(range(0, len(pairs), BATCH), "drawing", leave=False, disable=len(pairs) < 1000)
    drawn = [
        model.decoder(pi[rows[:, 1]], alpha[rows[:, 0]]).cpu()
        for rows in (pairs[start : start + BATCH] for start in starts)
    ]
    return torch.cat(drawn).unflatten(0, (len(alpha), len(pi)))


def as_table(
    drawn: np.ndarray, appearance: np.ndarray, pose: np.ndarray, borders: bool, zoom: int
) -> Image.Image:
    """Lays results out: poses across, appearances down.

    Arguments:
        drawn: The results, uint8 with shape (A, P, H, W, 3).
        appearance: The inputs whose appearance it is, with shape (A, H, W, 3).
        pose: The inputs whose pose it is, with shape (P, H, W, 3).
        borders: Whether to show the inputs.
        zoom: The factor to enlarge by.
    """
    if not borders:
        alone = drawn.shape[:2] == (1, 1)
        return tile([list(row) for row in drawn], gap=0 if alone else 2, zoom=zoom)
    rows = [[x, *row] for x, row in zip(appearance, drawn, strict=True)]
    return tile([[None, *pose], *rows], zoom=zoom)


def save_gif(frames: list[Image.Image], path: Path, fps: float) -> None:
    """Writes frames as an animation without end."""
    # GIF counts in hundredths of a second, and viewers slow down what is below two.
    duration = max(20, round(100 / fps) * 10)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=duration, loop=0)


def main(options: SynthesizeOptions) -> None:
    """Draws, and writes the result."""
    model, size, native = load_model(options.model)
    model.to(pick_device(options.device))
    if options.demo:
        table, film = demo_pictures(size)
        for pictures, name in ((table, "demo.png"), (film, "demo.gif")):
            out = options.out.with_name(name)
            draw(model, size, native, *pictures, replace(options, out=out))
        return
    paths = [find_pictures(options.appearance), find_pictures(options.pose)]
    appearance, pose = (read_pictures(files, native) for files in paths)
    draw(model, size, native, appearance, pose, options)


def draw(
    model: PoseAppearanceModel | ExportedModel,
    size: int,
    native: int,
    appearance: np.ndarray,
    pose: np.ndarray,
    options: SynthesizeOptions,
) -> None:
    """Draws each appearance in each pose, and writes the result.

    Arguments:
        model: The model.
        size: The size that it takes.
        native: The size of the images that it was trained on.
        appearance: The pictures of appearances, uint8 with shape (A, native, native, 3).
        pose: The pictures of poses, with shape (P, native, native, 3).
        options: Where to write, and how.
    """
    device = pick_device(options.device)
    x, y = (as_float(torch.from_numpy(images), size).to(device) for images in (appearance, pose))
    drawn = synthesize(model, x, y).flatten(0, 1)
    result = as_pixels(crop_to(drawn, (native, native)))
    result = result.reshape(len(appearance), len(pose), native, native, 3)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.out.suffix.lower() == ".gif":
        frames = [
            as_table(
                result[:, [i]].swapaxes(0, 1), pose[[i]], appearance, options.borders, options.zoom
            )
            for i in range(len(pose))
        ]
        save_gif(frames, options.out, options.fps)
    else:
        as_table(result, appearance, pose, options.borders, options.zoom).save(options.out)
    print(f"{len(appearance)} appearances in {len(pose)} poses are in {options.out}")
