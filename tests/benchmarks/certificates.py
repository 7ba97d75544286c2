"""How often what is certified is true, where the truth is known: `python tests/benchmarks/certificates.py tables --out tables.json`.

`tables` draws counts from laws of many shapes and asks for the interval of `mireg.certify`. `audits` draws codes of 265 groups, or of as many samples without
groups, cross-fits critics that count, and asks for the certified bound of `mireg.audit`.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mireg.auditing.certificate import Block, code_bound, label_bound
from mireg.auditing.evaluation import swap_index
from mireg.concentration import information_interval, plug_in_information

ERROR = 0.05


def law(random: np.random.Generator) -> np.ndarray:
    """Probabilities with shape (strata, cells, labels): 2 to 256 cells, from even ones to almost empty ones, and labels that the cell does not tell or tells."""
    cells, labels = int(2 ** random.integers(1, 9)), int(random.choice([2, 2, 3, 10]))
    strata = int(random.choice([1, 1, 3]))
    even, free, balanced = 10 ** random.uniform((-1.5, -1.5, 0), (1, 1.5, 1.5))
    of_stratum = random.dirichlet(np.ones(strata))[:, None, None]
    of_cell = random.dirichlet(np.full(cells, even), strata)[..., None]
    shares = random.dirichlet(np.full(labels, balanced), strata)
    # A label in a cell is close to its share overall, or far from it.
    of_label = [
        random.dirichlet(np.maximum(labels * free * share, 1e-3), cells) for share in shares
    ]
    p = of_stratum * of_cell * np.stack(of_label)
    return np.asarray(p / p.sum())


def tables(repetitions: int, seed: int) -> dict:
    """Draws one sample of 20 to 30,000 from each law."""
    rows = []
    for i in range(repetitions):
        random = np.random.default_rng((seed, i))
        p = law(random)
        truth, n = plug_in_information(p), int(10 ** random.uniform(1.3, 4.5))
        counts = random.multinomial(n, p.ravel()).reshape(p.shape)
        low, high = information_interval(counts, n, ERROR)
        rows.append((p.shape[1], n, truth, low, high, (counts.sum((0, 2)) == 0).any()))
    cells, n, truth, low, high, empty = np.array(rows, float).T

    def group(chosen: np.ndarray) -> dict:
        below, above = truth[chosen] < low[chosen], truth[chosen] > high[chosen]
        return {
            "tables": int(chosen.sum()),
            "inside": float(1 - (below | above).mean()),
            "truth_below": int(below.sum()),
            "truth_above": int(above.sum()),
            "median_truth": float(np.median(truth[chosen])),
            "median_above_truth": float(np.median(high[chosen] - truth[chosen])),
            "median_below_truth": float(np.median(truth[chosen] - low[chosen])),
        }

    return {
        "all": group(cells > 0),
        "with_empty_cells": group(empty > 0),
        **{f"{k}_cells": group(cells == k) for k in (2, 4, 8, 16, 32, 64, 128, 256)},
        "up_to_200_samples": group(n <= 200),
        "from_10000_samples": group(n >= 10_000),
        "from_10000_samples_up_to_32_cells_below_0.1": group(
            (n >= 10_000) & (cells <= 32) & (truth < 0.1)
        ),
    }


def audits(repetitions: int, seed: int) -> dict:
    """One bit of each group, seen with errors in each of its rows; a third of the groups are seen worse."""
    found = {}
    for name, rows, share, kind in (
        ("labels, groups of 8", 8, 0.5, "labels"),
        ("rare labels, groups of 8", 8, 0.1, "labels"),
        ("labels, no groups", 1, 0.5, "labels"),
        ("labels that are not told, groups of 8", 8, None, "labels"),
        ("codes, groups of 8", 8, 0.5, "codes"),
        ("codes that are not told, groups of 8", 8, None, "codes"),
    ):
        bounds = []
        for i in range(repetitions):
            random = np.random.default_rng((seed, i))
            bounds.append(audited(random, rows, share or 0.5, share is None, kind))
        truth = information(share or 0.5, share is None)
        above = int(sum(bound > truth for bound in bounds))
        found[name] = {
            "audits": repetitions,
            "truth": truth,
            "bound_above_truth": above,
            "covered": 1 - above / repetitions,
            "median_bound": float(np.median(bounds)),
        }
    return found


GROUPS, FOLDS, ERRORS = 265, 5, (0.02, 0.15)


def information(share: float, apart: bool) -> float:
    error = 0.5 if apart else 2 / 3 * ERRORS[0] + 1 / 3 * ERRORS[1]
    seen = np.array([[1 - error, error], [error, 1 - error]])
    return plug_in_information((np.array([1 - share, share])[:, None] * seen)[None])


def audited(random: np.random.Generator, rows: int, share: float, apart: bool, kind: str) -> float:
    """Draws codes and audits them with critics that count in the other folds."""
    truth = (random.random(GROUPS) < share).astype(int)
    groups = np.repeat(np.arange(GROUPS), rows)
    error = np.where(random.random(GROUPS) < 1 / 3, ERRORS[1], ERRORS[0])[groups]
    wrong = random.random(len(groups)) < (0.5 if apart else error)
    y, x = truth[groups], truth[groups] ^ wrong
    blocks, labels, priors, stop = [], [], [], []
    for k in range(FOLDS):
        test, stopping = groups % FOLDS == k, (groups % FOLDS != k) & (groups // FOLDS % 10 == k)
        counts = np.bincount(2 * x[~test] + y[~test], minlength=4).reshape(2, 2) + 0.5
        counts /= counts.sum()
        prior = counts.sum(0)
        ratio = torch.from_numpy(np.log(counts / counts.sum(1, keepdims=True) / prior))
        blocks.append(block_of(ratio, x[test], y[test], groups[test]))
        stop.append(tuple(block_of(ratio, x[stopping], y[stopping], groups[stopping])[:3]))
        labels.append(torch.from_numpy(y[test]))
        priors.append(torch.from_numpy(np.log(prior)))
    if kind == "labels":
        return label_bound(blocks, labels, priors, stop, 1 - ERROR)
    return code_bound(blocks, stop, 1 - ERROR)


def block_of(ratio: torch.Tensor, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Block:
    x, y, groups = (torch.from_numpy(values) for values in (x, y, groups))
    partners = (torch.arange(len(x)) + torch.arange(1, 100)[:, None] * 4) % len(x)
    pairs = ratio[x, y[partners]]
    return Block(ratio[x, y], ratio[x, y[swap_index(groups)]], groups, pairs, partners)


PARTS: dict[str, tuple[Callable[[int, int], dict], int]] = {
    "tables": (tables, 10_000),
    "audits": (audits, 1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    simulate, usual = PARTS[options.part]
    repetitions = options.repetitions or usual
    start = time.process_time()
    found = simulate(repetitions, options.seed)
    result = {
        "command": f"python tests/benchmarks/certificates.py {options.part}",
        "repetitions": repetitions,
        "seed": options.seed,
        "confidence": 1 - ERROR,
        "cpu_seconds": round(time.process_time() - start, 1),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "found": found,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
