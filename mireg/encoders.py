r"""A pair of encoders, and the posterior of a code."""

__all__ = ["Codes", "EncoderPair", "diagonal_gaussian"]

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from ._numerics import full_precision


def diagonal_gaussian(mean: Tensor, log_var: Tensor, batch_dims: int = 1) -> Distribution:
    r"""Returns the posterior :math:`q(\pi | x) = N(\mu, \mathrm{diag}(\exp \log \sigma^2))`.

    It is computed in float32 or better.

    Arguments:
        mean: The mean :math:`\mu`, with shape :math:`(N, *)`.
        log_var: The logarithm of the variance, with the shape of `mean`.
        batch_dims: The number of leading batch dimensions.

    Returns:
        The distribution, with batch shape :math:`(N,)` and event shape :math:`(*)`.

    Raises:
        TypeError: If an argument is not a tensor.
        ValueError: If the shapes differ.

    Example:
        >>> diagonal_gaussian(torch.zeros(8, 32), torch.zeros(8, 32))
        Independent(Normal(loc: torch.Size([8, 32]), scale: torch.Size([8, 32])), 1)
    """
    for name, x in (("mean", mean), ("log_var", log_var)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if mean.shape != log_var.shape:
        raise ValueError(
            f"mean and log_var must have the same shape, got {tuple(mean.shape)} and "
            f"{tuple(log_var.shape)}"
        )
    mean, log_var = full_precision(mean), full_precision(log_var)
    # Validation would wait for the device.
    normal = Normal(mean, (log_var / 2).exp(), validate_args=False)
    return Independent(normal, max(mean.ndim - batch_dims, 0), validate_args=False)


class Codes(NamedTuple):
    r"""The codes of a batch, in the order of a regularizer's arguments.

    Example:
        >>> codes = Codes(torch.randn(8, 2), torch.randn(8, 3), None)
        >>> penalty = mireg.ClassifierMI(2, 3)(*codes)
    """

    pi: Tensor
    """The codes :math:`\\pi`, with shape :math:`(N, *)`."""
    alpha: Tensor
    """The codes :math:`\\alpha`, with shape :math:`(N, *)`, or labels, with shape :math:`(N,)`."""
    posterior: Distribution | None
    """The distribution of `pi`; `None` if its encoder is deterministic."""


class EncoderPair(nn.Module):
    r"""Creates a pair of encoders that returns the arguments of a regularizer.

    Each encoder is a module that returns a tensor, a pair `(mean, log_var)`, or a torch
    Distribution. Codes are vectors :math:`(N, D)`, token sequences :math:`(N, L, C)`, feature maps
    :math:`(N, C, H, W)` or volumes :math:`(N, C, D, H, W)`. The encoder of :math:`\alpha` may also
    return integer labels :math:`(N,)`, as `nn.Identity()` does for a known attribute. Distributions
    are sampled, also in evaluation mode: the bound holds for samples.

    Programs of `torch.export` return only tensors. Their posterior is `None`.

    Arguments:
        pi_encoder: The encoder of :math:`\pi`, which must not reveal :math:`\alpha`, such as a
            pose, a content code or the features of a fair classifier.
        alpha_encoder: The encoder of :math:`\alpha`, such as an appearance or a style;
            `nn.Identity()` for a protected attribute.
        constraint: A regularizer to store in the same `state_dict()`.

    Example:
        >>> pair = EncoderPair(torch.nn.Linear(8, 2), torch.nn.Linear(8, 3))
        >>> pi, alpha, posterior = pair(torch.randn(4, 8), torch.randn(4, 8))
        >>> pi.shape, alpha.shape, posterior
        (torch.Size([4, 2]), torch.Size([4, 3]), None)
    """

    def __init__(
        self,
        pi_encoder: nn.Module,
        alpha_encoder: nn.Module,
        constraint: nn.Module | None = None,
    ) -> None:
        super().__init__()

        self.pi_encoder = pi_encoder
        self.alpha_encoder = alpha_encoder
        self.constraint = constraint

    def forward(self, x_pi: Any, x_alpha: Any) -> Codes:
        r"""
        Arguments:
            x_pi: The input of the encoder of :math:`\pi`, such as the sample to reconstruct.
            x_alpha: The input of the encoder of :math:`\alpha`, such as another sample of the same
                identity, or the attribute.

        Returns:
            The codes and the posterior of :math:`\pi`.

        Raises:
            TypeError: If an encoder does not return a tensor, a pair of tensors, or a Distribution
                with `rsample`.
            ValueError: If codes do not have one of these shapes, or batch sizes differ.
        """
        pi, posterior = read_code(self.pi_encoder(x_pi), "pi_encoder")
        alpha, _ = read_code(self.alpha_encoder(x_alpha), "alpha_encoder")
        if not pi.is_floating_point() or pi.ndim < 2:
            raise ValueError(
                f"pi_encoder must return floating-point codes with shape (N, *), got {pi.dtype} "
                f"with shape {tuple(pi.shape)}"
            )
        if len(pi) != len(alpha):
            raise ValueError(
                f"the encoders must return one code per sample, got {len(pi)} of pi and "
                f"{len(alpha)} of alpha"
            )
        return Codes(pi, alpha, None if _is_exporting() else posterior)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters of both encoders, without those of the constraint."""
        yield from self.pi_encoder.parameters()
        yield from self.alpha_encoder.parameters()


def _is_exporting() -> bool:
    """Returns whether `torch.export` traces this call; `False` in versions of torch without it."""
    exporting = getattr(torch.compiler, "is_exporting", None)
    return exporting is not None and bool(exporting())


def read_code(output: Any, name: str) -> tuple[Tensor, Distribution | None]:
    """Returns the sample in the output of an encoder, and its distribution if there is one."""
    if (
        isinstance(output, tuple | list)
        and len(output) == 2
        and all(isinstance(x, Tensor) for x in output)
    ):
        output = diagonal_gaussian(*output)
    if isinstance(output, Distribution):
        if not output.has_rsample:
            raise TypeError(
                f"{name} must return a tensor or a Distribution with reparametrised samples "
                f"(rsample), got {type(output).__name__}"
            )
        if len(output.batch_shape) > 1:
            output = Independent(output, len(output.batch_shape) - 1, validate_args=False)
        code, posterior = output.rsample(), output
    elif isinstance(output, Tensor):
        code, posterior = output, None
    else:
        given = type(output).__name__
        if isinstance(output, tuple | list):
            given += f" of {', '.join(type(x).__name__ for x in output) or 'nothing'}"
        raise TypeError(
            f"{name} must return a tensor, a pair (mean, log_var) of tensors, or a torch "
            f"Distribution, got {given}: wrap the encoder in a module that returns only the code"
        )
    labels = code.ndim == 1 and not code.is_floating_point()
    if not labels and not 2 <= code.ndim <= 5:
        raise ValueError(
            f"{name} must return vectors (N, D), token sequences (N, L, C), maps (N, C, H, W), "
            f"volumes (N, C, D, H, W) or integer labels (N,), got shape "
            f"{tuple(code.shape)} of {code.dtype}"
        )
    return code, posterior
