"""What the constraint adds to a training step of the flagship: `python tests/benchmarks/overhead.py --out overhead.json`.

Steps with the constraint and with the reconstruction alone take turns, so that both see the same machine; the figures are medians over rounds.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "pose_appearance"))

from data import load
from training.options import TrainOptions
from training.run import build_trainer
from training.trainer import Trainer

import mireg


class Nothing(mireg.Regularizer):
    """A regularizer that asks for nothing."""

    def forward(self, pi, alpha, posterior=None, *, groups=None, generator=None):
        return mireg.Penalty(pi.new_zeros(()), {})

    def critic_parameters(self):
        # An optimizer wants a parameter.
        yield torch.nn.Parameter(torch.zeros(()))


def trainers(identities: int, compiled: bool) -> tuple[Trainer, Trainer]:
    """Gives the flagship as it is, and with the reconstruction alone."""
    device = torch.device("cpu")
    images = load("puppets", identities=48, poses=40)
    full = build_trainer(TrainOptions(identities_per_batch=identities), images, device)
    options = TrainOptions(identities_per_batch=identities, replay_updates=0)
    plain = build_trainer(options, images, device)
    plain.regularizer = Nothing()
    plain.train_critics = lambda *codes: None
    if compiled:
        full.compile(), plain.compile()
    return full, plain


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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for identities in options.identities:
        full, plain = trainers(identities, options.compile)
        steps = [lambda t=t: t.step(0.5) for t in (full, plain)]
        for step in steps:
            seconds(step, 3)
        rounds = [[seconds(step, options.steps) for step in steps] for _ in range(options.rounds)]
        ratio = statistics.median(a / b for a, b in rounds)
        with_, without = (1000 * statistics.median(x) for x in zip(*rounds, strict=True))
        batch = identities * full.options.views
        row = {"batch": batch, "with_ms": with_, "without_ms": without, "ratio": ratio}
        rows.append(row | {"compiled": options.compile, "threads": options.threads})
        print(f"batch {batch}: {with_:.1f} ms with, {without:.1f} without, ratio {ratio:.3f}")
    if options.out:
        about = {"torch": torch.__version__, "rounds": options.rounds}
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
