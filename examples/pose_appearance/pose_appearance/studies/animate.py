"""Animation: the appearance of some identities, driven by the pose sequences of others (Figs. 8 and
9).
"""

__all__ = ["Animate", "animate", "film", "save_gif", "save_mp4"]

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data import sequence
from ..model.presets import PoseAppearanceModel
from .categories import category_picks
from .drawing import draw
from .pictures import grid_picks, tile
from .run import Run, compared
from .section import Section
from .study import Study, study

TEXT = (
    "The appearances along the top, driven by the sequences of poses down the left side. All are "
    "held out; the model is robust, seed 0. Beside this film in the folder of the run lies an MP4, "
    "where ffmpeg was installed."
)


def animate(
    model: PoseAppearanceModel,
    appearances: np.ndarray,
    sequences: list[np.ndarray],
    zoom: int = 2,
) -> list[Image.Image]:
    """Draws a film: appearances along the top, sequences down the left side, and every one driven
    by every other.

    Arguments:
        model: The model.
        appearances: Images that give the appearances, uint8 with shape (A, H, W, 3).
        sequences: Images that give the poses, each uint8 with shape (T, H, W, 3); the shorter ones
            start again.
        zoom: The factor to enlarge by.

    Returns:
        The frames: as many as the longest sequence has.
    """
    drawn = []
    for driver in sequences:
        looks = np.repeat(appearances, len(driver), 0)
        poses = np.tile(driver, (len(appearances), 1, 1, 1))
        drawn.append(draw(model, looks, poses).reshape(len(appearances), *driver.shape))
    frames = []
    for time in range(max(len(driver) for driver in sequences)):
        rows: list[list[np.ndarray | None]] = [[None, *appearances]]
        for driver, films in zip(sequences, drawn, strict=True):
            at = time % len(driver)
            rows.append([driver[at], *films[:, at]])
        frames.append(tile(rows, zoom=zoom))
    return frames


def save_gif(frames: list[Image.Image], path: Path, rate: float = 12) -> None:
    """Writes frames as a GIF that runs for ever, with one palette for all of them.

    Arguments:
        frames: The frames.
        path: The file.
        rate: Frames a second.
    """
    # A palette of its own for each frame would make still parts flicker.
    palette = _palette(np.concatenate([np.asarray(frame)[::2, ::2] for frame in frames[::4]]))
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / rate), loop=0)


def _palette(sample: np.ndarray) -> Image.Image:
    """Chooses 256 colours: the 64 most frequent as they are, and others that lie among all, however
    rare.
    """
    colours, counts = np.unique(sample.reshape(-1, 3), axis=0, return_counts=True)
    frequent = colours[np.argsort(-counts, kind="stable")[:64]]
    # Each shade counts once: by their pixels, small bright things would turn grey.
    shades = np.unique(colours // 8, axis=0) * 8 + 4
    rest = Image.fromarray(shades[None].astype(np.uint8)).quantize(192).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*frequent.flatten().tolist(), *rest])
    return palette


def save_mp4(frames: list[Image.Image], path: Path, rate: float = 12, loops: int = 3) -> bool:
    """Writes frames as an MP4 video, if `ffmpeg` is installed.

    Arguments:
        frames: The frames.
        path: The file.
        rate: Frames a second.
        loops: How often the frames are repeated.

    Returns:
        Whether it was written.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    # Its colours have half the resolution of its brightness: both sides must be even.
    width, height = (side // 2 * 2 for side in frames[0].size)
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
               "-s", f"{width}x{height}", "-r", str(rate), "-i", "-",
               "-pix_fmt", "yuv420p", "-movflags", "faststart", str(path)]  # fmt: skip
    data = b"".join(frame.crop((0, 0, width, height)).tobytes() for frame in frames)
    done = subprocess.run(command, check=False, input=data * loops, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"ffmpeg failed to write {path}: {done.stderr.decode().strip()}")
    return True


def film(run: Run, drivers: int = 3) -> list[Image.Image]:
    """Lets pose sequences of some held-out identities drive the appearances of others."""
    options, held_out = run.options, run.held_out
    if "category" in held_out.factors:
        appearance, pose = category_picks(held_out, 2, options.seed)
        pose = pose[::2]
    else:
        appearance, pose = grid_picks(held_out, 5, options.seed).reshape(2, 5)
    drawn = {"identities": options.identities, "seed": options.seed}
    sequences = [
        sequence(options.data, held_out, held_out.identity[index], which, **drawn)
        for which, index in enumerate(pose[:drivers])
    ]
    return animate(run.model, held_out.images[appearance], sequences)


@study
class Animate(Study):
    """Creates a film."""

    help = "Let pose sequences of some characters drive others: a GIF, and an MP4 with ffmpeg."
    scope = "main"

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        frames = film(run)
        save_gif(frames, run.folder / "animation.gif")
        video = save_mp4(frames, run.folder / "animation.mp4")
        return {"animation": {"frames": len(frames), "mp4": video}}

    def text(self, result: dict[str, Any]) -> str:
        return "" if result["animation"]["mp4"] else "No animation.mp4: ffmpeg is not installed"

    def section(self, runs: list[Run]) -> Section | None:
        section = Section("Figs. 8 and 9: animation", TEXT)
        for data, of_one in compared(runs).items():
            for run in of_one:
                section.show(f"{run.method}, {data}", run.folder / "animation.gif")
        return section if section.pictures else None
