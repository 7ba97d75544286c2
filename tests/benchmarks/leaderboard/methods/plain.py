"""Nothing done, and nothing but a narrower code: what the others are measured from."""

from __future__ import annotations

import time

import torch
from tasks import Task
from training import Codes, Penalty, trained

from .base import Method


def raw(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Returns the inputs as they are."""
    return Codes(task.train.x, task.validation.x, task.test.x, notes={"fit_seconds": 0.0})


def pca(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Returns leading components: as many as the setting says."""
    start = time.monotonic()
    x = task.train.x.double()
    mean, count = x.mean(0), min(int(setting), x.shape[1])
    basis = torch.linalg.eigh((x - mean).T @ (x - mean))[1][:, -count:]
    parts = (task.train, task.validation, task.test)
    codes = [((part.x - mean) @ basis).float() for part in parts]
    return Codes(*codes, notes={"fit_seconds": round(time.monotonic() - start, 1)})


METHODS = {
    "raw": Method(raw, (0.0,), "nothing to set"),
    "encoder alone": Method(trained(Penalty), (0.0,), "nothing to set"),
    "PCA": Method(pca, (2, 4, 8, 16, 32, 64), "components"),
}
