"""What makes a pose code mean the same pose for every appearance."""

__all__ = ["agreement"]

from collections.abc import Callable

import torch
from torch import Tensor, nn


def agreement(
    decoder: nn.Module,
    pi: Tensor,
    alpha: Tensor,
    loss: Callable[[Tensor], Tensor],
    shift: int,
) -> Tensor:
    r"""Gives a term whose gradient moves each pose code to where other appearances look most like its image.

    Independence is not agreement: two groups of identities may each use all pose codes, and mean different poses by
    them, and :math:`I(\pi, \alpha)` is still 0. Of all ways to number the poses this term prefers the one where a pose
    code drawn with the appearance of another identity resembles the image that the code was read from. Nothing but
    :math:`\pi` gets a gradient: the decoder is not taught to draw one identity in the colours of another.

    Arguments:
        decoder: Draws :math:`\pi` with :math:`\alpha`.
        pi: The pose codes, with shape (N, d).
        alpha: The appearance codes, with shape (N, e).
        loss: Gives the reconstruction loss of what is drawn.
        shift: How far to roll :math:`\alpha`, so that it is another identity's.

    Returns:
        A scalar with the gradient of the loss; its value means nothing.
    """
    leaf = pi.detach().requires_grad_()
    parameters = [p for p in decoder.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        (gradient,) = torch.autograd.grad(loss(decoder(leaf, alpha.detach().roll(shift, 0))), leaf)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
    return (gradient * pi).sum()
