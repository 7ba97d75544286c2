"""Whether a constraint survives an audit: `python tests/benchmarks/honesty.py --out honesty.json`.

Six problems, six methods, three seeds; a run that is done is not done again, so that a second call goes on where the first
was stopped. `--table` prints what the file holds. Some 2.5 hours on one core; `--problem` and `--seed` share the work
between processes, each with a file of its own. The problem `table` reads its data from statsmodels: `pip install statsmodels`.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from honesty_methods import EPSILON, METHODS
from honesty_problems import PROBLEMS, Problem
from tqdm import trange

import mireg

CRITICS: dict[str, Callable[[Problem], mireg.Critic]] = {
    "default": lambda p: type(p).critic(p),
    "perceptron": lambda p: mireg.ConcatenatedCritic(p.pi_features, p.alpha_features),
    "wide": lambda p: mireg.ConcatenatedCritic(p.pi_features, p.alpha_features, width=512),
}


def train(
    problem: Problem, regularizer: mireg.Regularizer, steps: int, batch: int, rate: float
) -> dict:
    """Trains as a user would, and gives what the regularizer read at the end."""
    optimizer = torch.optim.Adam(problem.parameters(), lr=1e-3, fused=True)
    critic_optimizer = torch.optim.Adam(
        regularizer.critic_parameters(), lr=rate, betas=(0.5, 0.9), fused=True
    )
    start = time.monotonic()
    for _ in trange(steps, leave=False, mininterval=5):
        (pi, alpha, posterior), task, groups = problem(batch)
        critic_optimizer.zero_grad()
        regularizer.critic_loss(pi, alpha, groups=groups).backward()
        critic_optimizer.step()
        penalty = regularizer(pi, alpha, posterior, groups=groups)
        optimizer.zero_grad()
        (task + penalty.loss).backward()
        optimizer.step()
        regularizer.update(penalty)
    milliseconds = 1000 * (time.monotonic() - start) / steps
    return {"ms_per_step": milliseconds, **{k: float(v) for k, v in penalty.metrics.items()}}


def run(
    problem_name: str, method: str, seed: int, steps: int | None, critic: str, rate: float
) -> dict:
    """Trains, audits codes of held-out samples, and gives what came out."""
    torch.manual_seed(seed)
    problem = PROBLEMS[problem_name](seed)
    steps = steps or problem.steps
    problem.critic = functools.partial(CRITICS[critic], problem)
    metrics = train(problem, METHODS[method](problem), steps, problem.batch, rate)
    with torch.no_grad():
        codes, task, groups = problem(problem.audited, held_out=True)
    report = mireg.audit(codes.pi, codes.alpha, groups, epsilon=EPSILON, seed=seed)
    return {
        "problem": problem_name,
        "method": method,
        "seed": seed,
        "steps": steps,
        "critic": critic,
        "rate": rate,
        "task": task.item(),
        **metrics,
        "audit": report.to_dict(),
    }


def table(rows: list[dict]) -> str:
    """Gives a line for each problem and method: means over the seeds, the furthest end of an interval, and the fastest steps.

    What slows a step down is other work on the machine: the least time is the nearest to its cost.
    """
    lines = [
        "| problem | method | I_T | I_T' | audit (highest upper end) | task loss | ms a step | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for problem in PROBLEMS:
        for method in METHODS:
            chosen = [r for r in rows if (r["problem"], r["method"]) == (problem, method)]
            if not chosen:
                continue

            def mean(name: str, rows: list[dict] = chosen) -> str:
                value = np.mean([r[name] for r in rows]) if name in rows[0] else None
                return (
                    "–" if value is None else f"{value:.3f}" if abs(value) < 1e4 else f"{value:.0e}"
                )

            audits = [r["audit"] for r in chosen]
            upper = max(a["mi"] + 1.96 * a["standard_error"] for a in audits)
            first = "mi_average" if "mi_average" in chosen[0] else "mi"
            lines.append(
                f"| {problem} | {method} | {mean(first)} | {mean('mi_shadow_average')} "
                f"| {np.mean([a['mi'] for a in audits]):.3f} ({upper:.3f}) "
                f"| {np.mean([r['task'] for r in chosen]):.1f} "
                f"| {min(r['ms_per_step'] for r in chosen):.1f} | {len(chosen)} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of those of each problem")
    parser.add_argument("--critic", default="default", choices=CRITICS)
    parser.add_argument("--rate", type=float, default=3e-3, help="of the critics; encoders: 1e-3")
    parser.add_argument("--out", type=Path, nargs="+", required=True)
    parser.add_argument("--table", action="store_true", help="print what the files hold")
    options = parser.parse_args()
    rows = [
        row for path in options.out if path.exists() for row in json.loads(path.read_text())["rows"]
    ]
    if options.table:
        print(table(rows))
        return
    done = {(r["problem"], r["method"], r["seed"]) for r in rows}
    for seed in options.seed:
        for problem in options.problem:
            for method in options.method:
                if (problem, method, seed) in done:
                    continue
                rows.append(run(problem, method, seed, options.steps, options.critic, options.rate))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
                about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
                text = json.dumps({**about, "epsilon": EPSILON, "rows": rows}, indent=1)
                options.out[0].write_text(text + "\n")


if __name__ == "__main__":
    main()
