"""Linear erasure: LEACE and its quadratic kind in closed form, INLP, and LEACE on features of a
kernel. They map inputs that exist, and no encoder is trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from tasks import Task
from torch import Tensor
from training import Codes

from .base import Method

DIMENSIONS = (300, 128, 64, 32, 16, 8)
"""How many leading components an eraser is given: 300 are all of them."""


def components(task: Task, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns leading principal components of all splits, in double precision."""
    x = task.train.x.double()
    mean, parts = x.mean(0), (task.train, task.validation, task.test)
    if count >= x.shape[1]:
        a, b, c = (part.x.double() - mean for part in parts)
    else:
        basis = torch.linalg.eigh((x - mean).T @ (x - mean))[1][:, -count:]
        a, b, c = ((part.x.double() - mean) @ basis for part in parts)
    return a, b, c


def roots(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the square root of a covariance and that of its pseudo-inverse."""
    values, vectors = torch.linalg.eigh(covariance)
    there = values > 1e-8 * values.amax()
    root = torch.where(there, values.clamp(min=0), 0.0).sqrt()
    inverse = torch.where(there, 1 / root, 0.0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T


def leace(x: Tensor, s: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
    """Fits least-squares concept erasure: Theorem 4.3 of Belrose et al., 2023."""
    mean, z = x.mean(0), F.one_hot(s, classes).double()
    centred = x - mean
    back, whiten = roots(centred.T @ centred / len(x))
    directions, strengths, _ = torch.linalg.svd(
        whiten @ (centred.T @ (z - z.mean(0)) / len(x)), full_matrices=False
    )
    kept = directions[:, strengths > 1e-7 * strengths.amax()]
    projection = back @ kept @ kept.T @ whiten
    return lambda rows: rows - (rows - mean) @ projection.T


def erased(
    task: Task, count: int, fit: Callable[[Tensor, Tensor, int], Callable[[Tensor], Tensor]]
) -> Codes:
    """Fits an eraser on the training components and applies it to all."""
    start = time.monotonic()
    parts = components(task, count)
    erase = fit(parts[0], task.train.s, task.classes)
    codes = [erase(part).float() for part in parts]
    return Codes(*codes, notes={"fit_seconds": round(time.monotonic() - start, 1)})


def run_leace(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Erases what is linear."""
    return erased(task, int(setting), leace)


def run_quadratic(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Moves the mean and the covariance of each group to those of the barycentre: the transport of
    Gaussians of Belrose et al., 2023, appendix.
    """
    start = time.monotonic()
    parts = components(task, int(setting))
    x, s = parts[0], task.train.s
    share = torch.bincount(s, minlength=task.classes) / len(s)
    means = [x[s == c].mean(0) for c in range(task.classes)]
    covariances = [torch.cov(x[s == c].T) for c in range(task.classes)]
    # A group of few rows has directions without variance: all get a little.
    little = 1e-3 * torch.cov(x.T).diagonal().mean() * torch.eye(x.shape[1], dtype=x.dtype)
    covariances = [covariance + little for covariance in covariances]
    middle = sum(w * c for w, c in zip(share, covariances, strict=True))
    for _ in range(30):
        # The fixed point of Alvarez-Esteban et al., 2016.
        root, inverse = roots(middle)
        total = sum(w * roots(root @ c @ root)[0] for w, c in zip(share, covariances, strict=True))
        middle = inverse @ total @ total @ inverse
    mean = sum(w * m for w, m in zip(share, means, strict=True))
    maps = []
    for covariance in covariances:
        root, inverse = roots(covariance)
        maps.append(inverse @ roots(root @ middle @ root)[0] @ inverse)
    codes = []
    for part, rows in zip(parts, (task.train, task.validation, task.test), strict=True):
        moved = torch.empty_like(part)
        for c in range(task.classes):
            there = rows.s == c
            moved[there] = (part[there] - means[c]) @ maps[c].T + mean
        codes.append(moved.float())
    return Codes(*codes, notes={"fit_seconds": round(time.monotonic() - start, 1)})


def run_inlp(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Iterative nullspace projection (Ravfogel et al., 2020): directions of linear classifiers are
    projected out, again and again.
    """

    def fit(x: Tensor, s: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
        torch.manual_seed(seed)
        unit, removed = x.std(), x.new_zeros(0, x.shape[1])
        for _ in range(int(setting)):
            left = ((x - (x @ removed.T) @ removed) / unit).float()
            weight = torch.zeros(x.shape[1], classes, requires_grad=True)
            bias = torch.zeros(classes, requires_grad=True)
            optimizer = torch.optim.Adam([weight, bias], lr=0.03)
            for _ in range(150):
                rows = torch.randint(len(left), (1024,))
                loss = F.cross_entropy(left[rows] @ weight + bias, s[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            found = (weight - weight.mean(1, keepdim=True)).detach().double()
            directions, strengths, _ = torch.linalg.svd(found, full_matrices=False)
            new = directions[:, strengths > 1e-4 * strengths.amax()][:, : classes - 1]
            removed = torch.linalg.qr(torch.cat((removed, new.T)).T)[0].T
            if len(removed) >= x.shape[1] - 1:
                break
        return lambda rows: rows - (rows @ removed.T) @ removed

    return erased(task, DIMENSIONS[0], fit)


def run_kernelised(task: Task, setting: float, seed: int, device: str) -> Codes:
    """LEACE on 256 random features of a Gaussian kernel, whose width is the setting times the
    median distance.
    """

    def fit(x: Tensor, s: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
        torch.manual_seed(seed)
        median = torch.pdist(x[torch.randperm(len(x))[:2000]]).median()
        frequencies = torch.randn(x.shape[1], 256, dtype=x.dtype) / (setting * median)
        phases = 2 * torch.pi * torch.rand(256, dtype=x.dtype)
        features = lambda rows: (rows @ frequencies + phases).cos()
        erase = leace(features(x), s, classes)
        return lambda rows: erase(features(rows))

    return erased(task, 64, fit)


METHODS = {
    "LEACE": Method(run_leace, DIMENSIONS, "leading components"),
    "quadratic LEACE": Method(
        run_quadratic, DIMENSIONS, "leading components", needs_attribute=True
    ),
    "INLP": Method(run_inlp, (1, 4, 10, 20, 40, 80), "rounds"),
    "LEACE on a kernel": Method(
        run_kernelised, (0.15, 0.3, 0.5, 1.0, 2.0, 4.0), "width of the kernel"
    ),
}
