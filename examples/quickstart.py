"""Two encoders on vectors: what the pose code reveals about the appearance, without and with the constraint.

Each sample is mixed from 4 factors that it shares with its partner (its appearance) and 4 of its own (its pose). Two encoders and a decoder learn to
redraw x2 from the pose of x2 and the appearance of x1. Only the constraint keeps the pose code from holding the appearance as well.
"""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import torch
import tyro
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from torch import Tensor, nn
from tqdm import trange

import mireg

matplotlib.use("Agg")

import matplotlib.pyplot as plt

FACTORS, DIMS, PI, ALPHA = 4, 32, 8, 8
SCALE = 0.2  # of the decoder's Gaussian: one nat is an error of 0.08 in the sum of squares


@dataclass(frozen=True)
class Options:
    """Show what leaks from one code into another, without and with the constraint."""

    epsilon: float = 0.125
    """The target of the mutual information, in nats."""
    steps: int = 2000
    """The steps of each training."""
    batch: int = 128
    """The samples of a step."""
    seed: int = 0
    """The seed of everything random."""
    out: Path = Path("runs/quickstart/leak.png")
    """The picture to write."""
    smoke: bool = False
    """Train for a few steps, to see that everything works."""


class World:
    """Creates the data: pairs of samples that share their appearance."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.inner = torch.randn(2 * FACTORS, 64, generator=generator) / (2 * FACTORS) ** 0.5
        self.outer = torch.randn(64, DIMS, generator=generator) / 8

    def draw(self, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gives x1 and x2, with shape (n, 32), then the appearance and the pose of x2, with shape (n, 4)."""
        appearance, pose1, pose2 = torch.randn(3, n, FACTORS, generator=self.generator)
        x1, x2 = (self.mix(appearance, pose) for pose in (pose1, pose2))
        return x1, x2, appearance, pose2

    def mix(self, appearance: Tensor, pose: Tensor) -> Tensor:
        """Mixes factors into a sample."""
        return (1.5 * torch.cat((appearance, pose), dim=1) @ self.inner).tanh() @ self.outer


