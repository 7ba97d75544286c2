"""Healthy and sick curves of `penalty.metrics`: `python docs/pictures/curves.py` draws curves.png and writes curves.json.

The data and the networks are those of `examples/quickstart.py`. Each column is one training, and one thing differs from the loop of the README.
"""

import argparse
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import matplotlib
import torch

import mireg

matplotlib.use("Agg")

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
EPSILON = 0.125
quickstart = runpy.run_path(str(HERE.parents[1] / "examples" / "quickstart.py"))
PI, ALPHA, FACTORS = quickstart["PI"], quickstart["ALPHA"], quickstart["FACTORS"]

CASES = {
    "healthy": "healthy",
    "untrained": "sick: critics are not trained",
    "unbounded": "sick: γ = 0",
    "needed": "sick: the task needs α",
}


def make(case: str) -> mireg.RobustMIConstraint:
    """Creates the constraint of a case."""
    if case == "unbounded":
        no_bound = mireg.weights.FixedGamma(0)
        small = lambda: mireg.ConcatenatedCritic(PI, ALPHA, width=64)  # noqa: E731
        return mireg.RobustMIConstraint(PI, ALPHA, epsilon=EPSILON, gamma=no_bound, critic=small)
    alpha = FACTORS if case == "needed" else ALPHA
    return mireg.RobustMIConstraint(PI, alpha, epsilon=EPSILON)


def run(case: str, steps: int, samples: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Trains a case, and returns what an audit finds and the metrics of all steps."""
    torch.manual_seed(0)
    world = quickstart["World"](torch.Generator().manual_seed(0))
    encoders = mireg.EncoderPair(quickstart["GaussianEncoder"](), quickstart["mlp"](32, ALPHA))
    decoder = quickstart["mlp"](PI + ALPHA, 32)
    constraint = make(case)
    networks = [*encoders.parameters(), *decoder.parameters()]
    groups = [{"params": networks, "lr": 1e-3}, {"params": constraint.parameters(), "lr": 3e-3}]
    optimizer = torch.optim.Adam(groups)
    reconstruction: Callable = quickstart["reconstruction"]

    def draw(n: int) -> tuple[torch.Tensor, ...]:
        x1, x2, _, pose = world.draw(n)
        pi, alpha, posterior = encoders(x2, x1)
        return pi, alpha, posterior, pose if case == "needed" else alpha, x2

    history = []
    for _ in range(steps):
        pi, alpha, posterior, forbidden, x2 = draw(128)
        penalty = constraint(pi, forbidden, posterior)
        task = reconstruction(decoder, pi, alpha, x2)
        loss = task + penalty.loss
        if case != "untrained":
            loss = loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        constraint.update(penalty)
        metrics = {name: value.item() for name, value in penalty.metrics.items()}
        history.append(metrics | {"task": task.item()})

    with torch.no_grad():
        pi, _, _, forbidden, _ = draw(samples)
    report = mireg.audit(pi, forbidden, epsilon=EPSILON, folds=2)
    return {"audit": report.mi, "standard_error": report.standard_error}, history


def draw(found: dict[str, dict[str, float]], histories: dict[str, list[dict[str, float]]]) -> None:
    """Draws a column for each case."""
    figure, axes = plt.subplots(
        3, len(CASES), figsize=(11, 6.4), sharex=True, sharey="row", layout="constrained"
    )
    for column, (case, title) in zip(axes.T, CASES.items(), strict=True):
        history = histories[case]
        information, kl, weights = column
        information.set_title(title, fontsize="medium")
        for name in ("mi_average", "mi_shadow_average"):
            information.plot([max(line[name], 1e-3) for line in history], label=name)
        information.axhline(
            max(found[case]["audit"], 1e-3), color="tab:red", label="audit at the end"
        )
        information.axhline(EPSILON, color="black", linestyle=":", label="ε")
        kl.plot([line["kl"] for line in history], color="tab:green", label="kl")
        weights.plot(
            [line["multiplier"] for line in history], color="tab:purple", label="multiplier (λ)"
        )
        weights.plot(
            [max(line["gamma"], 1e-4) for line in history], color="tab:brown", label="gamma (γ)"
        )
        weights.set(xlabel="step")
        for ax in column:
            ax.set_yscale("log")
    for ax, label in zip(axes[:, 0], ("nats", "nats", "weight"), strict=True):
        ax.set(ylabel=label)
        ax.legend(fontsize="small", loc="upper right")
    figure.savefig(HERE / "curves.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Trains all cases, and writes picture and numbers beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    found, histories = {}, {}
    for case in CASES:
        found[case], histories[case] = run(case, options.steps, options.samples)
        last = histories[case][-100:]
        found[case] |= {name: sum(line[name] for line in last) / len(last) for name in last[0]}
        print(case, {name: round(value, 4) for name, value in found[case].items()}, flush=True)
    (HERE / "curves.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, histories)


if __name__ == "__main__":
    main()
