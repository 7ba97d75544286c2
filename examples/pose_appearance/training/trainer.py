"""One training run as an object: its step, and all that a checkpoint must hold."""

__all__ = ["Trainer"]

import copy
import math
from typing import Any

import torch
from data.pairs import Batch, PairSampler
from model.presets import PoseAppearanceModel
from objectives import RECONSTRUCTIONS, Objective, Step
from torch import Tensor

import mireg

from .options import TrainOptions
from .replay import Replay

WARMUP_STEPS = 200

NO_NOISE = -14.0
"""The log-variance of pose codes of methods that have no noise: a deviation of 1e-3."""

REPLAY_STEPS = 50
"""How many batches the replay of the critics holds."""


class Trainer:
    """Creates the state of a run: the model and its averaged weights, the regularizer, and both optimizers.

    Arguments:
        model: The encoders and the decoder.
        regularizer: What keeps the codes apart, or watches them.
        objective: What the method minimises, and the networks of its own.
        sampler: Gives the batch of each step.
        options: The options of the run.
        device: Where everything lives.
    """

    def __init__(
        self,
        model: PoseAppearanceModel,
        regularizer: mireg.Regularizer,
        objective: Objective,
        sampler: PairSampler,
        options: TrainOptions,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.regularizer = regularizer.to(device)
        self.objective = objective.to(device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        self.sampler = sampler
        self.options = options
        self.device = device
        self.reconstruction = RECONSTRUCTIONS[options.reconstruction]
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.critic_optimizer = torch.optim.Adam(
            self.regularizer.critic_parameters(),
            lr=options.critic_learning_rate,
            betas=(0.5, 0.9),
            fused=True,
        )
        batch = options.identities_per_batch * options.views
        sizes = model.options
        self.replay = Replay(REPLAY_STEPS * batch, sizes.pi_features, sizes.alpha_features)
        self.replay.to(device)
        self.step_count = 0
        self.seconds = 0.0

    def compile(self) -> None:
        """Compiles the networks in place: the names of the parameters, and so checkpoints, stay what they are."""
        for network in self.model.children():
            network.compile()

    def step(self, progress: float) -> dict[str, Tensor]:
        """Makes one step.

        Arguments:
            progress: How much of the run is over, from 0 to 1: it sets the learning rate.

        Returns:
            The metrics of the step, as detached scalars.
        """
        batch = self.sampler.batch_at(self.step_count).to(self.device)
        rate = self.options.learning_rate * min(1, (self.step_count + 1) / WARMUP_STEPS)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2

        self.objective.begin(self.model, progress)
        codes, groups = self.encode(batch)
        pi, alpha, posterior = codes
        self.train_critics(pi, alpha, groups)
        self.replay.add(codes, groups)
        for _ in range(self.options.replay_updates):
            self.train_critics(*self.replay.draw(len(groups)))

        penalty = self.regularizer(pi, alpha, posterior, groups=groups)
        output = self.model.decoder(pi, alpha)
        reconstruction = self.reconstruction(output, batch.x2, self.options.scale)
        step = Step(self.model, batch, codes, groups, self.replay, progress)
        loss, extra = self.objective(step, reconstruction, penalty)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

        self.regularizer.update(penalty)
        self.average()
        self.step_count += 1
        error = (output.detach() - batch.x2).square().mean()
        metrics = {"reconstruction": reconstruction.detach(), "error": error}
        return {**metrics, **penalty.metrics, **extra}

    def train_critics(self, pi: Tensor, alpha: Tensor, groups: Tensor) -> None:
        """Makes one step of the critics."""
        self.critic_optimizer.zero_grad()
        self.regularizer.critic_loss(pi, alpha, groups=groups).backward()
        self.critic_optimizer.step()

    def encode(
        self, batch: Batch, model: PoseAppearanceModel | None = None
    ) -> tuple[mireg.Codes, Tensor]:
        """Gives the codes of a batch and the identity of each: one encoding of an appearance serves all its poses.

        Arguments:
            batch: The images.
            model: The encoders, those in training by default.
        """
        model, views = model or self.model, self.options.views
        mean, log_var = model.pose_encoder(batch.x2)
        if not self.objective.stochastic:
            log_var = torch.full_like(mean, NO_NOISE)
        posterior = mireg.diagonal_gaussian(mean, log_var)
        alpha = model.appearance_encoder(batch.x1).repeat_interleave(views, dim=0)
        codes = mireg.Codes(posterior.rsample(), alpha, posterior)
        return codes, batch.groups.repeat_interleave(views)

    @torch.no_grad()
    def average(self) -> None:
        """Moves the averaged weights towards the current ones, fast at first."""
        decay = min(self.options.average_decay, 1 - 1 / (1 + 0.1 * (self.step_count + 1)))
        torch._foreach_lerp_(
            list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay
        )

    def state_dict(self) -> dict[str, Any]:
        """Gives all that the next step depends on."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "regularizer": self.regularizer.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "step": self.step_count,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what :meth:`state_dict` gave."""
        networks = ("model", "averaged", "regularizer", "objective")
        for name in (*networks, "optimizer", "critic_optimizer", "replay"):
            getattr(self, name).load_state_dict(state[name])
        self.step_count, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["random"].cpu())
        if "random_cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)
