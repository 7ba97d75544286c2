"""Images in other colours, widths and shapes: what a pose must not be read off."""

__all__ = ["disturb", "numbers_of"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = (2, 4, 4)
"""Horizontal and vertical shifts of the points that a bend is interpolated from."""


def numbers_of(shape: float) -> int:
    """Returns how many normal numbers an image takes, by the deviation of its shifts."""
    return 11 + (math.prod(GRID) if shape else 0)


def disturb(x: Tensor, noise: Tensor, colour: float, width: float, shape: float = 0.0) -> Tensor:
    """Returns images with mixed colours, scaled around their middle, and bent.

    Bodies differ in colours and widths. A pose encoder that has seen neither as they are gives one
    code to one pose of many characters.

    Arguments:
        x: The images, with shape (N, 3, H, W).
        noise: Standard normal numbers, with shape (N, :func:`numbers_of`): of the colours, of the
            scales, then of the shifts.
        colour: The deviation of each entry of the colour matrix from the identity.
        width: The deviation of the horizontal scale from 1, twice that of the vertical one.
        shape: The deviation of the shift of a point, where the image is 2 wide.

    Returns:
        The images in channels-last memory.
    """
    if colour:
        mixing = torch.eye(3, device=x.device) + colour * noise[:, :9].unflatten(1, (3, 3))
        x = torch.einsum("nij,njhw->nihw", mixing, x)
    if width or shape:
        scales = torch.stack((1 + width * noise[:, 9], 1 + width / 2 * noise[:, 10]), dim=1)
        grid = F.affine_grid(
            F.pad(torch.diag_embed(scales), (0, 1)), list(x.shape), align_corners=False
        )
        if shape:
            bends = noise[:, 11:].unflatten(1, GRID)
            bends = F.interpolate(bends, list(x.shape[2:]), mode="bicubic", align_corners=False)
            grid = grid + shape * bends.permute(0, 2, 3, 1)
        x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return x.contiguous(memory_format=torch.channels_last)
