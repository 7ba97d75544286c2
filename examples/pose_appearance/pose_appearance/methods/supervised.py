"""Pose codes from true keypoints, which stand for the methods that are given the pose, as VUNet
(Esser et al., 2018).
"""

__all__ = ["KeypointEncoder", "Supervised"]

import torch
from torch import Tensor, nn

from ..data.image_set import ImageSet
from ..data.pairs import as_float
from ..model.networks import Encoder
from ..model.presets import ModelOptions
from .method import Method, NoOptions, Setting, method


@method
class Supervised(Method):
    """Creates the method that is given the pose: reconstruction from heat maps of true keypoints.

    The model gets the encoder that sees keypoints.
    """

    source = "for VUNet, Esser et al., 2018"
    adds = "nothing: π comes from the true keypoints"
    stochastic = False
    given_poses = True
    one_graph = False

    def __init__(self, options: NoOptions, setting: Setting) -> None:
        super().__init__(options, setting)

        encoder = KeypointEncoder(setting.model.options, setting.images)
        setting.model.pose_encoder = encoder.to(memory_format=torch.channels_last)


class KeypointEncoder(nn.Module):
    """Creates a pose encoder that takes images like any other, but sees nothing of them save the
    keypoints that are known of them.

    An image is found by its pixels in the set that it comes from. The table is no part of a
    checkpoint.

    Arguments:
        options: The sizes of the model.
        image_set: The images with their keypoints.
    """

    multipliers: Tensor
    hashes: Tensor
    keypoints: Tensor

    def __init__(self, options: ModelOptions, image_set: ImageSet) -> None:
        super().__init__()

        if image_set.keypoints is None:
            raise ValueError(
                f"supervised needs true keypoints, and {image_set.name} has none: use puppets"
            )
        self.size = options.size
        self.encoder = Encoder(
            options.size,
            options.patch,
            options.encoder_widths,
            options.blocks,
            options.pi_features,
            stochastic=True,
            channels=image_set.keypoints.shape[1],
        )
        generator = torch.Generator().manual_seed(0)
        # Sums of 64-bit products wrap around, which makes them a hash.
        values = torch.randint(-(2**62), 2**62, (3 * self.size**2,), generator=generator)
        self.register_buffer("multipliers", values, persistent=False)
        images = torch.from_numpy(image_set.images)
        hashes = torch.cat([self.hash(as_float(x, self.size)) for x in images.split(1000)])
        hashes, order = hashes.sort()
        padding = torch.tensor([(self.size - n) // 2 for n in image_set.images.shape[2:0:-1]])
        keypoints = torch.from_numpy(image_set.keypoints).float() + padding
        self.register_buffer("hashes", hashes, persistent=False)
        self.register_buffer("keypoints", keypoints[order], persistent=False)

    def hash(self, x: Tensor) -> Tensor:
        """Returns a number for each image in [-1, 1], with shape (N,)."""
        pixels = ((x + 1) * 127.5).round().long()
        return (pixels.flatten(1) * self.multipliers).sum(1)

    def find(self, x: Tensor) -> Tensor:
        """Returns the keypoints of images, with shape (N, K, 2)."""
        hashes = self.hash(x)
        index = torch.searchsorted(self.hashes, hashes).clamp(max=len(self.hashes) - 1)
        unknown = self.hashes[index] != hashes
        if unknown.any():
            raise ValueError(
                "the keypoints of an image are known if it is one of the data set's, "
                f"got {int(unknown.sum())} of {len(x)} images that are not"
            )
        return self.keypoints[index]

    def heat_maps(self, keypoints: Tensor) -> Tensor:
        """Draws each keypoint as a Gaussian bump, with shape (N, K, H, W)."""
        grid = torch.arange(self.size, device=keypoints.device) + 0.5
        distance = (grid - keypoints[..., None]).square() / (2 * (self.size / 24) ** 2)
        x, y = distance.neg().exp().unbind(2)
        maps = y[..., :, None] * x[..., None, :]
        return maps.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            maps = self.heat_maps(self.find(x))
        return self.encoder(maps)
