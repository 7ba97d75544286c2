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
        weight = self.weight.to(x.dtype)
        x = F.rms_norm(x.permute(0, 2, 3, 1), weight.shape, weight, 1e-6)
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
        if x.ndim == 4:
            scale, shift = scale[:, :, None, None], shift[:, :, None, None]
        return x * (1 + scale) + shift


class ResidualBlock(nn.Module):
    """Creates a residual block of two 3x3 convolutions, modulated by a condition where there is
    one.
    """

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()

        self.norm1, self.norm2 = RMSNorm(channels), RMSNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        self.modulation = Modulation(condition, channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.modulation is not None:
            h = self.modulation(h, condition)
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
