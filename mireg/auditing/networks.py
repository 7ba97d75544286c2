r"""The networks of the panel, one per fold: the fold is the first dimension of every tensor.

Pairs are an index: each sample with itself and with other samples of its batch.
"""

__all__ = ["Concatenated", "FoldLinear", "FoldMLP", "Separable", "Towers"]

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import shown_in_octaves


class FoldLinear(nn.Module):
    """Creates one linear layer per fold, from (F, N, inputs) to (F, N, outputs)."""

    def __init__(self, folds: int, inputs: int, outputs: int) -> None:
        super().__init__()

        bound = math.sqrt(1 / inputs)
        self.weight = nn.Parameter(torch.empty(folds, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(folds, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class FoldMLP(nn.Sequential):
    """Creates one perceptron per fold, with `depth` hidden layers."""

    def __init__(
        self, folds: int, inputs: int, width: int, depth: int, outputs: int, dropout: float
    ) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [FoldLinear(folds, inputs, width), nn.SiLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            inputs = width
        last = FoldLinear(folds, inputs, outputs)
        # Initially, critics output 0: independence.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(*layers, last)


def _paired(y: Tensor, index: Tensor) -> Tensor:
    """Returns the rows of (F, N, E) at an index (K, N), with shape (F, K, N, E)."""
    return y[:, index]


class Concatenated(nn.Module):
    """Creates a perceptron on both codes, whose first layer is computed once per code.

    Arguments:
        folds: The number of folds.
        x_features: The number of features of the first code.
        y_features: The number of features of the second.
        width: The number of hidden units.
        dropout: The dropout probability of hidden units.
        octaves: The number of octaves of sines and cosines that are added to the codes.
    """

    def __init__(
        self,
        folds: int,
        x_features: int,
        y_features: int,
        width: int,
        dropout: float = 0.0,
        octaves: int = 0,
    ) -> None:
        super().__init__()

        self.octaves, x_inputs = shown_in_octaves(x_features, octaves)
        _, y_inputs = shown_in_octaves(y_features, octaves)
        self.of_x = FoldLinear(folds, x_inputs, width)
        self.of_y = FoldLinear(folds, y_inputs, width)
        self.head = FoldMLP(folds, width, width, 1, 1, 0.0)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        # Dropout per code, not per pair: random numbers for all pairs would take most of a step.
        of_x = self.dropout(self.of_x(self.octaves(x)))
        of_y = self.dropout(self.of_y(self.octaves(y)))
        h = F.silu(of_x[:, None] + _paired(of_y, index))
        logits: Tensor = self.head(h.flatten(1, 2))
        return logits.view(len(x), *index.shape)


class Separable(nn.Module):
    """Creates two towers with an inner product, and a term for each code alone."""

    def __init__(
        self, folds: int, x_features: int, y_features: int, width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()

        self.of_x = FoldMLP(folds, x_features, width, 2, width + 1, dropout)
        self.of_y = FoldMLP(folds, y_features, width, 2, width + 1, dropout)
        # If both towers started at 0, neither would ever get a gradient.
        for tower in (self.of_x, self.of_y):
            nn.init.normal_(cast(Tensor, tower[-1].weight), std=0.3 * width**-0.5)

    def forward(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        g, h = self.of_x(x), self.of_y(y)
        alone = g[..., -1:].mT + _paired(h[..., -1:], index).squeeze(-1)
        products = (g[:, None, :, :-1] * _paired(h[..., :-1], index)).sum(-1)
        return cast(Tensor, products + alone)


class Towers(nn.Module):
    r"""Creates two towers (linear maps plus three hidden layers) with an inner product.

    .. math:: T(\pi, \alpha) = w^{-1/2} \langle g(\pi), h(\alpha) \rangle + a(\pi) + b(\alpha)

    Arguments:
        folds: The number of folds.
        x_features: The number of features of the first code.
        y_features: The number of features of the second.
        width: The number :math:`w` of hidden units, and of outputs in the product.
        dropout: The dropout probability of hidden units.
    """

    def __init__(
        self, folds: int, x_features: int, y_features: int, width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()

        sizes = (x_features, y_features)
        self.linear = nn.ModuleList(FoldLinear(folds, n, width + 1) for n in sizes)
        self.deep = nn.ModuleList(FoldMLP(folds, n, width, 3, width + 1, dropout) for n in sizes)
        self.width = width
        for tower in self.deep:
            nn.init.normal_(cast(Tensor, cast(FoldMLP, tower)[-1].weight), std=0.5 * width**-0.5)

    def towers(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the towers' outputs, with shape (F, N, w + 1): w factors, and a term to add."""
        g, h = (
            linear(codes) + deep(codes)
            for linear, deep, codes in zip(self.linear, self.deep, (x, y), strict=True)
        )
        return g, h

    def forward(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        g, h = self.towers(x, y)
        alone = g[..., -1:].mT + _paired(h[..., -1:], index).squeeze(-1)
        products = (g[:, None, :, :-1] * _paired(h[..., :-1], index)).sum(-1)
        return cast(Tensor, alone + products * self.width**-0.5)

    def every(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the logits of each row of x with each row of y, with shape (F, N, M)."""
        g, h = self.towers(x, y)
        alone = g[..., -1:] + h[..., -1:].mT
        return torch.baddbmm(alone, g[..., :-1], h[..., :-1].mT, alpha=self.width**-0.5)
