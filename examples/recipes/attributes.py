"""Income from census data, by a code that must reveal neither sex nor race nor age: three
attributes at once, a number among them.

Age and race are among the features, and the sex is all but among them. The first row has no
constraint, the second a target for each attribute, the third also one for the combination of sex
and race: what each alone does not reveal, both together may. Data: see fairness.py.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from fairness import BATCH, CODE, Adults, Network, load
from torch import Tensor

import mireg

RACES = 5


def attributes_of(data: Adults) -> dict[str, Tensor]:
    """Returns the attributes by name."""
    both = mireg.joint_label([data.sex, data.race], classes=[2, RACES])
    return {"sex": data.sex, "race": data.race, "age": data.age, "sex and race": both}


def constraint_on(names: list[str], epsilon: float) -> mireg.PerAttribute:
    """Creates the constraint on some of the attributes."""
    kinds = {
        "sex": {"classes": 2},
        "race": {"classes": RACES},
        "age": {"alpha_features": 1},
        "sex and race": {"classes": 2 * RACES},
    }
    return mireg.PerAttribute(
        {name: mireg.RobustMIConstraint(CODE, epsilon=epsilon, **kinds[name]) for name in names}
    )


def train(data: Adults, names: list[str], epsilon: float, steps: int) -> Network:
    """Trains under constraints on the attributes with these names."""
    torch.manual_seed(0)
    network = Network(data.x.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    if names:
        constraint = constraint_on(names, epsilon)
        optimizer.add_param_group({"params": constraint.parameters(), "lr": 6e-3})
    for _ in range(steps):
        batch = data.at(torch.randint(len(data.x), (BATCH,)))
        posterior = network.posterior(batch.x)
        pi = posterior.rsample()
        loss = F.binary_cross_entropy_with_logits(network.score(pi), batch.rich)
        if names:
            values = attributes_of(batch)
            penalty = constraint(pi, {name: values[name] for name in names}, posterior)
            loss = loss + penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if names:
            constraint.update(penalty)
    return network


def main() -> None:
    """Trains without, with a target for each attribute, and with one for a combination, and audits
    all.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--samples", type=int, default=6000, help="how many to audit")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        options.steps, options.samples = 10, 600

    start = time.monotonic()
    data, test = load()
    each = ["sex", "race", "age"]
    runs = {
        "no constraint": [],
        "each attribute": each,
        "and sex and race": [*each, "sex and race"],
    }
    rows = {}
    for row, names in runs.items():
        network = train(data, names, options.epsilon, options.steps)
        with torch.no_grad():
            torch.manual_seed(1)
            pi = network.posterior(test.x).sample()
            right = (network.score(pi) > 0) == test.rich.bool()
        rows[row] = {"accuracy": float(right.float().mean())}
        for name, values in attributes_of(test).items():
            if options.smoke and (name != "age" or row != "each attribute"):
                continue
            values = values[: options.samples].numpy()
            kind = "number" if name == "age" else "label"
            report = mireg.audit(pi[: options.samples], values, kind=kind, folds=2)
            rows[row][f"I(code; {name})"] = report.mi
    columns = max(map(list, rows.values()), key=len)
    print(f"{'':18}" + "".join(f"{name:>{len(name) + 2}}" for name in columns))
    for row, values in rows.items():
        print(f"{row:18}" + "".join(f"{values[x]:{len(x) + 2}.3f}" for x in columns if x in values))
    print(f"nats, asked: {options.epsilon:g} for each attribute that is constrained")
    report = {"rows": rows, "seconds": round(time.monotonic() - start)}
    (options.out / "attributes.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
