"""The reconstruction loss L_rec, in nats."""

__all__ = ["RECONSTRUCTIONS", "gaussian", "laplace"]

from collections.abc import Callable

from torch import Tensor


def gaussian(output: Tensor, target: Tensor, scale: float) -> Tensor:
    r"""Returns the negative log-likelihood of a Gaussian of fixed scale, less its constant:
    :math:`\|x - \hat{x}\|^2 / 2 \sigma^2`.

    Arguments:
        output: The mean :math:`\hat{x}`, with shape (N, 3, H, W).
        target: The image :math:`x`, with shape (N, 3, H, W).
        scale: The scale :math:`\sigma`, on the [-1, 1] scale of the images.

    Returns:
        The loss in nats per image, averaged over the batch.
    """
    return (output - target).float().square().flatten(1).sum(1).mean() / (2 * scale**2)


def laplace(output: Tensor, target: Tensor, scale: float) -> Tensor:
    r"""Returns the negative log-likelihood of a Laplace distribution, less its constant: :math:`|x
    - \hat{x}|_1 / b`, the L1 loss.

    Arguments:
        output: The location :math:`\hat{x}`, with shape (N, 3, H, W).
        target: The image :math:`x`, with shape (N, 3, H, W).
        scale: The scale :math:`b`, on the [-1, 1] scale of the images.

    Returns:
        The loss in nats per image, averaged over the batch.
    """
    return (output - target).float().abs().flatten(1).sum(1).mean() / scale


RECONSTRUCTIONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "gaussian": gaussian,
    "l1": laplace,
}
"""The reconstruction losses by name."""
