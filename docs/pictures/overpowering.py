"""Makes the picture and the table of the page *How it works*: `python docs/pictures/overpowering.py`.

The problem is that of `examples/quickstart.py`: 4 factors of appearance and 4 of pose, mixed into 32 dimensions. It is trained without a constraint, with each column of Table 1 of
Esser et al., 2019, and with `RobustMIConstraint` as it stands, and the codes of fresh samples are audited.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch

import mireg
from mireg import weights

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))

from quickstart import ALPHA, DIMS, PI, GaussianEncoder, World, mlp, reconstruction

EPSILON, BATCH = 0.125, 128
COLUMNS = {
    "none": dict,
    "a": lambda: {
        "gamma": weights.VariationalGamma(),
        "multiplier": weights.FixedMultiplier(0),
    },
    "b": lambda: {"gamma": weights.FixedGamma(0)},
    "c": lambda: {"gamma": weights.RobustGamma(bias=0)},
    "d": lambda: {"gamma": weights.FixedGamma(1)},
    "e": dict,
}
"""The parts that each column of Table 1 changes; b has no variational bound, which a weight of 0 amounts to."""
ROWS = ["b", "robust"]
"""What the picture shows."""


def run(column: str, steps: int, samples: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Trains with one column, and gives what came out and how it went."""
    torch.manual_seed(0)
    world = World(torch.Generator().manual_seed(0))
    encoders, decoder = (
        mireg.EncoderPair(GaussianEncoder(), mlp(DIMS, ALPHA)),
        mlp(PI + ALPHA, DIMS),
    )
    published = column != "robust"
    if published:
        # One perceptron each: the default critics are harder to overpower.
        constraint = mireg.RobustMIConstraint.paper(
            PI,
            ALPHA,
            critic=lambda: mireg.ConcatenatedCritic(PI, ALPHA),
            epsilon=EPSILON,
            **COLUMNS[column](),
        )
    else:
        constraint = mireg.RobustMIConstraint(PI, ALPHA, epsilon=EPSILON)
    parameters = [*encoders.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    critic_optimizer = torch.optim.Adam(
        constraint.parameters(), lr=1e-3 if published else 3e-3, fused=True
    )
    history = []
    for _ in range(steps):
        x1, x2, *_ = world.draw(BATCH)
        pi, alpha, posterior = encoders(x2, x1)
        critic_optimizer.zero_grad()
        optimizer.zero_grad()
        if published:
            # The paper's critics learn from a batch before they are asked about it.
            constraint.critic_loss(pi, alpha).backward()
            critic_optimizer.step()
        penalty = constraint(pi, alpha, posterior)
        loss = reconstruction(decoder, pi, alpha, x2)
        if column != "none":
            loss = loss + penalty.loss
        if not published:
            loss = loss + penalty.critic_loss
        loss.backward()
        optimizer.step()
        if not published:
            critic_optimizer.step()
        constraint.update(penalty)
        history.append({name: value.item() for name, value in penalty.metrics.items()})

    with torch.no_grad():
        x1, x2, *_ = world.draw(samples)
        pi, alpha, _ = encoders(x2, x1)
        error = reconstruction(decoder, pi, alpha, x2).item()
    report = mireg.audit(pi, alpha, epsilon=EPSILON, folds=2)
    last = history[-1]
    result = {name: last[name] for name in ("mi_average", "mi_shadow_average", "kl", "gamma")}
    result |= {"multiplier": last["multiplier"], "reconstruction": error}
    return result | {"audit": report.mi, "standard_error": report.standard_error}, history


def draw(
    results: dict[str, dict[str, float]], histories: dict[str, list[dict[str, float]]]
) -> None:
    """Draws the estimates of b and of the constraint, and what the audit found."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
    for ax, column, title in (
        (axes[0], "b", "b: an adversary alone"),
        (axes[1], "robust", "RobustMIConstraint"),
    ):
        for name, label in (("mi_average", "$I_T$"), ("mi_shadow_average", "$I_{T'}$")):
            ax.plot([line[name] for line in histories[column]], label=label)
        found = results[column]["audit"]
        ax.axhline(found, color="tab:red", label="fresh critics, at the end")
        ax.axhline(EPSILON, color="black", linestyle=":", label="ε")
        ax.set(title=title, xlabel="step", ylabel="nats", ylim=(-0.1, None))
    axes[1].legend(fontsize="small")
    figure.savefig(HERE / "overpowering.png", dpi=80)


def table(results: dict[str, dict[str, float]], steps: int) -> str:
    """Gives the results as a table."""
    lines = [
        "| column | $I_T$ | $I_{T'}$ | fresh critics | KL | γ | λ | reconstruction |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in results.items():
        lines.append(
            f"| {name} | {r['mi_average']:.3f} | {r['mi_shadow_average']:.3f} | "
            f"{r['audit']:.3f} ± {1.96 * r['standard_error']:.3f} | {r['kl']:.1f} | {r['gamma']:.2f} | "
            f"{r['multiplier']:.1f} | {r['reconstruction']:.2f} |"
        )
    lines += [
        "",
        f"*{steps} steps, seed 0, ε = {EPSILON}; nats, except γ, λ and the reconstruction.*",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Trains with each column that is asked for, and writes picture, table and numbers beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--columns", nargs="+", default=ROWS, choices=[*COLUMNS, "robust"])
    options = parser.parse_args()
    results, histories = {}, {}
    for column in options.columns:
        results[column], histories[column] = run(column, options.steps, options.samples)
        print(column, results[column], flush=True)
    if histories.keys() >= set(ROWS):
        draw(results, histories)
    (HERE / "overpowering.md").write_text(table(results, options.steps), encoding="utf-8")
    (HERE / "overpowering.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
