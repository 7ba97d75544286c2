"""What a run can be told on the command line."""

__all__ = [
    "MethodOptions",
    "TrainOptions",
    "flag",
    "flat",
    "identity_of",
    "read_options",
    "write_options",
]

import json
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..data import DATA_SETS
from ..methods import METHODS, RecipeOptions
from ..model.presets import PRESETS
from .files import write_json
from .reconstruction import RECONSTRUCTIONS

OWN = {name: method.Options for name, method in METHODS.items() if fields(method.Options)}
"""The options of each method that has some."""

MethodOptions = make_dataclass(
    "MethodOptions",
    [(name, options, field(default=options())) for name, options in OWN.items()],
    frozen=True,
    namespace={"__doc__": "The options of all methods, each under its name."},
)
MethodOptions.__module__ = __name__


@dataclass(frozen=True)
class TrainOptions:
    """Train the pose/appearance model: two images of one character go in, and come apart.

    An option of a method bears its name: `--objective bvae --bvae.beta 3`.
    """

    data: Literal[tuple(sorted(DATA_SETS))] = "puppets"
    """The data: puppets and creatures are drawn, all others are read from --data-root."""
    data_root: Path | None = None
    """The folder of the data: DIR/<identity>/<anything>.png|jpg for folder, as published for the
    others (see their modules in pose_appearance/data)."""
    resize: bool = True
    """Scale images to the size of the model; otherwise another size is an error. Sprites are
    padded."""
    images_per_identity: int | None = None
    """The most images to take of one identity, evenly spaced, to save memory. By default all, or
    some hundred of a video."""
    store: Path | None = None
    """Where to keep the images of a folder, read and scaled once, for more of them than fit into
    memory."""
    test_fraction: float = 0.2
    """The share of identities held out, for what is drawn and for folders. The others have a
    published split."""
    identities: int = 800
    """The number of characters to draw."""
    poses: int = 48
    """The number of poses that each of them is drawn in."""
    preset: Literal[tuple(PRESETS)] = "small"
    """The sizes of the model: small and medium for 64x64 and tiny for 32x32 on a CPU, large for
    64x64 on a GPU, or the paper's for 256x256."""
    objective: Literal[tuple(METHODS)] = "robust"
    """What keeps pose and appearance apart: the constraint, which epsilon alone sets, columns a to
    e of Table 1, or another method."""
    methods: Annotated[MethodOptions, tyro.conf.arg(name="")] = field(default_factory=MethodOptions)
    recipe: RecipeOptions = field(default_factory=RecipeOptions)
    epsilon: float = 0.125
    """The target of the mutual information of the two codes, in nats."""
    reconstruction: Literal[tuple(RECONSTRUCTIONS)] = "gaussian"
    """The reconstruction loss, in nats."""
    scale: float = 0.5**0.5
    """The scale of the reconstruction loss, on images in [-1, 1]: 0.707 makes it the sum of
    squares."""
    minutes: float | None = None
    """How long to train, instead of steps."""
    steps: int | None = None
    """How many steps to train. By default as many as the data set says."""
    identities_per_batch: int = 32
    """How many identities make a batch."""
    views: int = 2
    """How many poses of an identity are decoded from one encoding of its appearance."""
    appearances: int = 2
    """From how many images of an identity its appearance is read in training: the mean of their
    codes. One is enough afterwards."""
    colour_noise: float = 0.3
    """How much the colours that the pose encoder sees in training are mixed at random: the
    deviation of the entries of a matrix."""
    width_noise: float = 0.0
    """How much the widths that the pose encoder sees in training are scaled at random: the
    deviation of the factor."""
    shape_noise: float = 0.0
    """How much the shapes that the pose encoder sees in training are bent at random: the deviation
    of the shifts, where the image is 2 wide. 0.05 pairs more poses of different bodies. With 0.1,
    critics no longer see what codes of images as they are reveal."""
    learning_rate: float = 1.5e-3
    """The highest learning rate of encoders and decoder; it decays to 0 along a cosine."""
    average_decay: float = 0.998
    """The decay of the averaged weights, which evaluation uses."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The type that the networks compute in: bfloat16 on a GPU by default. Codes, losses and
    critics stay float32."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """Compile the networks, which takes a minute. Auto does so on a GPU with Triton, in runs of 5
    minutes or 2,000 steps: on a CPU, steps are not faster."""
    threads: int = 0
    """The number of CPU threads; 0 leaves it to torch."""
    seed: int = 0
    """The seed of everything random."""
    out: Path | None = None
    """The folder of the run. By default runs/<data>-<date>."""
    checkpoint_minutes: float = 5.0
    """How often a checkpoint is written; one is on SIGTERM and Ctrl-C as well."""
    on_divergence: Literal["stop", "skip"] = "stop"
    """What to do at a step with a loss, a gradient or a code that is not finite, or a code beyond
    1e4: stop, or leave the step out. A GPU that stops looks at every 20th step, one that leaves
    steps out at each, which is slower."""
    audit_samples: int = 2000
    """How many codes of held-out characters fresh critics judge at the end, for a verdict in one
    line. 0 for none: `evaluate.py --audit` says more."""
    resume: Path | None = None
    """A run to continue, with all its options: only --minutes, --steps and --on-divergence may be
    given anew."""
    export: Path | None = None
    """Write encoders and decoder there when the run ends, as programs of torch.export with a card.
    A run that has ended: --resume RUN --export DIR."""
    weights: Path | None = None
    """Write the weights alone there, in half precision, as safetensors with a card."""
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
        # A run to resume has its own objective.
        if self.resume is None:
            self._refuse_others()

    def _refuse_others(self) -> None:
        """Raises an error where an option of a method is given that is not the objective."""
        for name, options in OWN.items():
            if name != self.objective and getattr(self.methods, name) != options():
                raise ValueError(
                    f"options of {name} are for --objective {name}, got {self.objective}"
                )

    @property
    def of_method(self) -> Any:
        """The options of the method."""
        return getattr(self.methods, self.objective, METHODS[self.objective].Options())

    def with_method(self, name: str, **own: Any) -> "TrainOptions":
        """Returns these options with a method, and some of its own options."""
        methods = MethodOptions()
        if own:
            methods = replace(methods, **{name: METHODS[name].Options(**own)})
        return replace(self, objective=name, methods=methods)


def flag(name: str) -> str:
    """Returns an option as the command line spells it."""
    return name.replace("_", "-")


def flat(options: TrainOptions) -> dict[str, Any]:
    """Returns options as plain values by name, those of a method or the recipe as `bvae.beta`."""
    nested = asdict(options)
    groups = {"recipe": nested.pop("recipe"), **nested.pop("methods")}
    own = {f"{group}.{k}": v for group, values in groups.items() for k, v in values.items()}
    return {**nested, **own}


def _own(options: TrainOptions) -> dict[str, Any]:
    """Returns options as plain values by name, without those of other methods."""
    others = OWN.keys() - {options.objective}
    return {k: v for k, v in flat(options).items() if k.partition(".")[0] not in others}


def write_options(options: TrainOptions, path: Path) -> None:
    """Writes options as JSON."""
    fields = _own(options)
    write_json(path, {k: str(v) if isinstance(v, Path) else v for k, v in fields.items()})


FREE = {
    "minutes", "steps", "out", "resume", "smoke", "device", "compile", "precision", "threads",
    "data_root", "store", "checkpoint_minutes", "on_divergence", "audit_samples", "export",
    "weights",
}  # fmt: skip
"""Options that make no other run."""


def identity_of(options: TrainOptions) -> dict[str, Any]:
    """Returns what makes a run what it is, as plain values: a checkpoint carries them."""
    return {name: value for name, value in _own(options).items() if name not in FREE}


def read_options(path: Path) -> TrainOptions:
    """Reads what :func:`write_options` wrote. A run that is older than an option has its default."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no run at {path.parent}: {path} is missing")
    try:
        groups: dict[str, dict[str, Any]] = {"": {}, "recipe": {}}
        for key, value in json.loads(path.read_text()).items():
            group, _, name = key.rpartition(".")
            groups.setdefault(group, {})[name] = value
        common, recipe = groups.pop(""), RecipeOptions(**groups.pop("recipe"))
        for name in ("data_root", "store", "out", "resume", "export", "weights"):
            common[name] = None if common.get(name) is None else Path(common[name])
        methods = {name: METHODS[name].Options(**own) for name, own in groups.items()}
        return TrainOptions(**common, recipe=recipe, methods=MethodOptions(**methods))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold the options of a run: {error}") from error
