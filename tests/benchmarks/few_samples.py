"""What `mireg.audit` says of few samples whose information is known: `python tests/benchmarks/few_samples.py --out few.json`.

Eleven kinds of codes reveal 0.4 or 1.44 ε about a label, a number or another code. The tables count the verdicts, where `below` is false if the codes reveal
1.44 ε, and compare the estimate of the critics with what correlations amount to. If a run was stopped, the same command continues it.
"""

import argparse
import json
import math
import platform
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp
from tqdm import tqdm

import mireg

Array = NDArray[np.float64]
SHARES = (0.4, 1.44)
"""What the codes reveal, in units of ε."""

SETTINGS = ((0.05, 1000), (0.05, 2000), (0.05, 4000))
"""The targets and the numbers of samples."""

LEVELS = np.linspace(-4, 4, 81)
"""The values of a normal number by which its information is integrated."""


class Kind(NamedTuple):
    """Normal codes whose mean, spread or correlation depends on α, by a strength."""

    features: int
    """The number of features of the code."""
    classes: int
    """The number of equally frequent labels; 0 for a normal number."""
    moments: Callable[[float, Array], tuple[Array, Array]]
    """The mean and the logarithm of the deviation of each feature, for a strength and values of α, each with shape (N, D)."""
    correlated: bool = False
    """Whether the first feature is instead the second times a sign that depends on the label, plus noise."""


def directions(shape: tuple[int, int]) -> Array:
    return np.random.default_rng(5).standard_normal(shape)


def shift(classes: int, features: int) -> Kind:
    """The mean of a code depends on a label."""
    of = directions((classes, features))
    return Kind(
        features, classes, lambda a, y: (a * of[y.astype(int)], np.zeros((len(y), features)))
    )


def spread(classes: int, features: int) -> Kind:
    """The deviations of a code depend on a label."""
    of = directions((classes, features))
    return Kind(
        features, classes, lambda a, y: (np.zeros((len(y), features)), a * of[y.astype(int)])
    )


def number(features: int, value: Callable[[Array], Array], of_spread: bool = False) -> Kind:
    """The mean or the deviations of a code depend on a function of a normal number."""
    of = directions((1, features))

    def moments(a: float, y: Array) -> tuple[Array, Array]:
        moved, still = a * of * value(y)[:, None], np.zeros((len(y), features))
        return (still, moved) if of_spread else (moved, still)

    return Kind(features, 0, moments)


def sign(features: int) -> Kind:
    """The correlation of two features, of several, depends on a label."""
    return Kind(features, 2, lambda a, y: (np.zeros((len(y), features)),) * 2, correlated=True)


class Pair(NamedTuple):
    """Two codes of the same number of features. `draw` returns codes for a strength, and `log_ratio` log p(x, y) / p(x) p(y) of each sample."""

    draw: Callable[[float, int, np.random.Generator], tuple[Array, Array]]
    log_ratio: Callable[[float, Array, Array], Array]


def correlated(features: int) -> Pair:
    """Each feature of a code is correlated a little with the same feature of the other."""

    def draw(rho: float, n: int, random: np.random.Generator) -> tuple[Array, Array]:
        x, noise = random.standard_normal((2, n, features))
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    def log_ratio(rho: float, x: Array, y: Array) -> Array:
        rest = 1 - rho**2
        of_pairs = rho / rest * (x * y - rho / 2 * (x**2 + y**2)) - math.log(rest) / 2
        return of_pairs.sum(1)

    return Pair(draw, log_ratio)


def clustered(classes: int, features: int) -> Pair:
    """The means of both codes depend on a label that is not audited."""
    of_x, of_y = np.random.default_rng(5).standard_normal((2, classes, features))

    def draw(a: float, n: int, random: np.random.Generator) -> tuple[Array, Array]:
        label = random.integers(classes, size=n)
        noise = random.standard_normal((2, n, features))
        return a * of_x[label] + noise[0], a * of_y[label] + noise[1]

    def log_ratio(a: float, x: Array, y: Array) -> Array:
        of_label = [
            [-((z - a * mean) ** 2).sum(1) / 2 for mean in means]
            for z, means in ((x, of_x), (y, of_y))
        ]
        terms = [p + q for p, q in zip(*of_label, strict=True)]
        apart = logsumexp(of_label[0], axis=0) + logsumexp(of_label[1], axis=0)
        return np.asarray(logsumexp(terms, axis=0) - apart + math.log(classes))

    return Pair(draw, log_ratio)


KINDS: dict[str, Kind | Pair] = {
    "mean of 16, 3 labels": shift(3, 16),
    "mean of 64, 2 labels": shift(2, 64),
    "mean of 16, 9 labels": shift(9, 16),
    "spread of 16, 3 labels": spread(3, 16),
    "correlation in 8, 2 labels": sign(8),
    "mean of 16, a number": number(16, lambda y: y),
    "mean of 16, its absolute value": number(16, lambda y: np.abs(y) - math.sqrt(2 / math.pi)),
    "spread of 16, a number": number(16, lambda y: y, of_spread=True),
    "8 correlations of 8 and 8": correlated(8),
    "16 correlations of 16 and 16": correlated(16),
    "means of 8 and 8, 10 labels": clustered(10, 8),
}


