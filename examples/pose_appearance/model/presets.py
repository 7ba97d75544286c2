"""The model as a whole, and its sizes."""

__all__ = ["PRESETS", "ModelOptions", "PoseAppearanceModel", "build_model"]

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .networks import AppearanceEncoder, Decoder, PoseEncoder


@dataclass(frozen=True)
class ModelOptions:
    """The sizes of a model."""

    size: int = 64
    """The size of the images, in pixels."""
    patch: int = 4
    """The size of the patches that the networks read and draw, in pixels."""
    encoder_widths: tuple[int, ...] = (64, 128)
    """The channels of the encoders at each resolution, from fine to coarse."""
    decoder_widths: tuple[int, ...] = (256, 128, 64)
    """The channels of the decoder at each resolution, from coarse to fine."""
    blocks: int = 1
    """The residual blocks at each resolution."""
    pose_channels: int = 16
    """The number of features of each cell of the pose code."""
    alpha_features: int = 64
    """The number of features of the appearance code."""

    def __post_init__(self) -> None:
        coarsest = self.patch * 2 ** len(self.encoder_widths)
        if self.size % coarsest:
            raise ValueError(
                f"the size of the images must be a multiple of {coarsest} for this model, got {self.size}"
            )
        if len(self.decoder_widths) != len(self.encoder_widths) + 1:
            raise ValueError(
                "the decoder must have one resolution more than the encoders, "
                f"got {len(self.decoder_widths)} and {len(self.encoder_widths)}"
            )

    @property
    def side(self) -> int:
        """The side of the map of the pose code, in cells."""
        return self.size // (self.patch * 2 ** len(self.encoder_widths))

    @property
    def pi_features(self) -> int:
        """The number of features of the pose code, all cells together."""
        return self.pose_channels * self.side**2


PRESETS: dict[str, ModelOptions] = {
    "small": ModelOptions(),
    "paper": ModelOptions(
        size=256,
        patch=1,
        encoder_widths=(32, 64, 128, 128, 256, 256, 256),
        decoder_widths=(256, 256, 256, 256, 128, 128, 64, 32),
        pose_channels=64,
        alpha_features=256,
    ),
}
"""The sizes by name: for 64x64 images on a CPU, and the paper's for 256x256 on a GPU."""


class PoseAppearanceModel(nn.Module):
    """Creates the encoders of pose (stochastic) and appearance (deterministic) and the decoder."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()

        self.options = options
        encoder = (options.patch, options.encoder_widths, options.blocks)
        self.pose_encoder = PoseEncoder(*encoder, options.pose_channels)
        self.appearance_encoder = AppearanceEncoder(options.size, *encoder, options.alpha_features)
        self.decoder = Decoder(
            options.side,
            options.patch,
            options.decoder_widths,
            options.blocks,
            options.pose_channels,
            options.alpha_features,
        )

    def transfer(self, x_appearance: Tensor, x_pose: Tensor) -> Tensor:
        """Draws the appearance of one batch of images in the pose of another, without noise.

        Arguments:
            x_appearance: Images in [-1, 1], with shape (N, 3, H, W).
            x_pose: Images in [-1, 1], with shape (N, 3, H, W).

        Returns:
            Images, with shape (N, 3, H, W).
        """
        mean, _ = self.pose_encoder(x_pose)
        return self.decoder(mean, self.appearance_encoder(x_appearance))


def build_model(options: ModelOptions, mean_colour: Tensor) -> PoseAppearanceModel:
    """Builds a model that starts by drawing the mean colour of the data, in channels-last memory."""
    model = PoseAppearanceModel(options)
    model.decoder.start_from(mean_colour)
    return model.to(memory_format=torch.channels_last)
