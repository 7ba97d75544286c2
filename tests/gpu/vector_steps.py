"""Training steps of perceptrons on vectors: what the tests and the measurement of cost share."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

import mireg
from mireg.layers import mlp

INPUTS, PI, ALPHA, CLASSES = 96, 32, 64, 10


class Nothing(mireg.Regularizer):
    """A regularizer that asks for nothing."""

    def forward(self, pi, alpha, posterior=None, *, groups=None):
        return mireg.Penalty(pi.new_zeros(()), pi.new_zeros(()), {})


REGULARIZERS = {
    "none": Nothing,
    "robust": lambda: mireg.RobustMIConstraint(PI, ALPHA),
    "robust, labels": lambda: mireg.RobustMIConstraint(PI, classes=CLASSES),
    "classifier": lambda: mireg.ClassifierMI(PI, ALPHA),
    "paper": lambda: mireg.RobustMIConstraint.paper(
        PI, ALPHA, multiplier=mireg.weights.Multiplier(initial=1.0)
    ),
}
"""Makers of the regularizers, by name."""

KINDS = [name for name in REGULARIZERS if name != "none"]
ONE_PASS = [kind for kind in KINDS if kind != "paper"]
"""Those whose critics learn in the backward pass of the task."""


def make_regularizer(kind):
    """Makes a regularizer that has seen dependence, so that its loss is at work from step one."""
    made = REGULARIZERS[kind]()
    for name, module in made.named_modules():
        if name in ("average", "averages.0", "averages.1"):
            module.update(torch.tensor(1.0))
    return made


class Batch(NamedTuple):
    """What a step needs. No step draws anything itself."""

    x: torch.Tensor
    noise: torch.Tensor
    groups: torch.Tensor
    labels: torch.Tensor

    def to(self, device):
        return Batch(*(x.to(device) for x in self))


def make_batch(n, seed, device="cpu"):
    """Draws a batch on the CPU, so that every device gets the same.

    Four samples make a group, and some labels are unknown.
    """
    generator = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(n, size, generator=generator) for size in (INPUTS, PI))
    groups = torch.arange(n) // 4
    labels = torch.randint(-1, CLASSES, (n,), generator=generator)
    return Batch(x, noise, groups, labels).to(device)


class Networks(nn.Module):
    """Creates two encoders and a decoder, with two hidden layers each."""

    def __init__(self, width=256):
        super().__init__()

        self.pose = mlp(INPUTS, width, 2, 2 * PI)
        self.appearance = mlp(INPUTS, width, 2, ALPHA)
        self.decoder = mlp(PI + ALPHA, width, 2, INPUTS)

    def forward(self, x, noise):
        """Returns the loss of the task, both codes, and the mean and log-variance of the first."""
        mean, log_var = self.pose(x).chunk(2, dim=1)
        pi = mean + noise * (log_var / 2).exp()
        alpha = self.appearance(x)
        error = self.decoder(torch.cat((pi, alpha), dim=1)) - x
        return error.square().sum(1).mean(), pi, alpha, mean, log_var


def losses(networks, regularizer, batch, labelled):
    """Returns the loss of a step and its penalty."""
    task, pi, alpha, mean, log_var = networks(batch.x, batch.noise)
    posterior = mireg.diagonal_gaussian(mean, log_var)
    told = batch.labels if labelled else alpha
    penalty = regularizer(pi, told, posterior, groups=batch.groups)
    return task + penalty.loss + penalty.critic_loss, penalty


def losses_and_update(networks, regularizer, batch, labelled):
    """Does what :func:`losses` does, and updates the regularizer in the same graph."""
    loss, penalty = losses(networks, regularizer, batch, labelled)
    regularizer.update(penalty)
    return loss, penalty


class Training:
    """Creates networks and a regularizer with their optimizer, the same for the same kind.

    Arguments:
        kind: The name of the regularizer.
        device: Where everything lives.
        width: The number of hidden units of the networks.
        make: Makes the optimizer of parameters.
    """

    def __init__(self, kind, device, width=256, make=None):
        torch.manual_seed(0)
        self.kind, self.device = kind, device
        self.networks = Networks(width).to(device)
        self.regularizer = make_regularizer(kind).to(device)
        self.labelled = kind == "robust, labels"
        make = make or self.adam
        critics = list(self.regularizer.critic_parameters())
        self.critics_first = kind == "paper"
        if self.critics_first:
            self.critic_optimizer = make(critics)
            self.optimizer = make(list(self.networks.parameters()))
        else:
            self.optimizer = make([*self.networks.parameters(), *critics])
        self.losses, self.updates_itself = losses, False

    def adam(self, parameters):
        # A captured step counts its steps on the device, and only there.
        capturable = torch.device(self.device).type == "cuda"
        return torch.optim.Adam(parameters, lr=1e-3, fused=True, capturable=capturable)

    def compile(self, **options):
        """Compiles all of a step but its backward pass and its optimizer, which is in one graph."""
        if self.critics_first:
            raise ValueError("critics that learn first have a backward pass in the middle")
        self.losses = torch.compile(losses_and_update, fullgraph=True, dynamic=False, **options)
        self.updates_itself = True
        return self

    def step(self, batch):
        """Makes one step, and returns its penalty."""
        if self.critics_first:
            with torch.no_grad():
                _, pi, alpha, *_ = self.networks(batch.x, batch.noise)
            self.critic_optimizer.zero_grad()
            self.regularizer.critic_loss(pi, alpha, groups=batch.groups).backward()
            self.critic_optimizer.step()
        loss, penalty = self.losses(self.networks, self.regularizer, batch, self.labelled)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if not self.updates_itself:
            self.regularizer.update(penalty)
        return penalty

    def modules(self):
        """Returns all that a step moves."""
        return nn.ModuleDict({"networks": self.networks, "regularizer": self.regularizer})

    def weights(self):
        """Returns a copy of all parameters as one vector, on the CPU."""
        return flat(self.modules().parameters())

    def averages(self):
        """Returns a copy of the weights of losses and of all running averages, on the CPU."""
        buffers = self.regularizer.named_buffers()
        return {k: x.cpu().clone() for k, x in buffers if ".memory." not in k}


class Captured:
    """Captures a step as a CUDA graph. A call copies a batch to where the graph reads it.

    Arguments:
        step: Makes one step on a batch.
        batch: The first batch. The step sees it `warmup` times before the capture, which itself
            moves nothing.
        warmup: The number of these steps.
    """

    def __init__(self, step: Callable[[Batch], object], batch: Batch, warmup: int = 3) -> None:
        self.step, self.batch = step, Batch(*(x.clone() for x in batch))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(warmup):
                step(self.batch)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            step(self.batch)

    def __call__(self, batch: Batch) -> None:
        for held, new in zip(self.batch, batch, strict=True):
            held.copy_(new)
        self.graph.replay()


def flat(tensors):
    """Returns tensors as one vector of double precision, on the CPU."""
    return torch.cat([x.detach().cpu().double().flatten() for x in tensors])


def apart(start, one, two):
    """Returns how far two trainings end from each other, as a share of how far the first went.

    Adam divides by the size of a gradient, so that rounding can move a single weight by much.
    It moves all of them by little.
    """
    return float((one - two).norm() / (one - start).norm())


def twins(kind, device, **settings):
    """Returns two trainings that begin alike."""
    one, two = (Training(kind, device, **settings) for _ in range(2))
    two.modules().load_state_dict(copy.deepcopy(one.modules().state_dict()))
    return one, two
