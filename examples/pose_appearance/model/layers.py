"""The blocks that encoders and decoder are built from, in channels-last memory."""

__all__ = ["Modulation", "ResidualBlock", "RMSNorm", "downsample", "upsample"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Creates a root-mean-square normalisation over the channels of each pixel.

    It sees one sample at a time, so no statistics of the batch leak from one code into another.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In channels-last memory the permutations are free.
        x = F.rms_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, 1e-6)
        return x.permute(0, 3, 1, 2)


class Modulation(nn.Module):
    """Creates a scale and a shift of the channels, given by a condition."""

    def __init__(self, condition: int, channels: int) -> None:
        super().__init__()

        self.linear = nn.Linear(condition, 2 * channels)
        nn.init.normal_(self.linear.weight, std=0.5 * condition**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.linear(condition).chunk(2, dim=1)
        return x * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


class ResidualBlock(nn.Module):
    """Creates a residual block of two convolutions, each modulated by a condition where there is one.

    Arguments:
        channels: The channels.
        condition: The features of the condition, 0 for none.
        kernels: The sizes of the convolutions.
    """

    def __init__(
        self, channels: int, condition: int = 0, kernels: tuple[int, int] = (3, 3)
    ) -> None:
        super().__init__()

        self.norm1, self.norm2 = RMSNorm(channels), RMSNorm(channels)
        self.conv1, self.conv2 = (
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for kernel in kernels
        )
        nn.init.zeros_(self.conv2.weight)
        self.modulations = nn.ModuleList(
            Modulation(condition, channels) for _ in range(2) if condition
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.norm1(x)
        if condition is not None:
            h = self.modulations[0](h, condition)
        h = self.norm2(self.conv1(F.silu(h)))
        if condition is not None:
            h = self.modulations[1](h, condition)
        return x + self.conv2(F.silu(h))


def downsample(inputs: int, outputs: int) -> nn.Module:
    """Creates a layer that halves the resolution."""
    return nn.Conv2d(inputs, outputs, 2, stride=2)


def upsample(inputs: int, outputs: int) -> nn.Module:
    """Creates a layer that doubles the resolution."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2), ChannelsLast())


class ChannelsLast(nn.Module):
    """Creates a layer that restores the memory format, which shuffling pixels loses."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)
