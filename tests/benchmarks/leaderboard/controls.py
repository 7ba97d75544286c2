"""Rows that the judge has to get right: an attribute that is shuffled, a planted XOR, and a truth
that is known.
"""

from __future__ import annotations

import math

import torch
from judge import Labelled, Splits
from torch import Tensor

SIZES = (24_000, 6_000, 12_000)
FLIPPED = 0.1
XOR = math.log(2) + FLIPPED * math.log(FLIPPED) + (1 - FLIPPED) * math.log(1 - FLIPPED)
"""What the planted codes tell, in nats: the entropy of a fair coin less that of a flip."""


def cut(x: Tensor, s: Tensor, sizes: tuple[int, ...] = SIZES) -> Splits:
    """Cuts rows into three splits."""
    parts = zip(x.split(sizes), s.split(sizes), strict=True)
    return Splits(*(Labelled(a, b) for a, b in parts))


def planted_xor(sizes: tuple[int, ...] = SIZES, features: int = 8, seed: int = 0) -> Splits:
    """Plants a bit that only the signs of two features together tell, a tenth of it flipped."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    x = torch.randn(n, features, generator=generator)
    bit = (x[:, 0] > 0) ^ (x[:, 1] > 0)
    flipped = torch.rand(n, generator=generator) < FLIPPED
    return cut(x, (bit ^ flipped).long(), sizes)


def shifted_gaussians(
    sizes: tuple[int, ...] = SIZES, shift: float = 1.0, features: int = 8, seed: int = 0
) -> tuple[Splits, float]:
    """Returns codes whose first feature is shifted with a fair bit, and what they tell, by
    quadrature.
    """
    generator = torch.Generator().manual_seed(seed)
    s = torch.randint(2, (sum(sizes),), generator=generator)
    x = torch.randn(sum(sizes), features, generator=generator)
    x[:, 0] += shift * (s - 0.5)
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.double)
    density = [torch.exp(-((grid - c * shift / 2) ** 2) / 2) for c in (-1, 1)]
    density = [p / (2 * math.pi) ** 0.5 for p in density]
    both = (density[0] + density[1]) / 2
    told = sum(torch.trapezoid(p * (p / both).clamp(min=1e-300).log(), grid) / 2 for p in density)
    return cut(x, s, sizes), float(told)


def shuffled(splits: Splits, seed: int = 0) -> Splits:
    """Returns the splits with an attribute that has nothing to do with the codes."""
    generator = torch.Generator().manual_seed(seed)
    return Splits(
        *(
            Labelled(part.x, part.t[torch.randperm(len(part.t), generator=generator)])
            for part in splits
        )
    )
