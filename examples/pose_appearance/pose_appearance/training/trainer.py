"""One training run as an object: its step, and all that a checkpoint must hold."""

__all__ = ["Diverged", "Trainer"]

import copy
import math
import time
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import mireg

from ..data.disturbance import disturb, numbers_of
from ..data.pairs import Batch, PairSampler
from ..methods import Method, Step
from ..methods.replay import Replay
from ..model.presets import PoseAppearanceModel
from .captured import CapturedStep
from .options import TrainOptions, identity_of
from .ranks import rank
from .rates import hold_rates, portable_state, set_rate
from .reconstruction import RECONSTRUCTIONS

WARMUP_STEPS = 200

NO_NOISE = -14.0
"""The log-variance of pose codes of methods that have no noise: a deviation of 1e-3."""

REPLAY_STEPS = 50
"""How many batches the replay of the critics holds."""

LARGEST_CODE = 1e4
"""A code beyond it has exploded: the prior has unit variance."""

CHECK_EVERY = 20
"""How often a GPU is asked whether all numbers were finite: each time the program waits for it."""

SKIPS = 10
"""How many steps in a row may be left out before a run stops after all."""


class Diverged(RuntimeError):
    """Raised at a step whose numbers are not finite: nothing has been trained on them."""


class Trainer:
    """Creates the state of a run: the model and its averaged weights, the regularizer, and their
    optimizer.

    Arguments:
        model: The encoders and the decoder.
        regularizer: What keeps the codes apart, or watches them.
        method: What is minimised, and the networks of its own.
        sampler: Gives the batch of each step.
        options: The options of the run.
        device: Where everything lives.
    """

    def __init__(
        self,
        model: PoseAppearanceModel,
        regularizer: mireg.Regularizer,
        method: Method,
        sampler: PairSampler,
        options: TrainOptions,
        device: torch.device,
    ) -> None:
        self.model = model.to(device)
        self.rank, self.ranks = rank(), mireg.Ranks().count
        self.regularizer = regularizer.to(device)
        self.method = method.to(device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        self.sampler = sampler
        self.options = options
        self.device = device
        self.networks = SimpleNamespace(
            **{name: self._wrap(network) for name, network in self.model.named_children()}
        )
        self.reconstruction = RECONSTRUCTIONS[options.reconstruction]
        critics: dict[str, Any] = {"lr": 3 * options.learning_rate}
        if self.method.critics_first:
            critics = {"lr": options.recipe.critic_learning_rate, "betas": (0.5, 0.9)}
        critics["params"] = [*self.regularizer.parameters(), *self.method.parameters()]
        networks = {
            "params": self.model.parameters(),
            "lr": options.learning_rate,
            "betas": (0.9, 0.99),
        }
        on_gpu = device.type == "cuda"
        self.optimizer = torch.optim.Adam([networks, critics], fused=True, capturable=on_gpu)
        hold_rates(self.optimizer, self.device)
        if options.precision == "auto":
            self.precision = torch.bfloat16 if on_gpu else torch.float32
        else:
            self.precision = getattr(torch, options.precision)
        self.checks_each_step = not on_gpu or options.on_divergence == "skip"
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        # One graph of the whole step needs a step that never waits and is the same each time.
        same = method.one_graph and type(method).begin is Method.begin
        self.capture = (
            CapturedStep(lambda batch: self._step(batch, 0.0))
            if on_gpu and same and self.ranks == 1 and not self.checks_each_step
            else None
        )
        if on_gpu:
            sampler.keep_on(device)
        batch = options.identities_per_batch * options.views
        sizes = model.options
        remembered = REPLAY_STEPS * batch if self.method.critics_first else 0
        self.replay = Replay(remembered, sizes.pi_features, sizes.alpha_features)
        self.replay.to(device)
        self.step_count = 0
        self.seconds = 0.0
        self.data_seconds = 0.0
        self.skipped = 0

    def _wrap(self, network: nn.Module) -> nn.Module:
        """Lets ranks average the gradients of a network; alone it stays what it is."""
        if self.ranks == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices)

    def unwrap(self) -> None:
        """Lets go of the wrappers, which hold the group of the ranks: for :func:`leave_ranks`."""
        self.networks = SimpleNamespace(**dict(self.model.named_children()))

    def compile(self) -> None:
        """Compiles the networks in place, which keeps the names of their parameters."""
        for network in self.model.children():
            network.compile()

    def step(self, progress: float) -> dict[str, Tensor]:
        """Makes one step.

        Arguments:
            progress: How much of the run is over, from 0 to 1: it sets the learning rate.

        Returns:
            The metrics of the step, as detached scalars; none if it was left out.

        Raises:
            Diverged: If the numbers of the step are not finite, and it is not to be left out.
        """
        start = time.monotonic()
        batch = self.sampler.batch_at(self.step_count).to(self.device)
        self.data_seconds += time.monotonic() - start
        rate = self.options.learning_rate * min(1, (self.step_count + 1) / WARMUP_STEPS)
        rate *= (1 + math.cos(math.pi * min(1.0, progress))) / 2
        set_rate(self.optimizer.param_groups[0], rate)
        self.method.begin(self.model, progress)

        metrics = self.capture(batch) if self.capture else self._step(batch, progress)
        self.step_count += 1
        if metrics:
            self.average()
            self.skipped = 0
        if self.step_count % CHECK_EVERY == 0:
            self.check()
        return metrics

    def _step(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Does all of a step that happens on the device."""
        codes, groups = self.encode(batch, disturbed=True)
        # Before the critics see it: they would not forget it.
        if not self.is_fine(small(codes.pi) & small(codes.alpha)):
            return self.leave_out("a code is not finite or beyond 1e4", batch)
        penalty = self.ask(codes, groups)
        with self.autocast():
            output = self.networks.decoder(codes.pi, codes.alpha)
        output = output.float()
        reconstruction = self.reconstruction(output, batch.x2, self.options.scale)
        step = Step(self.model, batch, codes, groups, self.replay, self.step_count, progress)
        minimised = self.method(step, reconstruction, penalty)
        loss = minimised.loss + minimised.critic_loss
        self.optimizer.zero_grad()
        loss.backward()
        mireg.ranks.average_gradients(self.regularizer.parameters())
        groups_of = [group["params"] for group in self.optimizer.param_groups]
        norms = torch._foreach_norm([p.grad for ps in groups_of for p in ps if p.grad is not None])
        if not self.is_fine((loss + torch.stack(norms).sum()).isfinite()):
            return self.leave_out("the loss or a gradient is not finite", batch)
        self.optimizer.step()

        self.regularizer.update(penalty)
        error = (output.detach() - batch.x2).square().mean()
        both = mireg.Ranks().average(torch.stack((reconstruction.detach(), error)))
        metrics = {"reconstruction": both[0], "error": both[1]}
        return {**metrics, **penalty.metrics, **minimised.metrics}

    def autocast(self) -> torch.autocast:
        """Returns a context in which the networks compute in the precision of the run."""
        half = self.precision != torch.float32
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half)

    def is_fine(self, fine: Tensor) -> bool:
        """Returns whether a step may go on. A GPU only remembers the answer: :meth:`check` asks for
        it.
        """
        if self.checks_each_step:
            return self.all_ranks(fine)
        self.finite.logical_and_(fine)
        return True

    def check(self) -> None:
        """Raises :class:`Diverged` if a step since the last check had numbers that are not
        finite.
        """
        if not self.checks_each_step and not self.all_ranks(self.finite):
            raise Diverged(
                "a code, the loss or a gradient is not finite, or a code is beyond 1e4, "
                f"in the {CHECK_EVERY} steps before step {self.step_count}"
            )

    def all_ranks(self, ok: Tensor) -> bool:
        """Returns whether something is so on every rank."""
        return bool(mireg.Ranks().average(ok.float()) == 1)

    def leave_out(self, reason: str, batch: Batch) -> dict[str, Tensor]:
        """Leaves a step out, if that is wanted, and stops otherwise."""
        self.skipped += 1
        identities = mireg.ranks.gather(batch.groups).tolist()
        if self.options.on_divergence == "stop" or self.skipped > SKIPS:
            raise Diverged(
                f"{reason} at step {self.step_count + 1}, with the identities {identities}"
                + (f", after {SKIPS} steps were left out" if self.skipped > SKIPS else "")
            )
        return {}

    def ask(self, codes: mireg.Codes, groups: Tensor) -> mireg.Penalty:
        """Asks the critics about the codes of a step. Those of the published recipe learn from
        these and from recent ones first.
        """
        if not self.method.critics_first:
            return self.regularizer(*codes, groups=groups)
        self.train_critics(codes.pi, codes.alpha, groups)
        self.replay.add(codes, groups)
        for _ in range(self.options.recipe.replay_updates):
            self.train_critics(*self.replay.draw(len(groups), self.rank))
        penalty = self.regularizer(*codes, groups=groups)
        return penalty._replace(critic_loss=torch.zeros_like(penalty.critic_loss))

    def train_critics(self, pi: Tensor, alpha: Tensor, groups: Tensor) -> None:
        """Makes one step of the critics alone: nothing else has a gradient."""
        self.optimizer.zero_grad()
        self.regularizer.critic_loss(pi, alpha, groups=groups).backward()
        mireg.ranks.average_gradients(self.regularizer.critic_parameters())
        self.optimizer.step()

    def encode(
        self, batch: Batch, model: PoseAppearanceModel | None = None, disturbed: bool = False
    ) -> tuple[mireg.Codes, Tensor]:
        """Returns the codes of a batch and the identity of each: one encoding of an appearance
        serves all its poses.

        Arguments:
            batch: The images.
            model: The encoders, those in training by default.
            disturbed: Whether the pose encoder sees the images in other colours, widths
                and shapes.
        """
        networks, options, x2 = model or self.networks, self.options, batch.x2
        noises = (options.colour_noise, options.width_noise, options.shape_noise)
        if disturbed and any(noises) and not self.method.given_poses:
            x2 = disturb(x2, self.normal(len(x2), numbers_of(options.shape_noise)), *noises)
        with self.autocast():
            mean, log_var = (x.float() for x in networks.pose_encoder(x2))
            alpha = networks.appearance_encoder(batch.x1).float()
        if not self.method.stochastic:
            log_var = torch.full_like(mean, NO_NOISE)
        posterior = mireg.diagonal_gaussian(mean, log_var)
        alpha = alpha.unflatten(0, (len(batch.groups), -1)).mean(1)
        alpha = alpha.repeat_interleave(options.views, dim=0, output_size=len(mean))
        pi = mean + self.normal(*mean.shape) * (log_var / 2).exp()
        groups = batch.groups.repeat_interleave(options.views, output_size=len(mean))
        return mireg.Codes(pi, alpha, posterior), groups

    def normal(self, rows: int, columns: int) -> Tensor:
        """Returns standard normal numbers. All ranks draw those of all, from generators in the same
        state: a run is the same on any number of ranks.
        """
        noise = torch.randn(rows * self.ranks, columns, device=self.device)
        return noise[self.rank * rows :][:rows]

    @torch.no_grad()
    def average(self) -> None:
        """Moves the averaged weights towards the current ones, fast at first."""
        decay = min(self.options.average_decay, 1 - 1 / (1 + 0.1 * (self.step_count + 1)))
        torch._foreach_lerp_(
            list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the next step depends on."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "regularizer": self.regularizer.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": portable_state(self.optimizer),
            "replay": self.replay.state_dict(),
            "step": self.step_count,
            "seconds": self.seconds,
            "data_seconds": self.data_seconds,
            "options": identity_of(self.options),
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what :meth:`state_dict` gave, and raises a `ValueError` at what a run of other
        options gave.
        """
        networks = ("model", "averaged", "regularizer", "method")
        names = (*networks, "optimizer", "replay")
        missing = [name for name in (*names, "step", "seconds", "random") if name not in state]
        if missing:
            raise ValueError(f"a checkpoint must hold {', '.join(missing)}, got {sorted(state)}")
        own = identity_of(self.options)
        other = {k: v for k, v in state.get("options", {}).items() if k in own and v != own[k]}
        if other:
            raise ValueError(
                "the checkpoint is of another configuration: "
                + ", ".join(
                    f"{name} is {value!r} there and {own[name]!r} here"
                    for name, value in other.items()
                )
            )
        for name in names:
            try:
                getattr(self, name).load_state_dict(state[name])
            except (KeyError, RuntimeError, TypeError) as error:
                raise ValueError(f"the checkpoint is of another model: {name}: {error}") from error
        hold_rates(self.optimizer, self.device)
        self.step_count, self.seconds = state["step"], state["seconds"]
        self.data_seconds = state.get("data_seconds", 0.0)
        torch.set_rng_state(state["random"].cpu())
        if "random_cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)


def small(codes: Tensor) -> Tensor:
    """Returns whether codes are finite and of a size that a model of unit prior can mean."""
    return codes.detach().abs().amax() < LARGEST_CODE
