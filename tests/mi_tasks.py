"""Pairs of variables whose mutual information is known in closed form.

Forty of them follow Czyż et al., "Beyond Normal: On the Evaluation of Mutual Information Estimators" (NeurIPS 2023):
normal, Student and uniform variables, and transformations of each side that leave the information as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr, psi

Random = np.random.Generator
Pair = tuple[np.ndarray, np.ndarray]


class Task(NamedTuple):
    """A pair of variables: `sample(n, random)` draws it, `mi` is what they share, in nats."""

    name: str
    mi: float
    sample: Callable[[int, Random], Pair]


# --- normal variables -------------------------------------------------------


def normal_mi(covariance: np.ndarray, d: int) -> float:
    det = [np.linalg.slogdet(c)[1] for c in (covariance[:d, :d], covariance[d:, d:], covariance)]
    return (det[0] + det[1] - det[2]) / 2


def multinormal(name: str, d: int, covariance: np.ndarray) -> Task:
    root = np.linalg.cholesky(covariance)

    def sample(n: int, random: Random) -> Pair:
        z = random.standard_normal((n, 2 * d)) @ root.T
        return z[:, :d], z[:, d:]

    return Task(name, normal_mi(covariance, d), sample)


def dense(d: int, correlation: float = 0.5) -> Task:
    """All coordinates correlate with all."""
    covariance = np.full((2 * d, 2 * d), correlation) + (1 - correlation) * np.eye(2 * d)
    return multinormal(f"dense {d}x{d}", d, covariance)


def paired(d: int, pairs: int, correlation: float, name: str | None = None) -> Task:
    """The first coordinates correlate pair by pair, and the others are noise."""
    covariance = np.eye(2 * d)
    for i in range(pairs):
        covariance[i, d + i] = covariance[d + i, i] = correlation
    return multinormal(name or f"2 pairs {d}x{d}", d, covariance)


def gaussian(d: int, mi: float) -> Task:
    """All coordinates correlate pair by pair, so that they share `mi` nats."""
    return paired(d, d, math.sqrt(1 - math.exp(-2 * mi / d)), f"Gaussian {d}x{d}, {mi:g} nats")


# --- other variables --------------------------------------------------------


def student(d: int, freedom: int) -> Task:
    """A Student variable without correlation: one common scale is what the sides share."""

    def entropy(k: int) -> float:
        half = (freedom + k) / 2
        log_scale = gammaln(half) - gammaln(freedom / 2) - k / 2 * math.log(freedom * math.pi)
        return -log_scale + half * (psi(half) - psi(freedom / 2))

    def sample(n: int, random: Random) -> Pair:
        z = random.standard_normal((n, 2 * d)) * np.sqrt(
            freedom / random.chisquare(freedom, (n, 1))
        )
        return z[:, :d], z[:, d:]

    return Task(f"Student {d}x{d}, {freedom} dof", 2 * entropy(d) - entropy(2 * d), sample)


def additive(noise: float) -> Task:
    """A uniform variable, and the same with uniform noise."""
    mi = noise - math.log(2 * noise) if noise <= 0.5 else 1 / (4 * noise)

    def sample(n: int, random: Random) -> Pair:
        x = random.uniform(size=(n, 1))
        return x, x + random.uniform(-noise, noise, (n, 1))

    return Task(f"additive noise {noise:g}", mi, sample)


def xor() -> Task:
    """The sign of y is the product of the signs of two coordinates: each pair of coordinates is independent."""

    def sample(n: int, random: Random) -> Pair:
        x = random.standard_normal((n, 2))
        y = np.abs(random.standard_normal((n, 1))) * np.sign(x[:, :1] * x[:, 1:])
        return x, y

    return Task("exclusive or", math.log(2), sample)


def labels(classes: int, correct: float, d: int = 8) -> Task:
    """A label, and a code that is one corner of a cube for each label, wrong with some probability, under noise too small to matter."""
    corners = np.array([[(c >> i & 1) * 2.0 - 1 for i in range(d)] for c in range(classes)])
    wrong = (1 - correct) / (classes - 1)
    mi = math.log(classes) + correct * math.log(correct) + (1 - correct) * math.log(wrong)

    def sample(n: int, random: Random) -> Pair:
        y = random.integers(classes, size=n)
        shift = random.integers(1, classes, size=n) * (random.uniform(size=n) > correct)
        return corners[(y + shift) % classes] + 0.1 * random.standard_normal((n, d)), y

    return Task(f"{classes} labels, {correct:g} correct", mi, sample)


# --- transformations --------------------------------------------------------


def half_cube(x: np.ndarray) -> np.ndarray:
    return x * np.sqrt(np.abs(x))


def wiggle(x: np.ndarray) -> np.ndarray:
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def bimodal(x: np.ndarray) -> np.ndarray:
    """The map of a normal variable to a mixture of two, found on a grid."""
    grid = np.linspace(-8, 8, 20_001)
    mixture = 0.4 * ndtr((grid + 2) / 0.5) + 0.6 * ndtr((grid - 1) / 0.7)
    return np.interp(ndtr(x), mixture, grid)


def swiss_roll(x: np.ndarray) -> np.ndarray:
    t = 1.5 * math.pi * (1 + 2 * ndtr(x))
    return np.concatenate((t * np.cos(t), t * np.sin(t)), axis=1) / 21


def spiral(plane: int) -> Callable[[np.ndarray], np.ndarray]:
    """Turns the plane of two neighbouring coordinates by an angle that grows with the squared length."""

    def turn(x: np.ndarray) -> np.ndarray:
        angle = (x**2).sum(1) / x.shape[1]
        x = x.copy()
        a, b = x[:, plane].copy(), x[:, plane + 1].copy()
        x[:, plane] = a * np.cos(angle) - b * np.sin(angle)
        x[:, plane + 1] = a * np.sin(angle) + b * np.cos(angle)
        return x

    return turn


def through(name: str, task: Task, of_x: Callable, of_y: Callable | None = None) -> Task:
    def sample(n: int, random: Random) -> Pair:
        x, y = task.sample(n, random)
        return of_x(x), (of_y or of_x)(y)

    return Task(f"{name} of {task.name}", task.mi, sample)


def _beyond_normal() -> list[Task]:
    pair = paired(1, 1, 0.75, "normal 1x1")
    two = {d: paired(d, 2, 0.8) for d in (2, 3, 5, 25)}
    cdf = {d: through("CDF", task, ndtr) for d, task in two.items()}
    heavy = [student(d, f) for d, f in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))]
    return [
        pair,
        through("CDF", pair, ndtr),
        through("bimodal map", pair, bimodal),
        through("wiggle", pair, wiggle),
        through("half-cube", pair, half_cube),
        through("Swiss roll", pair, swiss_roll, ndtr),
        additive(0.1),
        additive(0.75),
        *heavy,
        *(through("asinh", heavy[i], np.arcsinh) for i in (0, 1, 3, 5)),
        *(dense(d) for d in (2, 3, 5, 25, 50)),
        *two.values(),
        *cdf.values(),
        through("half-cube", two[5], half_cube),
        through("half-cube", two[25], half_cube),
        *(through("spiral", two[d], spiral(0), spiral(1)) for d in (3, 5, 25)),
        *(through("spiral", cdf[d], spiral(0), spiral(1)) for d in (3, 5, 25)),
    ]


BEYOND_NORMAL = _beyond_normal()
"""The forty tasks of Beyond Normal."""

OTHERS = [
    xor(),
    labels(2, 0.9),
    labels(10, 0.7),
    labels(200, 0.8),
    *(gaussian(20, mi) for mi in (2, 4, 6, 8, 10)),
]
"""What that benchmark lacks: dependence that no pair of coordinates shows, labels, and much information."""
