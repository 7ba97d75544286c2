"""Income from census data by equalized odds: the representation must not reveal the sex beyond what
the income says of it.

Demographic parity forbids every difference between the sexes, also that of their incomes. Equalized
odds forbids differences between adults of equal income: I(code; sex | income). Beside both
constraints stand fairlearn's adversary with its equalized-odds constraint and CFair (Zhao et al.,
ICLR 2020). Their weights are chosen among as many values each, on a fifth of the training set; the
constraints have their targets and nothing to choose. Data: see fairness.py.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from fairness import BATCH, CODE, Adults, Network, load, mlp
from torch import Tensor, nn

import mireg

WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0)


class Judged(NamedTuple):
    """What a trained method makes of some adults: its code, and the log-odds of a high income."""

    code: Tensor
    score: Tensor


Judge = Callable[[Tensor], Judged]


def constrained(data: Adults, epsilon: float | None, conditional: bool, steps: int) -> Judge:
    """Trains with a constraint on I(code; sex), or on I(code; sex | income); without if there is no
    target.
    """
    torch.manual_seed(0)
    network = Network(data.x.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    if epsilon is not None:
        condition = {"given_classes": 2} if conditional else {}
        constraint = mireg.RobustMIConstraint(CODE, classes=2, epsilon=epsilon, **condition)
        optimizer.add_param_group({"params": constraint.parameters(), "lr": 6e-3})
    for _ in range(steps):
        batch = data.at(torch.randint(len(data.x), (BATCH,)))
        posterior = network.posterior(batch.x)
        pi = posterior.rsample()
        loss = F.binary_cross_entropy_with_logits(network.score(pi), batch.rich)
        if epsilon is not None:
            given = batch.rich.long() if conditional else None
            penalty = constraint(pi, batch.sex, posterior, given=given)
            loss = loss + penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epsilon is not None:
            constraint.update(penalty)

    def judge(x: Tensor) -> Judged:
        torch.manual_seed(1)
        pi = network.posterior(x).sample()
        return Judged(pi, network.score(pi))

    return judge


class Reversed(torch.autograd.Function):
    """Returns its input, and turns the sign of its gradient."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return -gradient


def cfair(data: Adults, weight: float, steps: int) -> Judge:
    """Trains CFair: a balanced error of the income, and one adversary for each income, whose error
    is balanced over the sexes.
    """
    torch.manual_seed(0)
    encoder, classifier = mlp(data.x.shape[1], CODE), mlp(CODE, 2)
    adversaries = nn.ModuleList(mlp(CODE, 2) for _ in range(2))
    parameters = [*encoder.parameters(), *classifier.parameters(), *adversaries.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    income = data.rich.long()
    of_income = balance(income)
    of_sex = [balance(data.sex[income == y]) for y in (0, 1)]
    for _ in range(steps):
        rows = torch.randint(len(data.x), (BATCH,))
        code, y = encoder(data.x[rows]), income[rows]
        loss = F.cross_entropy(classifier(code), y, of_income)
        for label, adversary in enumerate(adversaries):
            logits = adversary(Reversed.apply(code[y == label]))
            sex = data.sex[rows][y == label]
            loss = loss + weight * F.cross_entropy(logits, sex, of_sex[label])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def judge(x: Tensor) -> Judged:
        code = encoder(x)
        low, high = classifier(code).unbind(1)
        return Judged(code, high - low)

    return judge


def balance(labels: Tensor) -> Tensor:
    """Returns weights by which both labels count alike."""
    return 0.5 / labels.bincount(minlength=2).clamp(min=1) * len(labels)


def fairlearn(data: Adults, weight: float, steps: int) -> Judge:
    """Trains fairlearn's classifier against an adversary that sees the score and the income."""
    from fairlearn.adversarial import AdversarialFairnessClassifier

    torch.manual_seed(0)
    model = AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[64, "leaky_relu", CODE, "leaky_relu"],
        adversary_model=[64, "leaky_relu"],
        constraints="equalized_odds",
        learning_rate=2e-3,
        alpha=weight,
        epochs=max(1, round(steps * BATCH / len(data.x))),
        batch_size=BATCH,
        shuffle=True,
        random_state=0,
    )
    model.fit(data.x.numpy(), data.rich.numpy(), sensitive_features=data.sex.numpy())
    # What comes before the last layer, and the log-odds before the sigmoid.
    *hidden, last, _ = next(model.backendEngine_.predictor_model.children())

    def judge(x: Tensor) -> Judged:
        code = nn.Sequential(*hidden)(x)
        return Judged(code, last(code).squeeze(1))

    return judge