def draw(kind: Kind, strength: float, n: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Returns codes and α."""
    y = random.integers(kind.classes, size=n) * 1.0 if kind.classes else random.standard_normal(n)
    noise = random.standard_normal((n, kind.features))
    if kind.correlated:
        rho = np.tanh(strength)
        noise[:, 0] = rho * (2 * y - 1) * noise[:, 1] + math.sqrt(1 - rho**2) * noise[:, 0]
    mean, log_deviation = kind.moments(strength, y)
    return mean + np.exp(log_deviation) * noise, y


def log_density(kind: Kind, strength: float, x: Array, y: Array) -> Array:
    """Returns the logarithm of the density of codes given α, up to a constant."""
    mean, log_deviation = kind.moments(strength, y)
    z = (x - mean) * np.exp(-log_deviation)
    density = -(z**2).sum(1) / 2 - log_deviation.sum(1)
    if kind.correlated:
        rho = np.tanh(strength)
        rest = 1 - rho**2
        moved = (x[:, 0] - rho * (2 * y - 1) * x[:, 1]) ** 2 / rest
        density += (x[:, 0] ** 2 - moved) / 2 - math.log(rest) / 2
    return density


def information(kind: Kind, strength: float, n: int = 20_000) -> float:
    """Returns what codes reveal about α in nats: a mean over samples, exact in α."""
    x, y = draw(kind, strength, n, np.random.default_rng(999))
    values = np.arange(kind.classes) * 1.0 if kind.classes else LEVELS
    weights = np.zeros(len(values)) if kind.classes else -(LEVELS**2) / 2
    weights = weights - logsumexp(weights)
    terms = [
        log_density(kind, strength, x, np.full(n, v)) + w
        for v, w in zip(values, weights, strict=True)
    ]
    return float((log_density(kind, strength, x, y) - logsumexp(terms, axis=0)).mean())


def shared(pair: Pair, strength: float, n: int = 200_000) -> float:
    """Returns what two codes share in nats, a mean over samples."""
    return float(
        pair.log_ratio(strength, *pair.draw(strength, n, np.random.default_rng(999))).mean()
    )


@cache
def strength_of(kind: Kind | Pair, nats: float) -> float:
    """Returns the strength at which codes reveal so much."""
    if isinstance(kind, Pair):
        return float(brentq(lambda a: shared(kind, a) - nats, 1e-3, 0.99, xtol=1e-3))
    return float(brentq(lambda a: information(kind, a) - nats, 1e-3, 1.5, xtol=1e-3))


def sample(name: str, nats: float, n: int, seed: int) -> tuple[Array, Array]:
    """Returns samples of codes that reveal so much."""
    kind, random = KINDS[name], np.random.default_rng(1000 + seed)
    if isinstance(kind, Pair):
        return kind.draw(strength_of(kind, nats), n, random)
    x, y = draw(kind, strength_of(kind, nats), n, random)
    return x, y.astype(int) if kind.classes else y


def row(job: tuple[str, float, float, int, int]) -> dict:
    """Returns the numbers of an audit."""
    name, share, epsilon, n, seed = job
    torch.set_num_threads(1)
    start = time.process_time()
    report = mireg.audit(*sample(name, share * epsilon, n, seed), epsilon=epsilon, seed=seed)
    found = {
        key: getattr(report, key)
        for key in ("verdict", "mi", "standard_error", "missed", "missed_error", "lower_bound")
    }
    assert report.curve is not None
    assert report.correlations is not None
    known = {
        "job": job,
        "estimates": report.curve.estimates,
        "correlations": report.correlations._asdict(),
    }
    return {**known, **found, "cpu_seconds": time.process_time() - start}


def table(rows: list[dict]) -> str:
    """Returns the verdicts of all kinds of codes, by target, number of samples and information."""
    lines = [
        "| ε | samples | revealed | audits | below | verdicts |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for epsilon, n in SETTINGS:
        for share in SHARES:
            chosen = [r for r in rows if list(r["job"][1:4]) == [share, epsilon, n]]
            verdicts = Counter(r["verdict"] for r in chosen)
            rest = ", ".join(f"{k} {v}" for k, v in sorted(verdicts.items()) if k != "below")
            lines.append(
                f"| {epsilon} | {n:,} | {share:g} ε | {len(chosen)} | {verdicts['below']} | {rest} |"
            )
    return "\n".join(lines)


def estimates(rows: list[dict]) -> str:
    """Returns what critics found of each kind of codes, and what correlations amount to, by the number of samples."""
    sizes = [n for _, n in SETTINGS]
    heads = [f"{n:,} samples, {what}" for n in sizes for what in ("critics", "correlations")]
    lines = ["| codes | revealed | " + " | ".join(heads) + " |"]
    lines.append("| --- " * (2 + len(heads)) + "|")
    for name in KINDS:
        for share in SHARES:
            cells = []
            for epsilon, n in SETTINGS:
                chosen = [r for r in rows if list(r["job"][:4]) == [name, share, epsilon, n]]
                for of in (lambda r: r["mi"], lambda r: r["correlations"]["nats"]):
                    cells.append(" and ".join(f"{of(r):.3f}" for r in chosen))
            lines.append(f"| {name} | {share * SETTINGS[0][0]:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    done = {tuple(row["job"]) for row in rows}
    jobs = [
        (name, share, epsilon, n, seed)
        for seed in range(options.seeds)
        for epsilon, n in SETTINGS
        for share in reversed(SHARES)
        for name in KINDS
    ]
    todo = [job for job in jobs if job not in done]
    known = {"torch": torch.__version__, "machine": platform.machine()}
    with ProcessPoolExecutor(options.processes) as pool:
        for found in tqdm(pool.map(row, todo), total=len(todo)):
            rows.append(found)
            options.out.write_text(json.dumps({**known, "rows": rows}, indent=1) + "\n")
    print(table(rows), estimates(rows), sep="\n\n")


if __name__ == "__main__":
    main()
