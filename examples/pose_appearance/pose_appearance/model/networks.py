"""The encoders of pose and appearance, and the decoder."""

__all__ = ["Decoder", "Encoder"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ChannelsLast, Modulation, ResidualBlock, RMSNorm, downsample, upsample


class Encoder(nn.Module):
    """Creates an encoder of images, with two heads if it is to give a Gaussian.

    Patches become channels first, so that all convolutions work at coarse resolutions.

    Arguments:
        size: The size of the images, in pixels.
        patch: The size of a patch, in pixels.
        widths: The channels of each resolution, from fine to coarse; each is half the one before.
        blocks: The residual blocks of each resolution.
        features: The number of features of the code.
        stochastic: Whether to return `(mean, log_var)` instead of a code.
        channels: The channels of the images.
    """

    def __init__(
        self,
        size: int,
        patch: int,
        widths: tuple[int, ...],
        blocks: int,
        features: int,
        stochastic: bool,
        channels: int = 3,
    ) -> None:
        super().__init__()

        layers: list[nn.Module] = [nn.PixelUnshuffle(patch), ChannelsLast()]
        channels *= patch**2
        for width in widths:
            layers += [downsample(channels, width), *(ResidualBlock(width) for _ in range(blocks))]
            channels = width
        side = size // (patch * 2 ** len(widths))
        self.body = nn.Sequential(*layers, RMSNorm(channels), nn.SiLU(), nn.Flatten())
        self.head = nn.Linear(channels * side**2, features * (2 if stochastic else 1))
        nn.init.normal_(self.head.weight, std=0.5 * self.head.in_features**-0.5)
        nn.init.zeros_(self.head.bias)
        self.stochastic = stochastic
        if stochastic:
            # Little noise at first: a decoder that sees none of the pose learns to ignore it.
            nn.init.constant_(self.head.bias[features:], -4.0)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        h = self.head(self.body(x))
        if not self.stochastic:
            return h
        mean, log_var = h.chunk(2, dim=1)
        return mean, log_var.clamp(-14, 6)


class Decoder(nn.Module):
    r"""Creates the decoder: the pose code lays out a coarse map, and the appearance code modulates
    all that follows.

    Arguments:
        size: The size of the images, in pixels.
        patch: The size of a patch, in pixels: the last layer draws patches.
        widths: The channels of each resolution, from coarse to fine; each is twice the one before.
        blocks: The residual blocks of each resolution.
        pi_features: The number of features of :math:`\pi`.
        alpha_features: The number of features of :math:`\alpha`.
        hidden: The units of the fully connected layers.
        condition: The features of the appearance that modulate.
    """

    def __init__(
        self,
        size: int,
        patch: int,
        widths: tuple[int, ...],
        blocks: int,
        pi_features: int,
        alpha_features: int,
        hidden: int,
        condition: int = 256,
    ) -> None:
        super().__init__()

        self.side = size // (patch * 2 ** (len(widths) - 1))
        self.appearance = nn.Sequential(
            nn.Linear(alpha_features, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        self.pose = nn.Sequential(
            nn.Linear(pi_features, condition), nn.SiLU(), nn.Linear(condition, condition), nn.SiLU()
        )
        self.pose_hidden = nn.Linear(condition, hidden)
        self.hidden_modulation = Modulation(condition, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.layout = nn.Linear(hidden, widths[0] * self.side**2)

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
        h = F.silu(self.hidden_modulation(self.pose_hidden(self.pose(pi)), condition))
        h = F.silu(h + self.hidden(h))
        x = self.layout(h).unflatten(1, (self.side, self.side, -1)).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x, condition) if isinstance(layer, ResidualBlock) else layer(x)
        x = self.patches(F.silu(self.modulation(self.norm(x), condition)))
        return self.shuffle(x)

    @torch.no_grad()
    def start_from(self, colour: Tensor) -> None:
        """Sets the last bias so that the untrained decoder draws one `colour`, with shape
        :math:`(3,)`.
        """
        self.patches.bias.copy_(colour.repeat_interleave(self.shuffle.upscale_factor**2))
