"""How often what is certified is true, where the truth is known: `python tests/benchmarks/certificates.py tables --out tables.json`.

`tables` draws counts from laws of many shapes and asks for the interval of `mireg.certify`. Six minutes on one core for 10,000 of them.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
    of_label = [random.dirichlet(np.maximum(labels * free * share, 1e-3), cells) for share in shares]
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


PARTS: dict[str, tuple[Callable[[int, int], dict], int]] = {"tables": (tables, 10_000)}


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
