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

EVERY = 10
"""The picture has every tenth step."""
DRAWN = ("mi_average", "mi_shadow_average", "kl", "multiplier", "gamma")
CASES = {
    "healthy": "healthy",
    "untrained": "sick: critics are not trained",
    "unbounded": "sick: no bound (paper, γ = 0)",
    "needed": "sick: the task needs α",
}


def make(case: str) -> mireg.RobustMIConstraint:
    """Creates the constraint of a case."""
    if case == "unbounded":  # column b of Table 1: the paper's recipe without the variational bound
        return mireg.RobustMIConstraint.paper(
            PI,
            ALPHA,
            epsilon=EPSILON,
            gamma=mireg.weights.FixedGamma(0),
            critic=lambda: mireg.ConcatenatedCritic(PI, ALPHA),
        )
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
    rate = 1e-3 if case == "unbounded" else 3e-3
    groups = [{"params": networks, "lr": 1e-3}, {"params": constraint.parameters(), "lr": rate}]
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
        history.append({name: round(metrics[name], 5) for name in DRAWN} | {"task": task.item()})

    with torch.no_grad():
        pi, _, _, forbidden, _ = draw(samples)
    report = mireg.audit(pi, forbidden, epsilon=EPSILON, folds=2)
    return {"audit": report.mi, "standard_error": report.standard_error}, history


def draw(cases: dict[str, dict]) -> None:
    """Draws a column for each case that was run."""
    shown = [case for case in CASES if case in cases]
    size = (2 + 2.4 * len(shown), 6.4)
    figure, axes = plt.subplots(
        3, len(shown), figsize=size, sharex=True, sharey="row", layout="constrained", squeeze=False
    )
    for column, case in zip(axes.T, shown, strict=True):
        curves, found = cases[case]["curves"], cases[case]["audit"]
        steps = [EVERY * i for i in range(len(curves["kl"]))]
        information, kl, weights = column
        information.set_title(CASES[case], fontsize="medium")
        for name in ("mi_average", "mi_shadow_average"):
            information.plot(steps, [max(v, 1e-3) for v in curves[name]], label=name)
        information.axhline(max(found, 1e-3), color="tab:red", label="audit at the end")
        information.axhline(EPSILON, color="black", linestyle=":", label="ε")
        kl.plot(steps, curves["kl"], color="tab:green", label="kl")
        for name, greek, color in (
            ("multiplier", "λ", "tab:purple"),
            ("gamma", "γ", "tab:brown"),
        ):
            values = [max(v, 1e-4) for v in curves[name]]
            weights.plot(steps, values, color=color, label=f"{name} ({greek})")
        weights.set(xlabel="step")
        for ax in column:
            ax.set_yscale("log")
    for ax, label in zip(axes[:, 0], ("nats", "nats", "weight"), strict=True):
        ax.set(ylabel=label)
    for ax in axes[:, 0]:
        ax.legend(fontsize="small", loc="best")
    figure.savefig(HERE / "curves.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Trains the cases, and writes picture and numbers beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    path = HERE / "curves.json"
    cases = json.loads(path.read_text()) if path.exists() else {}
    for case in options.cases:
        found, history = run(case, options.steps, options.samples)
        found["task"] = sum(line["task"] for line in history[-100:]) / 100
        curves = {name: [line[name] for line in history[::EVERY]] for name in DRAWN}
        print(case, found, {name: values[-1] for name, values in curves.items()}, flush=True)
        cases[case] = found | {"curves": curves}
        path.write_text(json.dumps(cases) + "\n")
    draw(cases)


if __name__ == "__main__":
    main()
