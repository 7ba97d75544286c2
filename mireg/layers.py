r"""What the networks of critics are made of."""

__all__ = ["LeakyReLU", "LinearPlus", "Octaves", "mlp", "pooled", "shown_in_octaves"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import Shape, as_shape


class LeakyReLU(nn.Module):
    """Creates the nonlinearity of critics, with a slope of 0.2 below 0. It works in place.

    It has a slope everywhere. Units without one die at the learning rates that critics need.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            # The same by another formula: compiled for a CPU, the booleans of the other cost more than the layers around it.
            return 0.6 * x + 0.4 * x.abs()
        return F.leaky_relu(x, 0.2, inplace=True)


def mlp(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """Creates a network with `depth` hidden layers of `width` units."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), LeakyReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class LinearPlus(nn.Module):
    """Creates the sum of a linear map and a network with `depth` hidden layers of `width` units."""

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()

        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.mlp = mlp(inputs, width, depth, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.linear(x), self.mlp(x))


class Octaves(nn.Module):
    r"""Creates features that show fine detail to a network: sines and cosines of each octave, beside the code.

    .. math:: x \mapsto [x, \sin x, \cos x, \sin 2x, \cos 2x, \dots, \sin 2^{k-1} x, \cos 2^{k-1} x]

    References:
        | Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains (Tancik et al., 2020)
        | https://arxiv.org/abs/2006.10739

    Arguments:
        count: The number :math:`k` of octaves.

    Example:
        >>> Octaves(5)(torch.randn(8, 3)).shape
        torch.Size([8, 33])
    """

    frequencies: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()

        if count < 0:
            raise ValueError(f"the number of octaves must be 0 or above, got {count}")
        self.register_buffer("frequencies", 2.0 ** torch.arange(count))

    def forward(self, x: Tensor) -> Tensor:
        angles = (x[..., None] * self.frequencies).flatten(-2)
        return torch.cat((x, angles.sin(), angles.cos()), dim=-1)

    def extra_repr(self) -> str:
        return str(len(self.frequencies))


def shown_in_octaves(features: int, octaves: int) -> tuple[nn.Module, int]:
    """Returns the octave layer (the identity for 0 octaves) and its output width."""
    layer = Octaves(octaves) if octaves else nn.Identity()
    return layer, features * (1 + 2 * octaves)


class _LastFirst(nn.Module):
    """Moves the features of token sequences, the last dimension, to where convolutions expect them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def pooled(features: Shape, width: int) -> tuple[nn.Module, int]:
    """Creates the first layers of a critic for codes of any shape, and returns them with the number of features that they give.

    Maps :math:`(C, H, W)` and token sequences :math:`(L, C)` are projected to `width` channels, seen by one convolution, and averaged over a coarse grid, so
    that the size of a critic does not grow with that of a map. Vectors pass unchanged, and other shapes are flattened.
    """
    shape = as_shape(features)
    if len(shape) not in (2, 3):
        return nn.Flatten(), math.prod(shape)
    layers: list[nn.Module] = []
    convolve: type[nn.Module]
    pool: nn.Module
    if len(shape) == 3:
        # Where a feature is matters as much as that it is: a coarse grid survives the averaging.
        cells = min(2, shape[1]), min(2, shape[2])
        convolve, pool = nn.Conv2d, nn.AdaptiveAvgPool2d(cells)
        parts = math.prod(cells)
    else:
        parts = min(4, shape[0])
        convolve, pool = nn.Conv1d, nn.AdaptiveAvgPool1d(parts)
        layers = [_LastFirst()]
    channels = shape[0] if len(shape) == 3 else shape[1]
    layers += [convolve(channels, width, 1), LeakyReLU()]
    layers += [convolve(width, width, 3, padding=1), LeakyReLU(), pool, nn.Flatten()]
    return nn.Sequential(*layers), width * parts
