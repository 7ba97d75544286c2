"""What a method is, beside its regularizer: the losses of a step, and networks of its own."""

__all__ = ["Objective", "Step", "frozen"]

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from data.pairs import Batch
from model.presets import PoseAppearanceModel
from torch import Tensor, nn
from training.replay import Replay

import mireg


class Step(NamedTuple):
    """What an objective sees of a step."""

    model: PoseAppearanceModel
    """The encoders and the decoder in training."""
    batch: Batch
    """The images."""
    codes: mireg.Codes
    """The codes that were decoded: `views` poses of each identity in turn, each beside the code of its appearance."""
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


class Objective(nn.Module):
    """Creates the objective of all methods that their regularizer alone tells apart: reconstruction and penalty.

    The others override what they change. Networks of their own learn with the critics, from the loss of these.
    """

    stochastic = True
    """Whether pose codes are drawn from their posterior. Otherwise they are its mean, with noise too small to matter."""

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        """Prepares the networks for a step, before anything is encoded.

        Arguments:
            model: The encoders and the decoder.
            progress: How much of the run is over, from 0 to 1.
        """

    def forward(self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty) -> mireg.Penalty:
        """Gives what the step minimises.

        Arguments:
            step: The step.
            reconstruction: The reconstruction loss, in nats per image.
            penalty: The penalty of the regularizer.

        Returns:
            `loss` for the model, `critic_loss` for the critics and the networks of the objective, and further metrics for the log. One backward pass
            serves both losses: the first reaches no critic, the second no encoder.
        """
        return mireg.Penalty(reconstruction + penalty.loss, penalty.critic_loss, {})


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Gives a network with constant parameters, for losses that train the codes alone."""
    network.requires_grad_(False)
    try:
        yield network
    finally:
        network.requires_grad_(True)
