"""What a method is, beside its regularizer: the loss of a step, and the networks that it trains itself."""

__all__ = ["Adversary", "Objective", "Step"]

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
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

    The others override what they change. Their parameters and the state of their optimizers are in `state_dict()`, so that a run resumes exactly.
    """

    stochastic = True
    """Whether pose codes are drawn from their posterior. Otherwise they are its mean, with noise too small to matter."""

    def begin(self, model: PoseAppearanceModel, progress: float) -> None:
        """Prepares the networks for a step, before anything is encoded.

        Arguments:
            model: The encoders and the decoder.
            progress: How much of the run is over, from 0 to 1.
        """

    def forward(
        self, step: Step, reconstruction: Tensor, penalty: mireg.Penalty
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Trains the objective's own networks, then gives the loss that trains the model.

        Arguments:
            step: The step.
            reconstruction: The reconstruction loss, in nats per image.
            penalty: The penalty of the regularizer.

        Returns:
            The loss, and detached scalars for the log.
        """
        return reconstruction + penalty.loss, {}


class Adversary(nn.Module):
    """Creates a network with an optimizer of its own, whose state is saved and loaded with it.

    Arguments:
        network: The network.
        learning_rate: The learning rate.
    """

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        super().__init__()

        self.network = network
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=learning_rate, betas=(0.5, 0.9), fused=True
        )

    def descend(self, loss: Tensor) -> None:
        """Makes one step down a loss. No code may carry a gradient into it."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @contextmanager
    def frozen(self) -> Iterator[nn.Module]:
        """Gives the network with constant parameters, for losses that train the codes alone."""
        self.network.requires_grad_(False)
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True)

    def get_extra_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)
