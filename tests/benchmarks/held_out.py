"""What λ that also follows held-out codes changes, on the tasks of the leaderboard.

    python tests/benchmarks/held_out.py --out runs/held_out.jsonl

Each task is trained with epsilon alone and, if asked, with a batch of validation rows in every
tenth step. Attackers learn from the training codes, as in the leaderboard, and are scored on test
codes. Rows that are done are kept in the file, so a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "leaderboard"))

import torch
from judge import Labelled, Splits, leakage, quality
from methods.ours import Robust
from tasks import MODULES, Task, load
from torch import Tensor
from training import BATCH, Network, encode, train

import mireg

LAST = 300
"""The number of steps at the end whose estimates are averaged."""


class HeldOut(Robust):
    """The constraint, with what it says of held-out codes."""

    def __init__(self, task: Task, setting: float, every: int, seed: int) -> None:
        super().__init__(task, setting)

        self.every, self.steps = every, 0
        self.generator = torch.Generator().manual_seed(seed)
        self.said: list[tuple[Tensor, Tensor]] = []

    def start(self, network: Network) -> None:
        # Not as a module: its parameters are not those of critics.
        object.__setattr__(self, "network", network)

    def held_out(self) -> mireg.Penalty:
        """Returns the penalty of a batch of validation rows."""
        part = self.task.validation
        rows = torch.randint(len(part.x), (BATCH,), generator=self.generator)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            posterior = self.network.posterior(part.x[rows])
            return self.constraint(posterior.sample(), part.s[rows], posterior)

    def update(self) -> None:
        """Moves λ, with held-out codes in every so many steps."""
        self.steps += 1
        wanted = self.every and self.steps % self.every == 0
        held_out = self.held_out()
        self.said.append((self.last.metrics["mi_shadow"], held_out.metrics["mi_shadow"]))
        self.constraint.update(self.last, held_out if wanted else None)


def measure(name: str, epsilon: float, seed: int, every: int, data: Path | None) -> dict:
    """Returns a row."""
    torch.set_num_threads(1)
    task = load(name, data)
    torch.manual_seed(seed)
    penalty = HeldOut(task, epsilon, every, seed)
    network, _ = train(task, penalty, seed, "cpu")
    codes = encode(task, network, True, seed, "cpu")[:3]
    parts = (task.train, task.validation, task.test)
    told = Splits(*(Labelled(c, p.s) for c, p in zip(codes, parts, strict=True)))
    wanted = Splits(*(Labelled(c, p.y) for c, p in zip(codes, parts, strict=True)))
    found = leakage(told, task.classes)
    of_train, of_held_out = (torch.stack(x[-LAST:]).mean() for x in zip(*penalty.said, strict=True))
    return {
        "task": name,
        "epsilon": epsilon,
        "seed": seed,
        "every": every,
        "shadow_training": round(float(of_train), 4),
        "shadow_held_out": round(float(of_held_out), 4),
        **{k: round(found[k], 4) for k in ("leak", "low", "high")},
        "attacker": found["attacker"],
        "quality": round(quality(wanted, task.test.s, task.targets)["quality"], 4),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measures what is not done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ["adult", "health, age at 60", "sentences", "digits"]
    parser.add_argument("--tasks", nargs="+", default=known, choices=list(MODULES))
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.05])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--every", type=int, nargs="+", default=[0, 10], help="0: never")
    parser.add_argument("--data", type=Path, help="the folder that leaderboard/prepare.py writes")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    text = options.out.read_text() if options.out.exists() else ""
    names = ("task", "epsilon", "seed", "every")
    done = {tuple(json.loads(line)[k] for k in names) for line in text.splitlines()}
    for seed in options.seeds:
        for task in options.tasks:
            for epsilon in options.epsilon:
                for every in options.every:
                    if (task, epsilon, seed, every) in done:
                        continue
                    row = measure(task, epsilon, seed, every, options.data)
                    print(row, flush=True)
                    with options.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