def gaps(found: Judged, data: Adults) -> dict[str, float]:
    """Returns the accuracy, the gap between the sexes, and the greatest gap between adults of equal
    income.
    """
    decision, rich = found.score > 0, data.rich.bool()

    def gap(rows: Tensor) -> float:
        first, second = (decision[rows & (data.sex == s)].float().mean() for s in (0, 1))
        return float((first - second).abs())

    return {
        "accuracy": float((decision == rich).float().mean()),
        "parity gap": gap(torch.ones_like(rich)),
        "odds gap": max(gap(rich), gap(~rich)),
    }


def audited(found: Judged, data: Adults, samples: int) -> dict[str, float]:
    """Returns what fresh critics find of the sex in the code, overall and given the income, in
    nats.
    """
    code, sex, rich = found.code[:samples], data.sex[:samples], data.rich[:samples].long()
    return {
        "I(code; sex)": mireg.audit(code, sex, folds=2).mi,
        "I(code; sex | income)": mireg.audit(code, sex, given=rich, folds=2).mi,
    }


def draw(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Draws accuracy against both gaps."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for ax, gap in zip(axes, ("parity gap", "odds gap"), strict=True):
        for i, (name, row) in enumerate(rows.items()):
            ax.plot(row[gap], row["accuracy"], "osD^vP*Xh"[i % 9], label=name, markersize=8)
        ax.set(xlabel=f"{gap} between the sexes, held-out adults")
        ax.grid(alpha=0.3)
    axes[0].set(ylabel="accuracy of the income")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Trains all methods, chooses the weights of those that have one, and judges the chosen on the
    test set.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.05, 0.01])
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument(
        "--most", type=float, default=0.05, help="the odds gap that the weights are chosen for"
    )
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--samples", type=int, default=6000, help="how many to audit")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        options.epsilon, options.weights = options.epsilon[:1], options.weights[:1]
        options.steps, options.samples = 10, 1000

    start = time.monotonic()
    everyone, test = load()
    order = torch.randperm(len(everyone.x), generator=torch.Generator().manual_seed(0))
    fifth = len(order) // 5
    validation, train = everyone.at(order[:fifth]), everyone.at(order[fifth:])
    judges = {"no constraint": constrained(train, None, False, options.steps)}
    for epsilon in options.epsilon:
        for name, conditional in (("parity", False), ("odds", True)):
            judges[f"mireg, {name}, ε={epsilon:g}"] = constrained(
                train, epsilon, conditional, options.steps
            )
    rivals = {"CFair": cfair}
    if importlib.util.find_spec("fairlearn") is None:
        print("fairlearn is left out: pip install fairlearn")
    else:
        rivals["fairlearn, odds"] = fairlearn
    tried = {}
    for name, fit in rivals.items():
        found = {}
        for weight in options.weights:
            judge = fit(train, weight, options.steps)
            with torch.no_grad():
                found[weight] = judge, gaps(judge(validation.x), validation)
            tried[f"{name}, weight {weight:g}"] = found[weight][1]
        # The most accurate with a gap that is small enough; if there is none, that with the least
        # gap.
        fair = [w for w in found if found[w][1]["odds gap"] <= options.most]
        best = max(fair, key=lambda w: found[w][1]["accuracy"], default=None)
        if best is None:
            best = min(found, key=lambda w: found[w][1]["odds gap"])
        judges[f"{name}, weight {best:g}"] = found[best][0]

    rows = {}
    for name, judge in judges.items():
        with torch.no_grad():
            found = judge(test.x)
        rows[name] = gaps(found, test)
        if not options.smoke or ("odds" in name and "mireg" in name):
            rows[name] |= audited(found, test, options.samples)
    draw(rows, options.out / "equalized_odds.png")
    names = max(map(list, rows.values()), key=len)
    print(f"{'':30}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for row, values in rows.items():
        print(f"{row:30}" + "".join(f"{values[x]:{len(x) + 2}.3f}" for x in names if x in values))
    print("weights tried, on the validation part:")
    for row, values in tried.items():
        print(f"{row:30}" + "".join(f"{values[name]:{len(name) + 2}.3f}" for name in names[:3]))
    rich = test.rich.bool()
    for epsilon in options.epsilon:
        bounds = []
        for of_income in (~rich, rich):
            share = float(of_income.float().mean())
            men = float(test.sex[of_income].float().mean())
            bounds.append(mireg.leakage.parity_gap_bound(epsilon / share, men))
        print(f"I(code; sex | income) ≤ {epsilon:g} allows an odds gap of {max(bounds):.3f}")
    report = {"test": rows, "validation": tried, "seconds": round(time.monotonic() - start)}
    (options.out / "equalized_odds.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
