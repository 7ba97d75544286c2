"""Problems from random networks, with as many samples as anybody wants: codes, labels, dollars, and nothing to hide at all."""

import itertools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from honesty_base import (
    Findings,
    JointNetwork,
    Outcome,
    Problem,
    error,
    limited_gaussian,
    mlp,
)
from torch import Tensor, nn

import mireg


class Mixture(nn.Module):
    """Mixes factors into observations by a random network that is never trained."""

    def __init__(self, factors: int, features: int, seed: int) -> None:
        super().__init__()

        generator = torch.Generator().manual_seed(seed)
        for i, (a, b) in enumerate(itertools.pairwise((factors, 64, features))):
            layer = 1.5 * torch.randn(a, b, generator=generator) / a**0.5
            self.register_buffer(f"layer{i}", layer, persistent=False)

    def forward(self, *factors: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(torch.cat(factors, dim=1) @ self.layer0) @ self.layer1)


class Endless(Problem):
    """A problem with as many samples as anybody wants. `fresh` is what a network finds that learns from samples which were never used before, in nats."""

    def examine(self, split: str) -> Findings:
        found = super().examine(split)
        found.metrics["fresh"] = self.found_in_fresh_samples(split)
        return found

    def found_in_fresh_samples(self, split: str, steps: int = 2500) -> float:
        """What a classifier finds of a label whose classes are equally frequent."""
        classifier = mlp(self.pi_features, self.classes, 256).to(self.device)

        def surprise(n: int) -> Tensor:
            with torch.no_grad():
                pi, label, _ = self(n, split).codes
            return F.cross_entropy(classifier(pi), label)

        fit(classifier, surprise, steps)
        with torch.no_grad():
            return math.log(self.classes) - surprise(50_000).item()


