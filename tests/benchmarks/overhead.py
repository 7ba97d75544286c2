"""What the constraint adds to a training step of the flagship: `python tests/benchmarks/overhead.py --out overhead.json`.

Steps with the constraint and with the reconstruction alone take turns, so that both see the same machine; the figures are medians over rounds.
`--vectors` measures codes of small perceptrons instead, where critics cost as much as what they watch; `--memory` the highest memory of a
flagship step, each in a process of its own.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from memory import forget_peak, resident

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "pose_appearance"))

from pose_appearance.data import load
from pose_appearance.training.options import TrainOptions
from pose_appearance.training.run import build_trainer
from pose_appearance.training.trainer import Trainer

import mireg
from mireg.layers import mlp


class Nothing(mireg.Regularizer):
    """A regularizer that asks for nothing."""

    def forward(self, pi, alpha, posterior=None, *, groups=None):
        zero = pi.new_zeros(())
        return mireg.Penalty(zero, zero, {})


def trainers(identities: int, compiled: bool) -> tuple[Trainer, Trainer]:
    """Gives the flagship as it is, and with the reconstruction alone."""
    device = torch.device("cpu")
    images = load("puppets", identities=48, poses=40)
    full = build_trainer(TrainOptions(identities_per_batch=identities), images, device)
    plain = build_trainer(TrainOptions(identities_per_batch=identities), images, device)
    plain.regularizer = Nothing()
    if compiled:
        full.compile(), plain.compile()
    return full, plain


class Vectors:
    """Perceptrons on vectors, with the constraint or without: two encoders and a decoder with two hidden layers of 512 units each."""

    def __init__(self, features: int, batch: int, constrained: bool) -> None:
        inputs = 2 * features
        self.pose, self.appearance, self.decoder = (
            mlp(inputs, 512, 2, outputs) for outputs in (2 * features, features, inputs)
        )
        self.regularizer = (
            mireg.RobustMIConstraint(features, features) if constrained else Nothing()
        )
        trained = torch.nn.ModuleList((self.pose, self.appearance, self.decoder, self.regularizer))
        self.optimizer = torch.optim.Adam(trained.parameters(), fused=True)
        self.x = torch.randn(batch, inputs)

    def step(self) -> None:
        """Makes one step."""
        mean, log_var = self.pose(self.x).chunk(2, dim=1)
        posterior = mireg.diagonal_gaussian(mean, log_var)
        pi, alpha = posterior.rsample(), self.appearance(self.x)
        penalty = self.regularizer(pi, alpha, posterior)
        output = self.decoder(torch.cat((pi, alpha), dim=1))
        self.optimizer.zero_grad()
        task = (output - self.x).square().sum(1).mean()
        (task + penalty.loss + penalty.critic_loss).backward()
        self.optimizer.step()
        self.regularizer.update(penalty)


def compare(steps: list[Callable[[], object]], rounds: int, count: int) -> dict[str, float]:
    """Lets two steps take turns, and gives their times and ratio."""
    for step in steps:
        seconds(step, 3)
    times = [[seconds(step, count) for step in steps] for _ in range(rounds)]
    with_, without = (1000 * statistics.median(x) for x in zip(*times, strict=True))
    return {
        "with_ms": with_,
        "without_ms": without,
        "ratio": statistics.median(a / b for a, b in times),
    }


def measure_memory(identities: int, constrained: bool) -> None:
    """Prints the highest memory of this process over a few steps of the flagship, in MB."""
    trainer = trainers(identities, False)[0 if constrained else 1]
    forget_peak()
    seconds(lambda: trainer.step(0.5), 5)
    print(resident("VmHWM"))


def memory(identities: int) -> dict[str, float]:
    """Gives the highest memory of a flagship step with the constraint and without, and their ratio."""
    highest = []
    for which in ("with", "without"):
        command = [sys.executable, __file__, "--identities", str(identities), "--memory-of", which]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        highest.append(float(done.stdout))
    return {"with_mb": highest[0], "without_mb": highest[1], "ratio": highest[0] / highest[1]}


def seconds(step: Callable[[], object], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identities", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=4, help="steps in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--vectors", action="store_true", help="measure perceptrons on vectors")
    parser.add_argument("--features", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 128, 1024])
    parser.add_argument("--memory", action="store_true", help="measure memory, and no time")
    parser.add_argument("--memory-of", choices=("with", "without"), help="print one, and end")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        measure_memory(options.identities[0], options.memory_of == "with")
        return
    rows = []
    if options.vectors:
        for features, batch in itertools.product(options.features, options.batch):
            pair = [Vectors(features, batch, constrained).step for constrained in (True, False)]
            row = compare(pair, options.rounds, options.steps)
            rows.append({"features": features, "batch": batch, **row})
            print(rows[-1], flush=True)
    for identities in options.identities if not options.vectors else ():
        batch = identities * TrainOptions().views
        if options.memory:
            rows.append({"batch": batch, **memory(identities)})
        else:
            full, plain = trainers(identities, options.compile)
            pair = [lambda t=t: t.step(0.5) for t in (full, plain)]
            rows.append({"batch": batch, **compare(pair, options.rounds, options.steps)})
        print(rows[-1], flush=True)
    if options.out:
        about = {"torch": torch.__version__, "rounds": options.rounds, "threads": options.threads}
        about["compiled"] = options.compile
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
