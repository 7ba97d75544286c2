"""The model as a whole, and its sizes."""

__all__ = ["PRESETS", "ModelOptions", "PoseAppearanceModel", "build_model"]

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .networks import Decoder, Encoder


@dataclass(frozen=True)
class ModelOptions:
    """The sizes of a model."""

    size: int = 64
    """The size of the images, in pixels."""
    patch: int = 4
    """The size of the patches that the networks read and draw, in pixels."""
    encoder_widths: tuple[int, ...] = (64, 128)
    """The channels of the encoders at each resolution, from fine to coarse."""
    decoder_widths: tuple[int, ...] = (64,)
    """The channels of the decoder at each resolution, from coarse to fine."""
    blocks: int = 1
    """The residual blocks at each resolution."""
    pi_features: int = 8
    """The number of features of the pose code."""
    alpha_features: int = 64
    """The number of features of the appearance code."""
    hidden: int = 512
    """The units of the decoder's fully connected layers."""
    condition: int = 256
    """The units of the decoder's layers that read a code."""
    critic_width: int = 256
    """The units of each layer of T and T'."""

    def __post_init__(self) -> None:
        coarsest = self.patch * 2 ** max(len(self.encoder_widths), len(self.decoder_widths) - 1)
        if self.size % coarsest:
            raise ValueError(
                f"the size of the images must be a multiple of {coarsest} for this model, got "
                f"{self.size}"
            )


PRESETS: dict[str, ModelOptions] = {
    "small": ModelOptions(
        encoder_widths=(48, 96), decoder_widths=(96, 48), hidden=128, condition=128
    ),
    "medium": ModelOptions(),
    "tiny": ModelOptions(
        size=32,
        patch=4,
        encoder_widths=(64, 128),
        decoder_widths=(64,),
        hidden=256,
        critic_width=128,
    ),
    "large": ModelOptions(
        encoder_widths=(128, 256),
        decoder_widths=(256, 128),
        blocks=2,
        condition=512,
    ),
    "paper": ModelOptions(
        size=256,
        patch=1,
        encoder_widths=(32, 64, 128, 128, 256, 256, 256),
        decoder_widths=(256, 256, 256, 128, 128, 64, 32),
        pi_features=256,
        alpha_features=256,
        hidden=1024,
    ),
}
"""The sizes by name: small and medium for 64x64 images on a CPU (10 to 35 minutes, or hours),
tiny for 32x32 ones within a minute, large for 64x64 on a GPU, and the paper's for 256x256."""


class PoseAppearanceModel(nn.Module):
    """Creates the encoders of pose (stochastic) and appearance (deterministic) and the decoder."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()

        common = (options.size, options.patch, options.encoder_widths, options.blocks)
        self.options = options
        self.pose_encoder = Encoder(*common, options.pi_features, stochastic=True)
        self.appearance_encoder = Encoder(*common, options.alpha_features, stochastic=False)
        self.decoder = Decoder(
            options.size,
            options.patch,
            options.decoder_widths,
            options.blocks,
            options.pi_features,
            options.alpha_features,
            options.hidden,
            options.condition,
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
    """Builds a model that starts by drawing the mean colour of the data, in channels-last
    memory.
    """
    model = PoseAppearanceModel(options)
    model.decoder.start_from(mean_colour)
    return model.to(memory_format=torch.channels_last)