def fit(network: nn.Module, loss_of: Callable[[int], Tensor], steps: int) -> None:
    """Trains a network on batches of 512 samples, at a rate that falls to 0."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(512).backward()
        optimizer.step()
        schedule.step()


class Vectors(Endless):
    """4 factors of appearance and 4 of pose in 32 dimensions, and pose codes with noise of unit variance.

    The means of the codes can grow without limit once γ is 0, and hide what they tell at a scale that no critic looks at.
    """

    steps = 6000
    alpha_features = 8
    factors, features = 4, 32
    width, depth = 128, 2
    best = 34.0
    at_most = {"fresh": 1.25 * 0.125}

    def build(self) -> None:
        self.mix = Mixture(2 * self.factors, self.features, self.seed)
        sizes = (self.width, self.depth)
        self.pose = mlp(self.features, self.pi_features, *sizes)
        self.appearance = mlp(self.features, self.alpha_features, *sizes)
        self.decoder = mlp(self.pi_features + self.alpha_features, self.features, *sizes)

    def forward(self, n: int, split: str = "train") -> Outcome:
        factors = torch.randn(3, n, self.factors, device=self.device)
        return self.of_pairs(*(self.mix(factors[0], pose) for pose in factors[1:]))

    def of_pairs(self, x1: Tensor, x2: Tensor) -> Outcome:
        """The codes of pairs of observations with one appearance, and the task loss."""
        mean = self.pose(x2)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        codes = mireg.Codes(posterior.rsample(), self.appearance(x1), posterior)
        return Outcome(codes, error(self.decoder(torch.cat(codes[:2], dim=1)), x2))

    def found_in_fresh_samples(self, split: str, steps: int = 4000, partners: int = 8) -> float:
        """What a critic finds of the other code: the bound of Donsker and Varadhan at the best temperature."""
        with torch.no_grad():
            moments = [(x.mean(0), x.std(0) + 1e-6) for x in self(20_000, split).codes[:2]]
        critic = JointNetwork(self.pi_features, self.alpha_features).to(self.device)

        def logits(n: int) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                codes = self(n, split).codes[:2]
                pi, alpha = ((x - m) / s for x, (m, s) in zip(codes, moments, strict=True))
            others = [critic(pi, alpha.roll(i + 1, 0)) for i in range(partners)]
            return critic(pi, alpha), torch.cat(others)

        def loss_of(n: int) -> Tensor:
            joint, marginal = logits(n)
            return F.softplus(-joint).mean() + F.softplus(marginal).mean()

        fit(critic, loss_of, steps)
        with torch.no_grad():
            joint, marginal = (
                torch.cat(x) for x in zip(*(logits(5000) for _ in range(20)), strict=True)
            )
        bounds = [
            a * joint.mean() - (a * marginal).logsumexp(0) + math.log(len(marginal))
            for a in (0.3, 0.5, 0.7, 1.0, 1.2, 1.5)
        ]
        return torch.stack(bounds).max().item()


class FewVectors(Vectors):
    """The same with 20,000 pairs for training, each seen some 38 times, and 2,500 others that are held out."""

    best = None
    samples, held_out = 20_000, 2500

    def build(self) -> None:
        super().build()
        n = self.samples + self.held_out
        factors = torch.randn(3, n, self.factors)
        self.hold("pairs", torch.stack([self.mix(factors[0], pose) for pose in factors[1:]]))

    def forward(self, n: int, split: str = "train") -> Outcome:
        if split == "test":
            return super().forward(n)
        first, end = (0, self.samples) if split == "train" else (self.samples, None)
        held = self.pairs[:, first:end]
        return self.of_pairs(*held[:, torch.randint(held.shape[1], (n,), device=self.device)])


class Wide(Vectors):
    """16 + 16 factors in 128 dimensions, and codes of 256 features each, in which an audit needs more samples to see."""

    steps = 4000
    audited = 8000
    pi_features = alpha_features = 256
    factors, features = 16, 128
    width = 256
    best = 543.6


class Wide16(Wide):
    """The factors of `wide`, and codes of 16 features."""

    pi_features = alpha_features = 16
    best = None


class Wide64(Wide):
    """The factors of `wide`, and codes of 64 features."""

    pi_features = alpha_features = 64
    best = None


class Strong(Vectors):
    """Encoders that are much stronger than the critics: four layers of 256 units against two of 64."""

    width, depth = 256, 4
    best = 24.6

    def critic(self) -> nn.Module:
        return JointNetwork(self.pi_features, self.alpha_features, width=64, tower=32)


class Noisy(Problem):
    """A code with learnt noise, and a decoder that is told the attribute."""

    features = 32

    def networks(self, told: int, features: int) -> None:
        self.encoder = mlp(features, 2 * self.pi_features)
        self.decoder = mlp(self.pi_features + told, features)

    def posterior(self, x: Tensor) -> torch.distributions.Distribution:
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mireg.diagonal_gaussian(mean, log_var - 4)

    def outcome(self, x: Tensor, alpha: Tensor, told: Tensor) -> Outcome:
        posterior = self.posterior(x)
        pi = posterior.rsample()
        task = error(self.decoder(torch.cat((pi, told), dim=1)), x)
        return Outcome(mireg.Codes(pi, alpha, posterior), task)

    def of_rows(self, x: Tensor, label: Tensor, n: int) -> Outcome:
        """The outcome of n rows of a finite set, drawn with replacement; the decoder is told the label."""
        rows = torch.randint(len(x), (n,), device=self.device)
        x, label = x[rows], label[rows]
        return self.outcome(x, label, self.one_hot[label])


class Labels(Endless, Noisy):
    """An attribute of 10 classes beside 4 factors: the code must not tell it, and the decoder is told.

    No audit of some thousand codes finds as much as fresh samples do in codes that hide the label at a fine scale.
    """

    classes = 10
    factors = 4
    audited = 16_000
    best = 21.4
    at_most = {"fresh": 1.25 * 0.125}

    def build(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self.hold("means", 1.5 * torch.randn(self.classes, 4, generator=generator))
        self.hold("one_hot", torch.eye(self.classes))
        self.mix = Mixture(self.factors + 4, self.features, self.seed)
        self.networks(self.classes, self.features)

    def forward(self, n: int, split: str = "train") -> Outcome:
        label = torch.randint(self.classes, (n,), device=self.device)
        x = self.mix(self.means[label], torch.randn(n, self.factors, device=self.device))
        return self.outcome(x, label, self.one_hot[label])


class FewLabels(Labels):
    """The same with 3,000 samples for training, each seen some 100 times, and 375 others that are held out.

    `fresh_training` is what a classifier finds in the codes of the first.
    """

    best = None
    samples, held_out = 3000, 375

    def build(self) -> None:
        super().build()
        for split, count in (("train", self.samples), ("validation", self.held_out)):
            label = torch.randint(self.classes, (count,))
            self.hold(f"{split}_label", label)
            self.hold(f"{split}_x", self.mix(self.means[label], torch.randn(count, self.factors)))

    def forward(self, n: int, split: str = "train") -> Outcome:
        if split == "test":
            return super().forward(n, split)
        return self.of_rows(getattr(self, f"{split}_x"), getattr(self, f"{split}_label"), n)

    def examine(self, split: str) -> Findings:
        found = super().examine(split)
        found.metrics["fresh_training"] = self.found_in_fresh_samples("train")
        return found


class Alike(Endless):
    """A class to predict and an attribute to hide, both binary, which are alike in three quarters of the samples.

    The encoder is far larger than the task needs, and moves at a constant rate: where the attribute shows changes faster than critics learn.
    """

    epsilon = 0.05
    steps = 1700
    audited = 16_000
    classes = 2
    features = 20
    price = 0.1
    at_most = {"fresh": 1.25 * 0.05}

    def build(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self.hold("directions", torch.randn(2, self.features, generator=generator) / 2)
        self.encoder = mlp(self.features, 2 * self.pi_features)
        self.classifier = mlp(self.pi_features, 2, 64, 1)

    def sample(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, attributes and classes."""
        alpha = torch.randint(2, (n,), device=self.device)
        target = torch.where(torch.rand(n, device=self.device) < 0.75, alpha, 1 - alpha)
        signs = 2.0 * torch.stack((alpha, target), dim=1) - 1
        noise = torch.randn(n, self.features, device=self.device)
        return signs @ self.directions + noise, alpha, target

    def predicted(self, n: int) -> tuple[mireg.Codes, Tensor, Tensor]:
        """Codes, the logits of the classes, and the classes."""
        x, alpha, target = self.sample(n)
        posterior = limited_gaussian(self.encoder(x))
        pi = posterior.rsample()
        return mireg.Codes(pi, alpha, posterior), self.classifier(pi), target

    def forward(self, n: int, split: str = "train") -> Outcome:
        codes, logits, target = self.predicted(n)
        return Outcome(codes, F.cross_entropy(logits, target))

    def examine(self, split: str) -> Findings:
        found = super().examine(split)
        with torch.no_grad():
            _, logits, target = self.predicted(100_000)
        found.metrics["accuracy"] = (logits.argmax(1) == target).float().mean().item()
        return found


