r"""An encoder with finitely many codes, whose information can be certified from counts."""

__all__ = ["QuantizedEncoder"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import OneHotCategoricalStraightThrough

from ._checks import Shape, as_shape, check_positive
from ._numerics import full_precision
from .encoders import read_code


class QuantizedEncoder(nn.Module):
    r"""Creates an encoder whose code :math:`\pi` is one of k cells, as a one-hot vector.

    A linear layer maps the output of any encoder to the logits of a distribution over cells, from
    which a cell is drawn. Gradients use the straight-through estimator.
    :class:`mireg.RobustMIConstraint` and :class:`mireg.EncoderPair` accept the posterior like a
    Gaussian. Its prior is the uniform distribution over cells, so the bound of eq. (9) is at most
    :math:`\log k`.

    .. code-block:: python

        encoder = mireg.QuantizedEncoder(network, features=64, cells=32)
        constraint = mireg.RobustMIConstraint(32, classes=2, epsilon=0.05)

        posterior = encoder(x)
        pi = posterior.rsample()
        penalty = constraint(pi, label, posterior)

        certificate = mireg.certify(encoder.cells(held_out_x), held_out_label)

    References:
        | Estimating or Propagating Gradients Through Stochastic Neurons (Bengio et al., 2013)
        | https://arxiv.org/abs/1308.3432

    Arguments:
        encoder: The encoder, with any output that :class:`mireg.EncoderPair` supports.
        features: The number of features of its code, or its shape.
        cells: The number k of cells.

    Example:
        >>> encoder = QuantizedEncoder(torch.nn.Linear(8, 16), features=16, cells=4)
        >>> posterior = encoder(torch.randn(5, 8))
        >>> posterior.rsample().shape, encoder.cells(torch.randn(5, 8)).shape
        (torch.Size([5, 4]), torch.Size([5]))
    """

    def __init__(self, encoder: nn.Module, features: Shape, cells: int = 32) -> None:
        super().__init__()

        self.encoder = encoder
        self.to_cells = nn.Linear(
            torch.Size(as_shape(features)).numel(), check_positive("cells", cells)
        )

    def forward(self, x: Any) -> OneHotCategoricalStraightThrough:
        r"""
        Arguments:
            x: The input of the encoder.

        Returns:
            The distribution of the cell, with batch shape :math:`(N,)` and event shape :math:`(k)`.
        """
        code, _ = read_code(self.encoder(x), "the encoder")
        logits = full_precision(self.to_cells(code.flatten(1)))
        return OneHotCategoricalStraightThrough(logits=logits, validate_args=False)

    @torch.no_grad()
    def cells(self, x: Any) -> Tensor:
        """Returns cells drawn from the posterior, integers with shape :math:`(N,)`.

        Certify and publish these.

        Arguments:
            x: The input of the encoder.
        """
        posterior = self(x)
        cells: Tensor = posterior.sample().argmax(-1)
        return cells
