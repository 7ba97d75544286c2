"""Audits codes that hide what they reveal in unusual places: `python tests/benchmarks/hidden.py --out hidden.json`."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import mireg

EPSILON = 0.05


def narrow(random: np.random.Generator, y: np.ndarray, scale: float) -> np.ndarray:
    """One of eight directions reveals y. Its deviation is a small part of the others'."""
    x = random.standard_normal((len(y), 8))
    x[:, 0] = scale * (y + 0.2 * x[:, 0])
    return x @ np.linalg.qr(random.standard_normal((8, 8)))[0]


def clusters(random: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """Half of the codes are 1e7 away, where single precision has steps of 1."""
    x = random.standard_normal((len(y), 2))
    far = random.random(len(y)) < 0.5
    x[:, 0] = np.where(far, 1e7 + 0.3 * (y + 0.1 * x[:, 0]), x[:, 0])
    return x


def digits(random: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """The last of two decimals of one coordinate is even or odd as y is."""
    x = random.standard_normal((len(y), 4))
    whole = np.floor(100 * x[:, 0])
    x[:, 0] = (whole - whole % 2 + y) / 100
    return x


Make = Callable[[np.random.Generator, np.ndarray], np.ndarray]

CASES: dict[str, tuple[Make, bool, str]] = {
    "a narrow direction reveals a label": (lambda r, y: narrow(r, y, 1e-3), True, "0.69"),
    "a narrow direction reveals a number": (lambda r, y: narrow(r, y, 5e-4), False, "1.63"),
    "two distant clusters": (clusters, True, "0.35"),
    "the last digit": (digits, True, "0.69"),
    "independent": (lambda r, y: r.standard_normal((len(y), 4)), True, "0"),
}
"""How codes are made, whether of a label, and about what they reveal in nats."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (make, label, truth) in CASES.items():
        random = np.random.default_rng(0)
        n = options.samples
        y = random.integers(2, size=n) if label else random.standard_normal(n)
        start = time.monotonic()
        report = mireg.audit(make(random, y), y, epsilon=EPSILON, folds=options.folds)
        found = {"mi": report.mi, "error": report.standard_error, "highest": report.highest}
        seconds = round(time.monotonic() - start, 1)
        rows.append(
            {"case": name, "truth": truth, "verdict": report.verdict, **found, "seconds": seconds}
        )
        print(rows[-1], flush=True)
        options.out.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
