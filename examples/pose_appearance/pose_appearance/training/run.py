"""A run in a folder: how it starts, resumes, stops when it is told to, and what it leaves."""

__all__ = [
    "StopSignal",
    "build_trainer",
    "compiles",
    "load_images",
    "pick_device",
    "resume",
    "run_folder",
    "share_of",
    "train",
]

import importlib.util
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch
from tqdm import tqdm

import mireg

from ..data import DATA_SETS, ImageSet, load
from ..data.pairs import PairSampler
from ..methods import METHODS, Method, Setting
from ..model.presets import PRESETS, PoseAppearanceModel, build_model
from .checkpoint import (
    NAME,
    checkpoints_of,
    load_newest,
    save_checkpoint,
    set_aside,
)
from .log import RunLog
from .options import TrainOptions, flag, flat, read_options, write_options
from .ranks import decide, is_first, rank
from .trainer import Diverged, Trainer

LOG_EVERY = 20


def pick_device(name: str) -> torch.device:
    """Returns the device of a name; "auto" takes a GPU where there is one."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def compiles(options: TrainOptions, device: torch.device) -> bool:
    """Returns whether a run compiles its networks."""
    if options.compile != "auto":
        return options.compile == "yes"
    # On a CPU a compiled step takes as long, and the compilation 84 s.
    usable = device.type == "cuda" and importlib.util.find_spec("triton") is not None
    return usable and _is_long(options)


def _is_long(options: TrainOptions) -> bool:
    """Returns whether a run lasts so long that compiling pays."""
    return (options.minutes or 0) >= 5 or (options.steps or 0) >= 2000


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
        images_per_identity=options.images_per_identity,
        store=options.store,
    )


def build_trainer(options: TrainOptions, image_set: ImageSet, device: torch.device) -> Trainer:
    """Builds the model, the regularizer and the batches of a run, all from its seed."""
    torch.manual_seed(options.seed)
    train_set = image_set.subset("train")
    sizes = PRESETS[options.preset]
    model = build_model(sizes, torch.from_numpy(train_set.mean_colour()))
    method, regularizer = build_method(options, model, image_set)
    sampler = PairSampler(
        train_set,
        options.identities_per_batch,
        options.views,
        sizes.size,
        options.seed,
        rank(),
        mireg.Ranks().count,
        options.appearances,
    )
    return Trainer(model, regularizer, method, sampler, options, device)


def build_method(
    options: TrainOptions, model: PoseAppearanceModel, image_set: ImageSet
) -> tuple[Method, mireg.Regularizer]:
    """Builds the method of a run and its regularizer.

    Arguments:
        options: The options of the run.
        model: The model.
        image_set: All images of the data, training and held out.
    """
    setting = Setting(
        model,
        image_set,
        options.epsilon,
        options.recipe,
        options.identities_per_batch,
        options.views,
        options.seed,
    )
    chosen, own = METHODS[options.objective], options.of_method
    regularizer = chosen.regularizer(own, setting)
    method, ranks = chosen(own, setting), mireg.Ranks().count
    if ranks > 1 and list(method.parameters()):
        raise ValueError(
            f"{options.objective} trains networks of its own, which no rank averages: "
            f"start one process, got {ranks} ranks"
        )
    return method, regularizer


def run_folder(options: TrainOptions) -> tuple[TrainOptions, Path]:
    """Prepares the folder of a run: a new one, or the one to resume with the options it was started
    with.

    Returns:
        The options of the run and its folder.
    """
    if options.resume is not None:
        path = options.resume / "options.json"
        saved = read_options(path)
        _refuse_changes(options, saved)
        if options.minutes is not None or options.steps is not None:
            saved = replace(saved, minutes=options.minutes, steps=options.steps)
        if options.on_divergence != TrainOptions.on_divergence:
            saved = replace(saved, on_divergence=options.on_divergence)
        write_options(saved, path)
        targets = {
            name: getattr(options, name) or getattr(saved, name) for name in ("export", "weights")
        }
        return replace(saved, **targets), options.resume
    if options.smoke:
        options = replace(
            options,
            identities=12,
            poses=16,
            steps=12,
            minutes=None,
            identities_per_batch=4,
            views=2,
            audit_samples=0,
        )
    if options.minutes is None and options.steps is None:
        options = replace(options, steps=DATA_SETS[options.data].steps)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = options.out or Path("runs") / f"{options.data}-{stamp}"
    if checkpoints_of(folder):
        raise FileExistsError(f"{folder} holds a run already: continue it with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    write_options(options, folder / "options.json")
    return options, folder


def _refuse_changes(options: TrainOptions, saved: TrainOptions) -> None:
    """Raises an error where an option beside `--resume` would change the run."""
    unchanged, kept = flat(TrainOptions()), flat(saved)
    free = ("resume", "minutes", "steps", "on_divergence", "export", "weights")
    for name, given in flat(options).items():
        if name not in free and given not in (unchanged[name], kept[name]):
            raise ValueError(
                f"a resumed run keeps its options: --{flag(name)} is {kept[name]} there, got "
                f"{given}"
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

    Raises:
        Diverged: If a step has numbers that are not finite: the last checkpoint is from before it.
    """
    options = trainer.options
    before, start, saved = trainer.seconds, time.monotonic(), time.monotonic()
    if trainer.step_count == 0:
        # From here on there always is one, and a folder that cannot hold it is known at once.
        save(trainer, folder)
    last = trainer.step_count
    shape = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}  {desc}"
    bar = tqdm(total=100, bar_format=shape, mininterval=0.5, disable=not is_first())
    with RunLog(folder, trainer.step_count) if is_first() else nullcontext() as log, bar:
        while True:
            due = time.monotonic() - saved > 60 * options.checkpoint_minutes
            done, due, stopped = decide(
                _progress(trainer), due, stop.name is not None, trainer.device
            )
            if due and trainer.step_count > last:
                trainer.check()
                try:
                    save(trainer, folder)
                    last = trainer.step_count
                except OSError as error:
                    print(f"warning: {error}", file=sys.stderr)
                saved = time.monotonic()
            if done >= 1 or stopped:
                break
            try:
                metrics = trainer.step(done)
            except Diverged as error:
                raise Diverged(
                    f"{error}: the last good checkpoint is of step {last}, in {folder}; continue "
                    "with --resume, "
                    "and --on-divergence skip to leave such steps out"
                ) from error
            trainer.seconds = before + time.monotonic() - start
            if log and metrics and (trainer.step_count % LOG_EVERY == 0 or trainer.step_count == 1):
                values = {name: float(value) for name, value in metrics.items()}
                log.write(trainer.step_count, {**values, "seconds": trainer.seconds})
                bar.set_description_str(_summary(trainer.step_count, values), refresh=False)
            bar.update(100 * min(1.0, _progress(trainer)) - bar.n)
    if trainer.step_count > last:
        trainer.check()
        save(trainer, folder)
    return done >= 1


