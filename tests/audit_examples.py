"""The worked examples of the page on auditing: an income as integers, and a rare label.

`PYTHONPATH=.:tests python tests/audit_examples.py` prints the reports.
"""

import numpy as np

import mireg

Random = np.random.Generator
TRUTH_OF_INCOME = 0.5 * np.log(5)
"""In nats: a correlation of 2 / sqrt(5)."""


def income(random: Random, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A code with an income in it, under half as much noise; the income as integers."""
    z = random.standard_normal(n)
    alpha = np.round(50_000 + 20_000 * z).astype(int)
    return np.stack([z + 0.5 * random.standard_normal(n), random.standard_normal(n)], 1), alpha


def rare(random: Random, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """A code of two numbers that both are 1.5 higher for the 8 % who are ill: the best AUC is 0.933."""
    y = np.where(random.random(n) < 0.08, "ill", "well")
    return (y == "ill")[:, None] * 1.5 + random.standard_normal((n, 2)), y


def main() -> None:
    random = np.random.default_rng(0)
    pi, alpha = income(random)
    print(mireg.audit(pi, alpha, epsilon=0.05, folds=3), "\n")
    print(mireg.audit(*rare(random), epsilon=0.02, folds=2), "\n")
    print(mireg.audit(pi, alpha, epsilon=0.05, folds=2, kind="label"))


if __name__ == "__main__":
    main()
