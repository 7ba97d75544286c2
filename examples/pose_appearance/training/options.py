"""What a run can be told on the command line."""

__all__ = ["MINUTES", "TrainOptions", "identity_of", "read_options", "write_options"]

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .files import write_json

DATA = Literal[
    "puppets",
    "creatures",
    "sprites",
    "folder",
    "smallnorb",
    "market1501",
    "deepfashion",
    "vehicleid",
    "bbcpose",
    "ntu",
    "lasot",
    "got10k",
]

MINUTES = {**dict.fromkeys(get_args(DATA), 60.0), "puppets": 9.0, "creatures": 9.0, "sprites": 85.0}
"""How long a run trains by default, by data set."""


@dataclass(frozen=True)
class TrainOptions:
    """Train the pose/appearance model: two images of one character go in, and pose and appearance come apart."""

    data: DATA = "puppets"
    """The data: puppets and creatures, of three categories, need nothing, all others are read from --data-root."""
    data_root: Path | None = None
    """The folder of the data: DIR/<identity>/<anything>.png|jpg for folder, as published for the others (see the table in README.md)."""
    resize: bool = True
    """Scale images to the size of the model; otherwise another size is an error. Sprites are padded."""
    images_per_identity: int | None = None
    """The most images to take of one identity, evenly spaced, to save memory. By default all, or some hundred of a video."""
    store: Path | None = None
    """Where to keep the images of a folder, read and scaled once, for more of them than fit into memory."""
    test_fraction: float = 0.2
    """The share of identities held out, for what is drawn and for folders. The others have a published split."""
    identities: int = 800
    """The number of characters to draw."""
    poses: int = 48
    """The number of poses that each of them is drawn in."""
    preset: Literal["small", "tiny", "large", "paper"] = "small"
    """The sizes of the model: small for 64x64 and tiny for 32x32 on a CPU, large for 64x64 on a GPU, or the paper's for 256x256."""
    objective: Literal[
        "robust",
        "paper",
        "variational",
        "adversarial",
        "equal",
        "fixed",
        "bvae",
        "cyclevae",
        "atsdm",
        "drnet",
        "supervised",
    ] = "robust"
    """What keeps pose and appearance apart: the constraint, which epsilon alone sets, columns e and a to d of Table 1, or another method."""
    epsilon: float = 0.125
    """The target of the mutual information of the two codes, in nats."""
    initial_gamma: float = 5.0
    """The first weight of the variational bound of paper, variational and equal; of bvae and cyclevae, the weight β of the KL."""
    cycle_weight: float = 1000.0
    """The weight of the reverse cycle of cyclevae."""
    adversary_weight: float = 10.0
    """The weight of the adversary of atsdm and drnet."""
    classifier_share: float = 0.2
    """The share of the steps in which atsdm trains its classifier of identities, and nothing else."""
    similarity_weight: float = 1000.0
    """The weight of the distance of two appearance codes of one identity, for drnet."""
    mu: float = 1.0
    """The rate of the multiplier, and the weight of the square, of paper, adversarial, equal and fixed."""
    reconstruction: Literal["gaussian", "l1"] = "gaussian"
    """The reconstruction loss, in nats."""
    scale: float = 0.5**0.5
    """The scale of the reconstruction loss, on images in [-1, 1]: 0.707 makes it the sum of squares."""
    minutes: float | None = None
    """How long to train. By default 9 for what is drawn, 85 for sprites, 60 for others."""
    steps: int | None = None
    """How many steps to train, instead of minutes."""
    identities_per_batch: int = 32
    """How many identities make a batch."""
    views: int = 2
    """How many poses of an identity are decoded from one encoding of its appearance."""
    appearances: int = 2
    """From how many images of an identity its appearance is read in training: the mean of their codes. One is enough afterwards."""
    colour_noise: float = 0.3
    """How much the colours that the pose encoder sees in training are mixed at random: the deviation of the entries of a matrix."""
    width_noise: float = 0.0
    """How much the widths that the pose encoder sees in training are scaled at random: the deviation of the factor."""
    learning_rate: float = 1.5e-3
    """The highest learning rate of encoders and decoder; it decays to 0 along a cosine."""
    critic_learning_rate: float = 2e-3
    """The learning rate of the critics and adversaries of all methods but robust, whose critics have three times that of the encoders."""
    octaves: int = 5
    """How fine the critics of all methods but robust look at the pose code, in octaves of sines and cosines: its noise is some 0.07 where it is used most. 0 for plain critics."""
    replay_updates: int = 2
    """How many more updates a step the critics of all methods but robust get, on codes of recent batches."""
    average_decay: float = 0.998
    """The decay of the averaged weights, which evaluation uses."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The type that the networks compute in: bfloat16 on a GPU by default. Codes, losses and critics stay float32."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """Compile the networks: twice as fast after a minute. Auto does so in runs of 5 minutes or more, if there is a compiler."""
    threads: int = 0
    """The number of CPU threads; 0 leaves it to torch."""
    seed: int = 0
    """The seed of everything random."""
    out: Path | None = None
    """The folder of the run. By default runs/<data>-<date>."""
    checkpoint_minutes: float = 5.0
    """How often a checkpoint is written; one is on SIGTERM and Ctrl-C as well."""
    on_divergence: Literal["stop", "skip"] = "stop"
    """What to do at a step with a loss, a gradient or a code that is not finite, or a code beyond 1e4: stop, or leave the step out. A GPU that stops looks at every 20th step, one that leaves steps out at each, which is slower."""
    resume: Path | None = None
    """A run to continue, with all its options: only --minutes, --steps and --on-divergence may be given anew."""
    export: Path | None = None
    """Write encoders and decoder there when the run ends, as programs of torch.export with a card. A run that has ended: --resume RUN --export DIR."""
    smoke: bool = False
    """Train for a few steps on a few small puppets, to see that everything works."""

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ValueError(
                f"give either --minutes or --steps, got {self.minutes} and {self.steps}"
            )
        positive = ("minutes", "steps", "scale", "learning_rate", "identities_per_batch", "views")
        for name in positive:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"--{name.replace('_', '-')} must be positive, got {value}")
        if self.identities_per_batch < 2:
            raise ValueError(
                f"--identities-per-batch must be at least 2, got {self.identities_per_batch}"
            )


def write_options(options: TrainOptions, path: Path) -> None:
    """Writes options as JSON."""
    fields = dataclasses.asdict(options)
    write_json(path, {k: str(v) if isinstance(v, Path) else v for k, v in fields.items()})


FREE = {
    "minutes", "steps", "out", "resume", "smoke", "device", "compile", "precision", "threads", "data_root", "store",
    "checkpoint_minutes", "on_divergence", "export",
}  # fmt: skip
"""Options that make no other run."""


def identity_of(options: TrainOptions) -> dict[str, Any]:
    """Gives the options that make a run what it is, as plain values: a checkpoint carries them."""
    fields = dataclasses.asdict(options)
    return {name: value for name, value in fields.items() if name not in FREE}


def read_options(path: Path) -> TrainOptions:
    """Reads options that :func:`write_options` wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no run at {path.parent}: {path} is missing")
    try:
        fields = json.loads(path.read_text())
        for name in ("data_root", "store", "out", "resume", "export"):
            # A run that is older than an option has its default.
            fields[name] = None if fields.get(name) is None else Path(fields[name])
        return TrainOptions(**fields)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold the options of a run: {error}") from error
