"""Mixtures: factors of content and a style of ten kinds, mixed by a random network.

A code and the style rebuild the observation. The code must not reveal the style. What it reveals
about the content is known: the quality is the share of the factors' variance that it explains.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Rows, Task

SOURCE = "mixtures"
SIZES = (48_000, 6_000, 16_000)
FACTORS, STYLES, HIDDEN, FEATURES = 4, 10, 64, 32


def read() -> dict[str, np.ndarray]:
    """Returns nothing: the arrays are drawn."""
    return {}


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Draws the task, always the same."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n = sum(SIZES)
    means = 1.5 * normal(STYLES, 4)
    first = 1.5 * normal(FACTORS + 4, HIDDEN) / (FACTORS + 4) ** 0.5
    second = 1.5 * normal(HIDDEN, FEATURES) / HIDDEN**0.5
    style = torch.randint(STYLES, (n,), generator=generator)
    content = normal(n, FACTORS)
    x = torch.tanh(torch.tanh(torch.cat((means[style], content), 1) @ first) @ second)
    rows = Rows(x, style, content)
    parts = [Rows(*columns) for columns in zip(*(c.split(SIZES) for c in rows), strict=True)]
    return Task(name, *parts, classes=STYLES, targets=0, features=8, price=10.0)
