r"""Layers of the critics' networks."""

__all__ = ["LeakyReLU", "LinearPlus", "Octaves", "mlp", "pooled", "shown_in_octaves"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import Shape, as_shape

FLATTENED = 512
"""Codes of any shape are flattened up to so many numbers."""


class LeakyReLU(nn.Module):
    """Creates the nonlinearity of critics, with a slope of 0.2 below 0. It works in place.

    At the learning rates that critics need, units with a zero slope die.

    Example:
        >>> LeakyReLU()(torch.tensor([1.0, -1.0]))
        tensor([ 1.0000, -0.2000])
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            # Equal, and faster if compiled: booleans on a CPU cost more than the layers around
            # them.
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
    r"""Creates Fourier features, which help a network to learn fine detail.

    .. math:: x \mapsto [x, \sin x, \cos x, \sin 2x, \cos 2x, \dots, \cos 2^{k-1} x]

    References:
        | Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains
        | (Tancik et al., 2020), https://arxiv.org/abs/2006.10739

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
    """Creates the layer that moves the features of tokens to the dimension of channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def pooled(features: Shape, width: int) -> tuple[nn.Module, int]:
    """Returns the first layers of a critic for codes of any shape, and the width of their output.

    Token sequences :math:`(L, C)`, maps :math:`(C, H, W)` and volumes :math:`(C, D, H, W)` pass a
    projection to `width` channels, a convolution and a pooling to a coarse grid, so that the size
    of a critic does not depend on theirs. Vectors are unchanged, and other shapes flattened. So are
    codes of at most 512 numbers, since a convolution would take several times as long.

    Example:
        >>> layers, outputs = pooled((8, 16, 16), width=32)
        >>> outputs, layers(torch.randn(4, 8, 16, 16)).shape
        (128, torch.Size([4, 128]))
    """
    shape = as_shape(features)
    if not 2 <= len(shape) <= 4 or math.prod(shape) <= FLATTENED:
        return nn.Flatten(), math.prod(shape)
    tokens = len(shape) == 2
    channels, *sides = reversed(shape) if tokens else shape
    # A coarse grid keeps the position of a feature, which matters as much as its presence.
    cells = tuple(min(4 if tokens else 2, side) for side in sides)
    convolve: type[nn.Module] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(sides) - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[len(sides) - 1]
    layers: list[nn.Module] = [_LastFirst()] if tokens else []
    layers += [convolve(channels, width, 1), LeakyReLU()]
    layers += [convolve(width, width, 3, padding=1), LeakyReLU(), pool(cells), nn.Flatten()]
    return nn.Sequential(*layers), width * math.prod(cells)
