"""Images in other colours and widths: what a pose must not be read off."""

__all__ = ["disturb"]

import torch
import torch.nn.functional as F
from torch import Tensor


def disturb(x: Tensor, noise: Tensor, colour: float, width: float) -> Tensor:
    """Returns images with mixed colours, scaled around their middle.

    Bodies differ in colours and widths. A pose encoder that has seen neither as they are gives one
    code to one pose of many characters.

    Arguments:
        x: The images, with shape (N, 3, H, W).
        noise: Standard normal numbers, with shape (N, 11): of the colours, then of the scales.
        colour: The deviation of each entry of the colour matrix from the identity.
        width: The deviation of the horizontal scale from 1, twice that of the vertical one.

    Returns:
        The images in channels-last memory.
    """
    if colour:
        mixing = torch.eye(3, device=x.device) + colour * noise[:, :9].unflatten(1, (3, 3))
        x = torch.einsum("nij,njhw->nihw", mixing, x)
    if width:
        scales = torch.stack((1 + width * noise[:, 9], 1 + width / 2 * noise[:, 10]), dim=1)
        grid = F.affine_grid(
            F.pad(torch.diag_embed(scales), (0, 1)), list(x.shape), align_corners=False
        )
        x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return x.contiguous(memory_format=torch.channels_last)
