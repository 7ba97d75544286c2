"""Whether a constraint's own estimates survive an audit: `python tests/benchmarks/honesty.py --method robust --out honesty.json`.

The problem is small and hard: 4 factors of appearance and 4 of pose, mixed by a random network into 32 dimensions, encoders that are perceptrons, pose codes with noise of
unit variance. The means of the codes can grow without limit once γ is 0, and hide what they tell at a scale that critics do not look at.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import mireg

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from quickstart import mlp

FACTORS, FEATURES, CODES, BATCH = 4, 32, 8, 128
SCALE = 0.1
EPSILON = 0.125

METHODS: dict[str, Callable[[], mireg.Regularizer]] = {
    "robust": lambda: mireg.RobustMIConstraint(CODES, CODES, epsilon=EPSILON),
    "variational": lambda: mireg.RobustMIConstraint(
        CODES, CODES, epsilon=EPSILON, gamma="variational", lagrangian=False
    ),
    "adversarial": lambda: mireg.RobustMIConstraint(
        CODES, CODES, epsilon=EPSILON, gamma="fixed", initial_gamma=0.0
    ),
}


class World:
    """Draws pairs of observations that share their appearance."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        sizes = (2 * FACTORS, 64, FEATURES)
        self.layers = [
            1.5 * torch.randn(a, b, generator=generator) / a**0.5
            for a, b in itertools.pairwise(sizes)
        ]

    def look(self, appearance: Tensor, pose: Tensor) -> Tensor:
        x = torch.cat((appearance, pose), dim=1)
        for layer in self.layers:
            x = torch.tanh(x @ layer)
        return x

    def draw(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gives two observations of one appearance, and one in the pose of the second with another appearance."""
        appearance, other, *poses = (torch.randn(n, FACTORS) for _ in range(4))
        first, second = (self.look(appearance, pose) for pose in poses)
        return first, second, self.look(other, poses[1])


def run(method: str, steps: int, seed: int) -> dict:
    """Trains, audits the codes of fresh samples, and gives what came out."""
    torch.manual_seed(seed)
    world = World(seed)
    pose, appearance, decoder = mlp(FEATURES, CODES), mlp(FEATURES, CODES), mlp(2 * CODES, FEATURES)
    constraint = METHODS[method]()
    parameters = [p for network in (pose, appearance, decoder) for p in network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    critic_optimizer = torch.optim.Adam(
        constraint.critic_parameters(), lr=1e-3, betas=(0.5, 0.9), fused=True
    )

    def encode(x1: Tensor, x2: Tensor) -> mireg.Codes:
        mean = pose(x2)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        return mireg.Codes(posterior.rsample(), appearance(x1), posterior)

    def error(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().sum(1).mean() / (2 * SCALE**2)

    start = time.monotonic()
    for step in range(steps):
        x1, x2, _ = world.draw(BATCH)
        codes = encode(x1, x2)
        critic_optimizer.zero_grad()
        constraint.critic_loss(codes.pi, codes.alpha).backward()
        critic_optimizer.step()
        penalty = constraint(*codes)
        reconstruction = error(decoder(torch.cat(codes[:2], dim=1)), x2)
        optimizer.zero_grad()
        (reconstruction + penalty.loss).backward()
        optimizer.step()
        constraint.update(penalty)
        if (step + 1) % 2000 == 0:
            names = ("mi_average", "mi_shadow_average", "gamma", "multiplier", "kl")
            values = " ".join(f"{name} {penalty.metrics[name]:.3f}" for name in names)
            print(
                f"{method} {step + 1} reconstruction {reconstruction.item():.1f} {values}",
                flush=True,
            )
    seconds = time.monotonic() - start

    with torch.no_grad():
        x1, x2, x3 = world.draw(10_000)
        codes = encode(x1, x2)
        other = appearance(x1)
        task = error(decoder(torch.cat(codes[:2], dim=1)), x2)
        # The appearance of the first in the pose of the third, which has another appearance.
        swapped = error(decoder(torch.cat((encode(x1, x3).pi, other), dim=1)), x2)
    report = mireg.audit(codes.pi, codes.alpha, epsilon=EPSILON, seed=seed)
    metrics = {name: float(value) for name, value in penalty.metrics.items()}
    result = {"method": method, "seed": seed, "steps": steps, "task": task.item()}
    result |= {"transfer": swapped.item(), "ms_per_step": 1000 * seconds / steps}
    return {**result, **metrics, "audit": report.to_dict()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for seed in options.seed:
        for method in options.method:
            row = run(method, options.steps, seed)
            rows.append(row)
            low, high = (
                row["audit"]["mi"] + s * 1.96 * row["audit"]["standard_error"] for s in (-1, 1)
            )
            print(
                f"| {method} | {seed} | {row['mi_average']:.3f} | {row['mi_shadow_average']:.3f} | "
                f"{row['audit']['mi']:.3f} ({low:.3f} to {high:.3f}) | {row['audit']['lower_bound']:.3f} | "
                f"{row['task']:.1f} | {row['transfer']:.1f} | {row['ms_per_step']:.1f} |",
                flush=True,
            )
            options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
