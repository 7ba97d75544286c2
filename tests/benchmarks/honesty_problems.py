"""The problems that `honesty.py` trains on: two codes that must not tell of each other, and a task that would rather that they did."""

import functools
import itertools
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mireg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "pose_appearance"))

SCALE = 0.1  # of the decoder's Gaussian: a sum of squares of 0.02 is one nat


class Outcome(NamedTuple):
    """What a problem makes of a batch."""

    codes: mireg.Codes
    task: Tensor
    groups: Tensor | None = None


def mlp(inputs: int, outputs: int, width: int = 128, depth: int = 2) -> nn.Sequential:
    sizes = (inputs, *[width] * depth)
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def error(output: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of a Gaussian, less its constant, in nats."""
    return (output - target).square().sum(1).mean() / (2 * SCALE**2)


class Mixture:
    """Mixes factors into observations by a random network."""

    def __init__(self, factors: int, features: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.layers = [
            1.5 * torch.randn(a, b, generator=generator) / a**0.5
            for a, b in itertools.pairwise((factors, 64, features))
        ]

    def __call__(self, *factors: Tensor) -> Tensor:
        x = torch.cat(factors, dim=1)
        for layer in self.layers:
            x = torch.tanh(x @ layer)
        return x


class Problem(nn.Module):
    """Two encoders and a task. `forward` makes codes of fresh samples, or of held-out ones."""

    steps = 2500
    batch = 128
    audited = 4000
    alpha_features: int | None = None
    classes: int | None = None
    pi_features = 8

    def forward(self, n: int, held_out: bool = False) -> Outcome:
        raise NotImplementedError

    def critic(self) -> nn.Module:
        """The network of T, or of T'."""
        return mireg.default_critic(self.pi_features, self.alpha_features, self.classes)


class Vectors(Problem):
    """4 factors of appearance and 4 of pose in 32 dimensions, and pose codes with noise of unit variance.

    The means of the codes can grow without limit once γ is 0, and hide what they tell at a scale that no critic looks at.
    """

    steps = 6000
    alpha_features = 8
    factors, features = 4, 32
    width, depth = 128, 2

    def __init__(self, seed: int) -> None:
        super().__init__()

        self.mix = Mixture(2 * self.factors, self.features, seed)
        sizes = (self.width, self.depth)
        self.pose = mlp(self.features, self.pi_features, *sizes)
        self.appearance = mlp(self.features, self.alpha_features, *sizes)
        self.decoder = mlp(self.pi_features + self.alpha_features, self.features, *sizes)

    def forward(self, n: int, held_out: bool = False) -> Outcome:
        appearance, *poses = (torch.randn(n, self.factors) for _ in range(3))
        x1, x2 = (self.mix(appearance, pose) for pose in poses)
        mean = self.pose(x2)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        codes = mireg.Codes(posterior.rsample(), self.appearance(x1), posterior)
        return Outcome(codes, error(self.decoder(torch.cat(codes[:2], dim=1)), x2))


class Wide(Vectors):
    """16 + 16 factors in 128 dimensions, and codes of 256 features each, in which an audit needs more samples to see."""

    steps = 4000
    audited = 8000
    pi_features = alpha_features = 256
    factors, features = 16, 128
    width = 256


class Strong(Vectors):
    """Encoders that are much stronger than the critics: four layers of 256 units against two of 64, a quarter of what critics have by default."""

    width, depth = 256, 4

    def critic(self) -> nn.Module:
        sizes = (self.pi_features, self.alpha_features)
        return mireg.SumCritic(
            mireg.ConcatenatedCritic(*sizes, width=64), mireg.SeparableCritic(*sizes, width=32)
        )


class Labels(Problem):
    """An attribute of 10 classes beside 4 factors: the code must not tell it, and the decoder is told."""

    classes = 10
    factors, features = 4, 32

    def __init__(self, seed: int) -> None:
        super().__init__()

        generator = torch.Generator().manual_seed(seed)
        self.means = 1.5 * torch.randn(self.classes, 4, generator=generator)
        self.mix = Mixture(self.factors + 4, self.features, seed)
        self.encoder = mlp(self.features, 2 * self.pi_features)
        self.decoder = mlp(self.pi_features + self.classes, self.features)

    def forward(self, n: int, held_out: bool = False) -> Outcome:
        label = torch.randint(self.classes, (n,))
        x = self.mix(self.means[label], torch.randn(n, self.factors))
        return self.outcome(x, label)

    def outcome(self, x: Tensor, label: Tensor) -> Outcome:
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        posterior = mireg.diagonal_gaussian(mean, log_var - 4)
        pi = posterior.rsample()
        told = F.one_hot(label, self.classes).to(pi.dtype)
        task = error(self.decoder(torch.cat((pi, told), dim=1)), x)
        return Outcome(mireg.Codes(pi, label, posterior), task)


class Table(Labels):
    """6366 answers to a survey (Fair, 1978; in statsmodels): a representation of eight columns that must not tell the age, in six classes."""

    classes = 6
    pi_features = 4

    def __init__(self, seed: int) -> None:
        nn.Module.__init__(self)

        self.train, self.held_out = survey()
        features = self.train[0].shape[1]
        self.encoder = mlp(features, 2 * self.pi_features)
        self.decoder = mlp(self.pi_features + self.classes, features)

    def forward(self, n: int, held_out: bool = False) -> Outcome:
        x, label = self.held_out if held_out else self.train
        rows = torch.randint(len(x), (n,)) if n < len(x) else torch.arange(len(x))
        return self.outcome(x[rows], label[rows])


@functools.cache
def survey() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Reads the table and gives its training half and its other half: columns of unit variance, and the age."""
    import statsmodels.datasets

    data = statsmodels.datasets.fair.load_pandas().data
    label = np.unique(data.pop("age"), return_inverse=True)[1]
    x = np.log1p(data.to_numpy())
    x = (x - x.mean(0)) / x.std(0)
    order = np.random.default_rng(0).permutation(len(x))
    rows = torch.from_numpy(x[order]).float(), torch.from_numpy(label[order])
    half = len(x) // 2
    return (rows[0][:half], rows[1][:half]), (rows[0][half:], rows[1][half:])


class Puppets(Problem):
    """The flagship at 32x32: the pose and the appearance of drawn puppets, audited on characters that it never saw."""

    steps = 1500
    pi_features, alpha_features = 8, 64
    batch = 32
    identities, views = 8, 4

    def __init__(self, seed: int) -> None:
        super().__init__()

        from data.pairs import PairSampler
        from model.presets import ModelOptions, build_model

        sets, colour = puppets()
        self.model = build_model(
            ModelOptions(size=32, encoder_widths=(32, 64), decoder_widths=(64,), hidden=256), colour
        )
        self.samplers = [PairSampler(s, self.identities, self.views, 32, seed) for s in sets]
        self.taken = [0, 0]

    def forward(self, n: int, held_out: bool = False) -> Outcome:
        batches = [
            self.encode(held_out) for _ in range(math.ceil(n / self.identities / self.views))
        ]
        codes = mireg.Codes(*(torch.cat([b.codes[i] for b in batches]) for i in range(2)), None)
        if not held_out:
            codes = batches[0].codes
        task = torch.stack([b.task for b in batches]).mean()
        return Outcome(codes, task, torch.cat([b.groups for b in batches]))

    def encode(self, held_out: bool) -> Outcome:
        batch = self.samplers[held_out].batch_at(self.taken[held_out])
        self.taken[held_out] += 1
        posterior = mireg.diagonal_gaussian(*self.model.pose_encoder(batch.x2))
        alpha = self.model.appearance_encoder(batch.x1).repeat_interleave(self.views, dim=0)
        codes = mireg.Codes(posterior.rsample(), alpha, posterior)
        output = self.model.decoder(codes.pi, codes.alpha)
        task = (output - batch.x2).square().flatten(1).sum(1).mean()
        return Outcome(codes, task, batch.groups.repeat_interleave(self.views))


@functools.cache
def puppets() -> tuple:
    """Draws the training and the held-out characters, and gives the mean colour of the first."""
    from data import load
    from data.image_set import ImageSet

    drawn: ImageSet = load(
        "puppets", None, size=32, identities=400, poses=24, test_fraction=0.5, seed=0
    )
    sets = drawn.subset("train"), drawn.subset("val", "test")
    colour = sets[0].images.mean((0, 1, 2)) / 127.5 - 1
    return sets, torch.from_numpy(colour.astype(np.float32))


PROBLEMS = {
    "vectors": Vectors,
    "wide": Wide,
    "strong": Strong,
    "labels": Labels,
    "table": Table,
    "puppets": Puppets,
}
