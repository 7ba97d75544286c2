r"""What the networks of critics are made of."""

__all__ = ["LeakyReLU", "Octaves", "mlp", "shown_in_octaves"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeakyReLU(nn.Module):
    """Creates the nonlinearity of critics, with a slope of 0.2 below 0. It works in place.

    It has a slope everywhere: encoders push critics about, and of units that can die most do, at the rates that critics need.
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


class Octaves(nn.Module):
    r"""Creates features that show fine detail to a network: sines and cosines of each octave, beside the code.

    .. math:: x \mapsto [x, \sin x, \cos x, \sin 2x, \cos 2x, \dots, \sin 2^{k-1} x, \cos 2^{k-1} x]

    A perceptron learns what is smooth first (Tancik et al., 2020, "Fourier Features Let Networks Learn High Frequency
    Functions in Low Dimensional Domains"), and a code of little noise can hide information at a scale that it never
    gets to.

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
        self.register_buffer("frequencies", 2.0 ** torch.arange(count), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        angles = (x[..., None] * self.frequencies).flatten(-2)
        return torch.cat((x, angles.sin(), angles.cos()), dim=-1)

    def extra_repr(self) -> str:
        return str(len(self.frequencies))


def shown_in_octaves(features: int, octaves: int) -> tuple[nn.Module, int]:
    """Gives the layer that shows so many features in octaves, and how many features that makes; nothing is added for none."""
    layer = Octaves(octaves) if octaves else nn.Identity()
    return layer, features * (1 + 2 * octaves)
