"""What a method is: its regularizer, what it minimises, its options, its row of the legend."""

__all__ = ["METHODS", "Method", "NoOptions", "RecipeOptions", "Setting", "Step", "frozen", "method"]

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

import mireg
from mireg import weights

from ..data.image_set import ImageSet
from ..data.pairs import Batch
from ..model.presets import PoseAppearanceModel
from ..registry import Registry
from .replay import Replay


@dataclass(frozen=True)
class RecipeOptions:
    """What all methods but robust share: critics that learn before they are asked, as published."""

    critic_learning_rate: float = 2e-3
    """The learning rate of critics and adversaries. Critics of robust have three times that of the
    encoders."""
    octaves: int = 5
    """How fine critics look at the pose code, in octaves of sines and cosines: its noise is some
    0.07 where it is used most. 0 for plain critics."""
    replay_updates: int = 2
    """How many more updates a step critics get, on codes of recent batches."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a method that has none."""


@dataclass(frozen=True)
class Setting:
    """What a method is built for."""

    model: PoseAppearanceModel
    """The encoders and the decoder."""
    images: ImageSet
    """All images of the data, training and held out."""
    epsilon: float
    """The target of the mutual information, in nats."""
    recipe: RecipeOptions
    """What methods of the published recipe share."""
    identities: int
    """The number of identities of a batch."""
    views: int
    """The number of poses of each of them."""
    seed: int
    """The seed of the run."""

    @property
    def features(self) -> tuple[int, int]:
        """The number of features of the pose code and of the appearance code."""
        return self.model.options.pi_features, self.model.options.alpha_features


class Step(NamedTuple):
    """What a method sees of a step."""

    model: PoseAppearanceModel
    """The encoders and the decoder in training."""
    batch: Batch
    """The images."""
    codes: mireg.Codes
    """The codes that were decoded: `views` poses of each identity in turn, each beside the code of
    its appearance."""
    groups: Tensor
    """The identity of each sample."""
    replay: Replay
    """The codes of recent batches."""
    count: int
    """How many steps were made before."""
    progress: float
    """How much of the run is over, from 0 to 1."""

    @property
    def views(self) -> int:
        """How many poses of an identity are in the batch."""
        return len(self.groups) // len(self.batch.groups)


class Method(nn.Module):
    """Creates what the encoders and the decoder are trained for.

    By default: the reconstruction, beside critics by the published recipe that watch and do not
    interfere. A method overrides what it changes. Networks of its own learn with the critics.

    Arguments:
        options: Its options.
        setting: What it is built for.
    """

    Options: type = NoOptions
    """Its options, a frozen dataclass with defaults. On the command line they bear its name."""

    source = ""
    """Where it is from, for the legend."""
    adds = ""
    """What it adds to the reconstruction loss, for the legend."""
    column: str | None = None
    """Its column of Table 1 of the paper, empty for the constraint of the library, if it has
    one."""
    published_error: float | None = None
    """Its error on sprites, read off Fig. 7 of the paper, which does not say whether it is a
    mean."""

    stochastic = True
    """Whether pose codes are drawn from their posterior, or its mean with noise too small to
    matter."""
    critics_first = True
    """Whether critics learn from a batch and from a replay before they are asked, as published."""
    keeps_epsilon = False
    """Whether a bound promises ε: of its trials those that keep it come first."""
    given_poses = False
    """Whether it is given the keypoints, and so needs data that have them, and does not compete."""

    one_graph = True
    """Whether a GPU runs its step as one captured graph: not if a step waits for the device, or
    depends on `step.count` or `step.progress`, which a graph holds as they were at its capture. A
    method with a `begin` of its own never is."""

    trials: Mapping[str, tuple[dict[str, float], ...]] = {}
    """What tuning tries, by data: as many trials for every method that has something to tune."""
    proportional: tuple[str, ...] = ()
    """Options in proportion to the reconstruction loss, which is a sum over the pixels."""

    def __init__(self, options: Any, setting: Setting) -> None:
        super().__init__()

        self.options = options

    @classmethod
    def gamma_and_multiplier(cls, options: Any) -> dict[str, nn.Module]:
        """Returns γ and λ of the published recipe: 0 by default, for critics that watch."""
        return {"gamma": weights.FixedGamma(0), "multiplier": weights.FixedMultiplier(0)}

    @classmethod
    def regularizer(cls, options: Any, setting: Setting) -> mireg.Regularizer:
        """Returns the regularizer. T and T' are always there, so that all report the same
        numbers.
        """
        width, octaves = setting.model.options.critic_width, setting.recipe.octaves
        return mireg.RobustMIConstraint.paper(
            *setting.features,
            epsilon=setting.epsilon,
            critic=lambda: mireg.ConcatenatedCritic(*setting.features, width, octaves=octaves),
            negatives=mireg.pairs.ShiftedNegatives(4),
            ranks=mireg.Ranks(gather=True),
            **cls.gamma_and_multiplier(options),
        )

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        """Prepares the networks for a step, before anything is encoded.

        Arguments:
            model: The encoders and the decoder.
            progress: How much of the run is over, from 0 to 1.
        """

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        """Returns what the step minimises.

        Arguments:
            step: The step.
            reconstruction: The reconstruction loss, in nats per image.
            penalty: The penalty of the regularizer.

        Returns:
            `loss` for the model, `critic_loss` for the critics and the networks of the method, and
            further metrics for the log. One backward pass serves both losses: the first reaches no
            critic, the second no encoder.
        """
        return mireg.Penalty(reconstruction + penalty.loss, penalty.critic_loss, {})


METHODS: Registry[type[Method]] = Registry("objective")
"""All methods by name."""

M = TypeVar("M", bound=type[Method])


def method(cls: M) -> M:
    """Registers a method under the name of its module."""
    METHODS.add(cls, of=cls)
    return cls


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Yields a network with constant parameters, for losses that train the codes alone."""
    network.requires_grad_(False)
    try:
        yield network
    finally:
        network.requires_grad_(True)