class GaussianEncoder(nn.Module):
    """Creates an encoder that returns a mean and the logarithm of a variance."""

    def __init__(self) -> None:
        super().__init__()

        self.mlp = mlp(DIMS, 2 * PI)
        nn.init.constant_(self.mlp[-1].bias[PI:], -4.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.mlp(x).chunk(2, dim=1)
        return mean, log_var


def mlp(inputs: int, outputs: int, width: int = 128) -> nn.Sequential:
    """Creates a network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )


def train(
    options: Options, constrained: bool
) -> tuple[mireg.EncoderPair, nn.Module, World, list[dict[str, float]]]:
    """Trains the encoders and the decoder: this is the loop of the README."""
    torch.manual_seed(options.seed)
    world = World(torch.Generator().manual_seed(options.seed))
    encoders = mireg.EncoderPair(GaussianEncoder(), mlp(DIMS, ALPHA))
    decoder = mlp(PI + ALPHA, DIMS)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, epsilon=options.epsilon)
    networks = [*encoders.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(
        [{"params": networks, "lr": 1e-3}, {"params": constraint.parameters(), "lr": 3e-3}],
        fused=True,
    )

    history = []
    for _ in trange(options.steps, desc="with" if constrained else "without", leave=False):
        x1, x2, *_ = world.draw(options.batch)
        pi, alpha, posterior = encoders(x2, x1)

        penalty = constraint(pi, alpha, posterior)
        # Without the constraint, critics only watch. Times 0, since the constraint warns of a loss left out.
        weight = 1 if constrained else 0
        task = reconstruction(decoder, pi, alpha, x2)
        loss = task + weight * penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        constraint.update(penalty)
        history.append({name: value.item() for name, value in penalty.metrics.items()})
    return encoders, decoder, world, history


def reconstruction(decoder: nn.Module, pi: Tensor, alpha: Tensor, target: Tensor) -> Tensor:
    """Gives the negative log-likelihood under a Gaussian of fixed scale, less its constant, in nats."""
    output = decoder(torch.cat((pi, alpha), dim=1))
    return (output - target).square().sum(1).mean() / (2 * SCALE**2)


@torch.no_grad()
def measure(
    options: Options, encoders: mireg.EncoderPair, decoder: nn.Module, world: World
) -> dict[str, float]:
    """Trains fresh regressors on frozen pose codes, and judges them on codes that they never saw."""
    n = 500 if options.smoke else 5000
    x1, x2, appearance, pose = world.draw(2 * n)
    pi, alpha, _ = encoders(x2, x1)
    result = {"reconstruction (nats)": reconstruction(decoder, pi, alpha, x2).item()}
    codes = ((pi - pi.mean(0)) / pi.std(0)).numpy()
    for name, factors in (("appearance", appearance.numpy()), ("pose", pose.numpy())):
        regressors = (
            Ridge(),
            MLPRegressor(
                hidden_layer_sizes=(64, 64), early_stopping=True, random_state=options.seed
            ),
        )
        scores = [
            r2_score(factors[n:], regressor.fit(codes[:n], factors[:n]).predict(codes[n:]))
            for regressor in regressors
        ]
        # The better of two attackers: what a code hides from one, it may show the other.
        result[f"R² of the {name} from the pose code"] = max(scores)
    return result


def draw(
    results: dict[str, dict[str, float]], history: list[dict[str, float]], options: Options
) -> None:
    """Draws what leaks, and how the estimates and the weights moved."""
    figure, (bars, estimates, weights) = plt.subplots(
        1, 3, figsize=(13, 3.8), constrained_layout=True
    )
    names = [name for name in results["without"] if name.startswith("R²")]
    for i, (label, result) in enumerate(results.items()):
        positions = [j + 0.36 * i for j in range(len(names))]
        drawn = bars.bar(positions, [result[n] for n in names], width=0.34, label=label)
        bars.bar_label(drawn, fmt="%.2f")
    bars.set_xticks([0.18, 1.18], ["the appearance", "the pose"])
    bars.set(title="R² of a fresh regressor on the pose code", ylim=(min(0, *bars.get_ylim()), 1.4))
    bars.legend(title="constraint", ncols=2, loc="upper center")
    for name, label in (("mi_average", "$I_T$"), ("mi_shadow_average", "$I_{T'}$")):
        estimates.plot([line[name] for line in history], label=label)
    estimates.axhline(options.epsilon, color="black", linestyle=":", label="ε")
    estimates.set(title="mutual information (nats), with", xlabel="step", ylim=(0, None))
    for name, label in (("gamma", "γ"), ("multiplier", "λ")):
        weights.plot([line[name] for line in history], label=label)
    weights.set(title="weights, with", xlabel="step")
    estimates.legend()
    weights.legend()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)
    plt.close(figure)


def main(options: Options) -> dict[str, dict[str, float]]:
    """Trains twice, measures, prints and draws."""
    if options.smoke:
        options = replace(options, steps=30, batch=64)
    start = time.monotonic()
    results = {}
    for label in ("without", "with"):
        encoders, decoder, world, history = train(options, constrained=label == "with")
        results[label] = measure(options, encoders, decoder, world)
        last = history[-100:]
        for name in ("mi", "mi_shadow", "kl"):
            results[label][f"{name} (nats)"] = sum(line[name] for line in last) / len(last)
    draw(results, history, options)

    print(f"{'':40}{'without':>10}{'with':>10}")
    for name, value in results["without"].items():
        print(f"{name:40}{value:10.3f}{results['with'][name]:10.3f}")
    # Rate-distortion: R² of n Gaussian factors costs n/2 log 1/(1 - R²) nats, if alpha holds all of them.
    allowed = 1 - math.exp(-2 * options.epsilon / FACTORS)
    print(f"ε = {options.epsilon} nats allow an R² of the appearance of {allowed:.2f}.")
    print(f"{time.monotonic() - start:.0f} seconds; the picture is {options.out}")
    return results


if __name__ == "__main__":
    main(tyro.cli(Options))
