"""A run in a folder: how it starts, resumes, stops when it is told to, and what it leaves."""

__all__ = [
    "StopSignal",
    "build_trainer",
    "compiles",
    "load_images",
    "pick_device",
    "resume",
    "run_folder",
    "train",
]

import importlib.util
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from data import load
from data.image_set import ImageSet
from data.pairs import PairSampler
from model.presets import PRESETS, build_model
from objectives import build_method, build_objective
from tqdm import tqdm

from .checkpoint import load_checkpoint, save_checkpoint
from .log import RunLog
from .options import MINUTES, TrainOptions, read_options, write_options
from .trainer import Trainer

LOG_EVERY = 20


def pick_device(name: str) -> torch.device:
    """Gives the device of a name; "auto" takes a GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def compiles(options: TrainOptions, device: torch.device) -> bool:
    """Tells whether a run compiles its networks."""
    if options.compile != "auto":
        return options.compile == "yes"
    if device.type == "mps" or (options.minutes or 0) < 5:
        return False
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    compilers = ("cl",) if sys.platform == "win32" else ("g++", "clang++")
    return any(shutil.which(name) for name in compilers)


def load_images(options: TrainOptions) -> ImageSet:
    """Loads the data of a run."""
    return load(
        options.data,
        options.data_root,
        size=PRESETS[options.preset].size,
        resize=options.resize,
        test_fraction=options.test_fraction,
        identities=options.identities,
        poses=options.poses,
        seed=options.seed,
    )


def build_trainer(options: TrainOptions, image_set: ImageSet, device: torch.device) -> Trainer:
    """Builds the model, the regularizer and the batches of a run, all from its seed."""
    torch.manual_seed(options.seed)
    train_set = image_set.subset("train")
    sizes = PRESETS[options.preset]
    colour = train_set.images[:: max(1, len(train_set) // 500)].mean((0, 1, 2)) / 127.5 - 1
    model = build_model(sizes, torch.from_numpy(colour.astype(np.float32)))
    regularizer = build_objective(
        options.objective,
        sizes.pi_features,
        sizes.alpha_features,
        options.epsilon,
        options.initial_gamma,
        options.mu,
        sizes.critic_width,
    )
    objective = build_method(options, model, image_set)
    sampler = PairSampler(
        train_set, options.identities_per_batch, options.views, sizes.size, options.seed
    )
    return Trainer(model, regularizer, objective, sampler, options, device)


def run_folder(options: TrainOptions) -> tuple[TrainOptions, Path]:
    """Prepares the folder of a run: a new one, or the one to resume with the options it was started with.

    Returns:
        The options of the run and its folder.
    """
    if options.resume is not None:
        path = options.resume / "options.json"
        if not path.is_file():
            raise FileNotFoundError(f"there is no run at {options.resume}: {path} is missing")
        saved = read_options(path)
        _refuse_changes(options, saved)
        if options.minutes is not None or options.steps is not None:
            saved = replace(saved, minutes=options.minutes, steps=options.steps)
            write_options(saved, path)
        return saved, options.resume
    if options.smoke:
        options = replace(
            options,
            identities=12,
            poses=16,
            steps=12,
            minutes=None,
            identities_per_batch=4,
            views=2,
        )
    if options.minutes is None and options.steps is None:
        options = replace(options, minutes=MINUTES[options.data])
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = options.out or Path("runs") / f"{options.data}-{stamp}"
    if (folder / "checkpoint.pt").exists():
        raise FileExistsError(f"{folder} holds a run already: continue it with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    write_options(options, folder / "options.json")
    return options, folder


def _refuse_changes(options: TrainOptions, saved: TrainOptions) -> None:
    """Raises an error where an option beside `--resume` would change the run."""
    unchanged, free = TrainOptions(), ("resume", "minutes", "steps")
    for field in fields(TrainOptions):
        given, kept = getattr(options, field.name), getattr(saved, field.name)
        if field.name not in free and given not in (getattr(unchanged, field.name), kept):
            raise ValueError(
                f"a resumed run keeps its options: --{field.name.replace('_', '-')} is {kept} there, got {given}"
            )


class StopSignal:
    """Creates a flag that SIGTERM and Ctrl-C raise; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.name: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._raise)

    def _raise(self, number: int, frame: object) -> None:
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


def train(trainer: Trainer, folder: Path, stop: StopSignal) -> bool:
    """Trains until the time or the steps of the run are used up.

    Arguments:
        trainer: The run, new or resumed.
        folder: Where the log and the checkpoints go.
        stop: Ends the run early.

    Returns:
        Whether the run came to its end.
    """
    options = trainer.options
    checkpoint = folder / "checkpoint.pt"
    before, start, saved = trainer.seconds, time.monotonic(), time.monotonic()
    progress = _progress(options)
    shape = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}  {desc}"
    bar = tqdm(total=100, bar_format=shape, mininterval=0.5)
    with RunLog(folder, trainer.step_count) as log, bar:
        while (done := progress(trainer)) < 1 and stop.name is None:
            metrics = trainer.step(done)
            trainer.seconds = before + time.monotonic() - start
            if trainer.step_count % LOG_EVERY == 0 or trainer.step_count == 1:
                values = {name: float(value) for name, value in metrics.items()}
                log.write(trainer.step_count, {**values, "seconds": trainer.seconds})
                bar.set_description_str(_summary(trainer.step_count, values), refresh=False)
            bar.update(100 * min(1.0, progress(trainer)) - bar.n)
            if time.monotonic() - saved > 60 * options.checkpoint_minutes:
                save_checkpoint(trainer.state_dict(), checkpoint)
                saved = time.monotonic()
    save_checkpoint(trainer.state_dict(), checkpoint)
    return progress(trainer) >= 1


def resume(trainer: Trainer, folder: Path) -> None:
    """Takes a run up where its checkpoint left it."""
    trainer.load_state_dict(load_checkpoint(folder / "checkpoint.pt"))


def _progress(options: TrainOptions) -> Callable[[Trainer], float]:
    if options.steps is not None:
        steps = options.steps
        return lambda trainer: trainer.step_count / steps
    assert options.minutes is not None
    seconds = 60 * options.minutes
    return lambda trainer: trainer.seconds / seconds


def _summary(step: int, values: dict[str, float]) -> str:
    return (
        f"step {step}  rec {values['reconstruction']:.1f}  mse {values['error']:.4f}  "
        f"I_T {values['mi_average']:.3f}  I_T' {values['mi_shadow_average']:.3f}  "
        f"γ {values['gamma']:.2f}  λ {values['multiplier']:.2f}  KL {values['kl']:.1f}"
    )