def save(trainer: Trainer, folder: Path) -> None:
    """Writes a checkpoint, on the first rank: all hold the same."""
    if is_first():
        save_checkpoint(trainer.state_dict(), folder / NAME)


def resume(trainer: Trainer, folder: Path) -> None:
    """Takes a run up where its newest good checkpoint left it, on any number of ranks."""
    path, refused = load_newest(folder, trainer.load_state_dict)
    # All have read before one renames.
    decide(0.0, False, False, trainer.device)
    for bad, reason in refused.items() if is_first() else ():
        place = set_aside(bad)
        print(
            f"warning: {reason}: it is now {place.name}, and {path.name} is used", file=sys.stderr
        )


def _progress(trainer: Trainer) -> float:
    return share_of(trainer.options, trainer.step_count, trainer.seconds)


def share_of(options: TrainOptions, steps: int, seconds: float) -> float:
    """Returns how much of a run is over after some steps and seconds."""
    if options.steps is not None:
        return steps / options.steps
    assert options.minutes is not None
    return seconds / (60 * options.minutes)


def _summary(step: int, values: dict[str, float]) -> str:
    return (
        f"step {step}  rec {values['reconstruction']:.1f}  mse {values['error']:.4f}  "
        f"I_T {values['mi_average']:.3f}  I_T' {values['mi_shadow_average']:.3f}  "
        f"γ {values['gamma']:.2f}  λ {values['multiplier']:.2f}  KL {values['kl']:.1f}"
    )
