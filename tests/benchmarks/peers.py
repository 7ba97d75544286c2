"""A training step of the constraint beside those of other estimators: `python tests/benchmarks/peers.py --out peers.json`.

Each trains what it learns with on the same codes, and gives a penalty with its gradient for them. They take turns in each round. What
each adds to the memory of a process of its own is measured apart. Peers that are not installed are left out:
`pip install --no-deps torch-mist pyro-ppl pyro-api cooper-optim`.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from honesty_methods import CLUB, MINE, shuffled
from memory import forget_peak, resident
from plain import EPSILON, WIDTH, Plain, milliseconds
from plain import Ours as Paper
from torch import Tensor
from torch.func import functional_call

import mireg

RATE = 1e-3


def perceptron(features: int) -> mireg.Critic:
    return mireg.ConcatenatedCritic(features, features, WIDTH)


class Ours:
    """A regularizer in the loop that its documentation shows."""

    def __init__(self, regularizer: mireg.Regularizer, compiled: bool = False) -> None:
        self.regularizer = regularizer
        self.optimizer = torch.optim.Adam(regularizer.parameters(), lr=RATE, fused=True)
        self.call, self.update = regularizer, regularizer.update
        if compiled:
            self.call = torch.compile(self.call, fullgraph=True)
            self.update = torch.compile(self.update, fullgraph=True)

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        posterior = mireg.diagonal_gaussian(mean, log_var)
        penalty = self.call(posterior.rsample(), alpha, posterior)
        self.optimizer.zero_grad()
        (penalty.loss + penalty.critic_loss).backward()
        self.optimizer.step()
        self.update(penalty)


class Mist:
    """An estimator of torch-mist: its loss trains it, its mutual information is the penalty."""

    def __init__(self, name: str, features: int) -> None:
        from torch_mist.estimators import instantiate_estimator

        self.estimator = instantiate_estimator(
            name,
            x_dim=features,
            y_dim=features,
            hidden_dims=[WIDTH, WIDTH],
            critic_type="joint",
            neg_samples=1,
        )
        self.optimizer = torch.optim.Adam(self.estimator.parameters(), lr=RATE)

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        pi = mean + torch.randn_like(mean) * (log_var / 2).exp()
        self.optimizer.zero_grad()
        self.estimator.loss(pi.detach(), alpha).backward()
        self.optimizer.step()
        # It remembers logits by the values of the codes, from before its step too: the penalty draws codes anew.
        pi = mean + torch.randn_like(mean) * (log_var / 2).exp()
        self.estimator.mutual_information(pi, alpha).backward()


class Cooper:
    """The estimate of one critic, eq. (12), kept below ε by a multiplier of cooper."""

    def __init__(self, features: int) -> None:
        import cooper

        critic = perceptron(features)
        self.critic = critic
        self.optimizer = torch.optim.Adam(critic.parameters(), lr=RATE, fused=True)

        class Problem(cooper.ConstrainedMinimizationProblem):
            def __init__(self) -> None:
                super().__init__()
                self.constraint = cooper.Constraint(
                    multiplier=cooper.multipliers.DenseMultiplier(num_constraints=1),
                    constraint_type=cooper.ConstraintType.INEQUALITY,
                )

            def compute_cmp_state(self, pi: Tensor, alpha: Tensor) -> cooper.CMPState:
                constants = {name: p.detach() for name, p in critic.named_parameters()}
                violation = functional_call(critic, constants, (pi, alpha)).mean()[None] - EPSILON
                state = cooper.ConstraintState(violation=violation)
                return cooper.CMPState(pi.new_zeros(()), {self.constraint: state})

        self.problem = Problem()
        # Stands for the optimizer of the encoders, which all others are measured without.
        nothing = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.0)
        dual = torch.optim.SGD(self.problem.dual_parameters(), lr=0.1, maximize=True)
        self.rolling = cooper.optim.SimultaneousOptimizer(self.problem, nothing, dual)

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        pi = mean + torch.randn_like(mean) * (log_var / 2).exp()
        self.optimizer.zero_grad()
        marginal = self.critic(pi.detach(), shuffled(alpha))
        mireg.functional.critic_loss(self.critic(pi.detach(), alpha), marginal).backward()
        self.optimizer.step()
        self.rolling.roll({"pi": pi, "alpha": alpha})


def problem(features: int) -> SimpleNamespace:
    return SimpleNamespace(pi_features=features, alpha_features=features, classes=None)


SUBJECTS: dict[str, Callable[[int], object]] = {
    "plain": lambda f: Plain(f, f),
    "mireg, default": lambda f: Ours(mireg.RobustMIConstraint(f, f)),
    "mireg, default, compiled": lambda f: Ours(mireg.RobustMIConstraint(f, f), compiled=True),
    "mireg, ClassifierMI": lambda f: Ours(mireg.ClassifierMI(f, f)),
    "mireg, paper": lambda f: Paper(f, f, False),
    "CLUB": lambda f: Ours(CLUB(problem(f), 1.0)),
    "MINE": lambda f: Ours(MINE(problem(f), 1.0)),
    "torch-mist, MINE": lambda f: Mist("mine", f),
    "torch-mist, JS": lambda f: Mist("js", f),
    "cooper": lambda f: Cooper(f),
}
"""By name, what gives a subject for codes of so many features. The networks have two hidden layers of 256 units, but for the defaults of mireg."""

NEEDS = {"torch-mist": "torch_mist", "cooper": "cooper"}
"""The modules of subjects whose names begin so."""


def installed() -> Iterator[str]:
    for name in SUBJECTS:
        module = NEEDS.get(name.split(",")[0])
        if module is None or importlib.util.find_spec(module):
            yield name


def codes(features: int, batch: int) -> list[Tensor]:
    mean, log_var = (torch.randn(batch, features).requires_grad_() for _ in range(2))
    return [mean, log_var, torch.randn(batch, features)]


def memory(name: str, features: int, batch: int) -> float:
    """Gives what 20 steps add at most to the memory of a process of their own, in MB."""
    where = [sys.executable, __file__, "--memory-of", name]
    sizes = ["--features", str(features), "--batch", str(batch)]
    return float(
        subprocess.run([*where, *sizes], capture_output=True, text=True, check=True).stdout
    )


def measure_memory(name: str, features: int, batch: int) -> None:
    inputs = codes(features, batch)
    # What the first use of torch costs in any case.
    ((inputs[0] @ inputs[0].T).sum() + inputs[1].sum()).backward()
    forget_peak()
    before, subject = resident("VmRSS"), SUBJECTS[name](features)
    milliseconds(lambda: subject.step(*inputs), 20)
    print(resident("VmHWM") - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", help="print what one of them adds to the memory, and end")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        measure_memory(options.memory_of, options.features[0], options.batch[0])
        return
    rows = []
    for features in options.features:
        for batch in options.batch:
            subjects = {name: SUBJECTS[name](features) for name in installed()}
            inputs = codes(features, batch)
            steps = {n: (lambda s=s, x=inputs: s.step(*x)) for n, s in subjects.items()}
            for step in steps.values():
                milliseconds(step, 5)
            rounds = [
                {name: milliseconds(step, 10) for name, step in steps.items()}
                for _ in range(options.rounds)
            ]
            for name in steps:
                row = {"features": features, "batch": batch, "name": name}
                row["ms"] = statistics.median(r[name] for r in rounds)
                row["ratio_to_club"] = statistics.median(r[name] / r["CLUB"] for r in rounds)
                row["memory_mb"] = memory(name, features, batch)
                rows.append(row)
                print(
                    {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()},
                    flush=True,
                )
    if options.out:
        about = {"torch": torch.__version__, "threads": options.threads, "rounds": options.rounds}
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
