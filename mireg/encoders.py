r"""A pair of encoders, whatever they return."""

__all__ = ["Codes", "EncoderPair", "diagonal_gaussian"]

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from ._numerics import full_precision


def diagonal_gaussian(mean: Tensor, log_var: Tensor, batch_dims: int = 1) -> Distribution:
    r"""Creates the Gaussian posterior :math:`q(\pi | x) = N(\mu, \mathrm{diag}(\exp \log \sigma^2))`, in float32 or better.

    Arguments:
        mean: The mean :math:`\mu`, with shape :math:`(N, *)`.
        log_var: The logarithm of the variance, with the shape of `mean`.
        batch_dims: How many of the first dimensions count samples.

    Returns:
        The distribution, with batch shape :math:`(N,)` and event shape :math:`(*)`.

    Raises:
        ValueError: If the two shapes differ.

    Example:
        >>> diagonal_gaussian(torch.zeros(8, 32), torch.zeros(8, 32))
        Independent(Normal(loc: torch.Size([8, 32]), scale: torch.Size([8, 32])), 1)
    """
    if mean.shape != log_var.shape:
        raise ValueError(
            f"mean and log_var must have the same shape, got {tuple(mean.shape)} and {tuple(log_var.shape)}"
        )
    mean, log_var = full_precision(mean), full_precision(log_var)
    # The arguments are valid by construction, and checking them would wait for the device.
    normal = Normal(mean, (log_var / 2).exp(), validate_args=False)
    return Independent(normal, max(mean.ndim - batch_dims, 0), validate_args=False)


class Codes(NamedTuple):
    r"""The codes of a batch, in the order that a regularizer takes them.

    Example:
        >>> codes = Codes(torch.randn(8, 2), torch.randn(8, 3), None)
        >>> penalty = mireg.ClassifierMI(2, 3)(*codes)
    """

    pi: Tensor
    """The codes :math:`\\pi`, with shape :math:`(N, *)`."""
    alpha: Tensor
    """The codes :math:`\\alpha`, with shape :math:`(N, *)`, or labels, with shape :math:`(N,)`."""
    posterior: Distribution | None
    """The distribution that `pi` was drawn from; `None` if its encoder is deterministic."""


class EncoderPair(nn.Module):
    r"""Creates a pair of encoders that gives the codes a regularizer takes.

    Each encoder is a module that returns a tensor, a pair `(mean, log_var)`, or a torch Distribution; of vectors :math:`(N, D)`, feature maps
    :math:`(N, C, H, W)` or token sequences :math:`(N, L, C)`. The encoder of :math:`\alpha` may also return integer labels :math:`(N,)`, as `nn.Identity()` does for
    an attribute that is known. Distributions are sampled, in evaluation mode too: what is bounded is what the samples tell.

    A program of `torch.export` returns tensors only, so there the posterior is `None`.

    Arguments:
        pi_encoder: The encoder of :math:`\pi`, which must not reveal :math:`\alpha`: of pose, content, or the features of a fair classifier.
        alpha_encoder: The encoder of :math:`\alpha`: of appearance or style, or `nn.Identity()` for a sensitive attribute.
        constraint: The regularizer to carry along, for one `state_dict()` of all.

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
            x_pi: What the encoder of :math:`\pi` takes, as the sample to reconstruct.
            x_alpha: What the encoder of :math:`\alpha` takes, as another sample of the same identity, or the attribute.

        Returns:
            The codes and the posterior of :math:`\pi`.

        Raises:
            TypeError: If an encoder returns something else than a tensor, a pair of tensors, or a Distribution that can be reparametrised.
            ValueError: If codes have other shapes than those above, or there is not one a sample.
        """
        pi, posterior = read_code(self.pi_encoder(x_pi), "pi_encoder")
        alpha, _ = read_code(self.alpha_encoder(x_alpha), "alpha_encoder")
        if not pi.is_floating_point() or pi.ndim < 2:
            raise ValueError(
                f"pi_encoder must return floating-point codes with shape (N, *), got {pi.dtype} with shape "
                f"{tuple(pi.shape)}"
            )
        if len(pi) != len(alpha):
            raise ValueError(
                f"the encoders must return one code a sample, got {len(pi)} of pi and {len(alpha)} of alpha"
            )
        return Codes(pi, alpha, None if _is_exporting() else posterior)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Returns the parameters of the two encoders, for a group of their own: `parameters()` holds those of the constraint as well."""
        yield from self.pi_encoder.parameters()
        yield from self.alpha_encoder.parameters()


def _is_exporting() -> bool:
    """Returns whether `torch.export` traces this call; `False` with a torch that cannot tell."""
    exporting = getattr(torch.compiler, "is_exporting", None)
    return exporting is not None and bool(exporting())


def read_code(output: Any, name: str) -> tuple[Tensor, Distribution | None]:
    """Reads what an encoder returned as a sample and its distribution, if it has one."""
    if (
        isinstance(output, tuple | list)
        and len(output) == 2
        and all(isinstance(x, Tensor) for x in output)
    ):
        output = diagonal_gaussian(*output)
    if isinstance(output, Distribution):
        if not output.has_rsample:
            raise TypeError(
                f"{name} returned a {type(output).__name__}, which has no reparametrised sample (rsample): return one "
                "that has, or a tensor"
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
            f"{name} must return a tensor, a pair (mean, log_var) of tensors, or a torch Distribution, got {given}: "
            "wrap it in a module that picks the code out of what it returns"
        )
    labels = code.ndim == 1 and not code.is_floating_point()
    if not labels and code.ndim not in (2, 3, 4):
        raise ValueError(
            f"{name} must return vectors (N, D), token sequences (N, L, C), maps (N, C, H, W) or integer labels (N,), got shape "
            f"{tuple(code.shape)} of {code.dtype}"
        )
    return code, posterior