class AlikeSlowing(Alike):
    """The same with an encoder whose learning rate falls to 0 over the last two fifths of the training."""

    def pace(self, step: int, steps: int) -> float:
        return min(1.0, (1 - step / steps) / 0.4)


class Dollars(Noisy):
    """Incomes around 50,000 dollars with a deviation of 30,000 and a long tail, as they are, beside 4 factors; the decoder is told."""

    alpha_features = 1
    alpha_moments = (50_000.0, 30_000.0)
    factors = 4

    def build(self) -> None:
        self.mix = Mixture(self.factors + 1, self.features, self.seed)
        self.networks(1, self.features)

    def forward(self, n: int, split: str = "train") -> Outcome:
        level = torch.randn(n, 1, device=self.device)
        # A log-normal of that mean and deviation: 0.5545² = log(1 + 0.6²).
        dollars = 50_000 * (0.5545 * level - 0.5545**2 / 2).exp()
        x = self.mix(level, torch.randn(n, self.factors, device=self.device))
        return self.outcome(x, dollars, level)


class NoLeak(Noisy):
    """An α that the observations know nothing of. The task has to come out as it does without a constraint."""

    epsilon = 0.05
    alpha_features = 8
    factors = 4

    def build(self) -> None:
        self.mix = Mixture(self.factors, self.features, self.seed)
        self.networks(0, self.features)

    def forward(self, n: int, split: str = "train") -> Outcome:
        x = self.mix(torch.randn(n, self.factors, device=self.device))
        alpha = torch.randn(n, self.alpha_features, device=self.device)
        return self.outcome(x, alpha, x[:, :0])
