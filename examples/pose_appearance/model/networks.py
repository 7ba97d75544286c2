"""The encoders of pose and appearance, and the decoder."""

__all__ = ["AppearanceEncoder", "Decoder", "PoseEncoder"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ChannelsLast, Modulation, ResidualBlock, RMSNorm, downsample, upsample


class AppearanceEncoder(nn.Module):
    """Creates the encoder of a deterministic code.

    Patches become channels first, so that all convolutions work at coarse resolutions.

    Arguments:
        size: The size of the images, in pixels.
        patch: The size of a patch, in pixels.
        widths: The channels of each resolution, from fine to coarse; each is half the one before.
        blocks: The residual blocks of each resolution.
        features: The number of features of the code.
    """

    def __init__(
        self, size: int, patch: int, widths: tuple[int, ...], blocks: int, features: int
    ) -> None:
        super().__init__()

        layers: list[nn.Module] = [nn.PixelUnshuffle(patch), ChannelsLast()]
        channels = 3 * patch**2
        for width in widths:
            layers += [downsample(channels, width), *(ResidualBlock(width) for _ in range(blocks))]
            channels = width
        side = size // (patch * 2 ** len(widths))
        self.body = nn.Sequential(*layers, RMSNorm(channels), nn.SiLU(), nn.Flatten())
        self.head = nn.Linear(channels * side**2, features)
        nn.init.normal_(self.head.weight, std=0.5 * self.head.in_features**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class PoseEncoder(nn.Module):
    r"""Creates the encoder of a Gaussian code that is a small map, each cell of which sees its part of the image.

    A cell that sees legs cannot tell whose they are, and so codes the legs of all characters alike. An encoder that
    sees everything at once may number the poses of each kind of character in its own way: :math:`I(\pi, \alpha)` is
    0 then as well, and yet no other character can be drawn from the code.

    Arguments:
        patch: The size of a patch, in pixels.
        widths: The channels of each resolution, from fine to coarse; each is half the one before.
        blocks: The residual blocks of each resolution.
        features: The number of features of a cell.
    """

    def __init__(self, patch: int, widths: tuple[int, ...], blocks: int, features: int) -> None:
        super().__init__()

        layers: list[nn.Module] = [nn.PixelUnshuffle(patch), ChannelsLast()]
        channels = 3 * patch**2
        for i, width in enumerate(widths):
            # One convolution a resolution looks beyond its cell, and none at the coarsest.
            kernels = (1 if i == len(widths) - 1 else 3, 1)
            layers.append(downsample(channels, width))
            layers += [ResidualBlock(width, kernels=kernels) for _ in range(blocks)]
            channels = width
        self.body = nn.Sequential(*layers, RMSNorm(channels), nn.SiLU())
        self.head = nn.Conv2d(channels, 2 * features, 1)
        nn.init.normal_(self.head.weight, std=0.5 * channels**-0.5)
        nn.init.zeros_(self.head.bias)
        # Little noise at first: a decoder that sees none of the pose learns to ignore it.
        nn.init.constant_(self.head.bias[features:], -2.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gives mean and log-variance, with shape (N, features * cells), feature by feature."""
        mean, log_var = self.head(self.body(x)).chunk(2, dim=1)
        return mean.flatten(1), log_var.clamp(-14, 6).flatten(1)


class Decoder(nn.Module):
    r"""Creates the decoder: the pose code is a coarse map, and the appearance code modulates all that it grows into.

    Arguments:
        side: The side of the map of the pose code, in cells.
        patch: The size of a patch, in pixels: the last layer draws patches.
        widths: The channels of each resolution, from coarse to fine; each is twice the one before.
        blocks: The residual blocks of each resolution.
        pi_features: The number of features of a cell of :math:`\pi`.
        alpha_features: The number of features of :math:`\alpha`.
        condition: The features of the appearance that modulate.
    """

    def __init__(
        self,
        side: int,
        patch: int,
        widths: tuple[int, ...],
        blocks: int,
        pi_features: int,
        alpha_features: int,
        condition: int = 256,
    ) -> None:
        super().__init__()

        self.map_shape = (pi_features, side, side)
        self.appearance = nn.Sequential(
            nn.Linear(alpha_features, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        # Neighbours agree on the pose before they learn of the appearance.
        self.pose = nn.Sequential(nn.Conv2d(pi_features, widths[0], 1), ResidualBlock(widths[0]))
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            if i:
                layers.append(upsample(widths[i - 1], width))
            layers += [ResidualBlock(width, condition) for _ in range(blocks)]
        self.layers = nn.ModuleList(layers)
        self.norm = RMSNorm(widths[-1])
        self.modulation = Modulation(condition, widths[-1])
        self.patches = nn.Conv2d(widths[-1], 3 * patch**2, 3, padding=1)
        nn.init.normal_(self.patches.weight, std=0.2 * (9 * widths[-1]) ** -0.5)
        self.shuffle = nn.PixelShuffle(patch)

    def forward(self, pi: Tensor, alpha: Tensor) -> Tensor:
        condition = self.appearance(alpha)
        cells = pi.view(-1, *self.map_shape).contiguous(memory_format=torch.channels_last)
        x = self.pose(cells)
        for layer in self.layers:
            x = layer(x, condition) if isinstance(layer, ResidualBlock) else layer(x)
        x = self.patches(F.silu(self.modulation(self.norm(x), condition)))
        return self.shuffle(x)

    @torch.no_grad()
    def start_from(self, colour: Tensor) -> None:
        """Sets the last bias so that the untrained decoder draws one `colour`, with shape :math:`(3,)`."""
        self.patches.bias.copy_(colour.repeat_interleave(self.shuffle.upscale_factor**2))
