r"""The map from embeddings to embeddings: each goes to the nearest of finitely many codes, and leaves as the mean of all that did."""

__all__ = ["Cells", "clusters", "information"]

import torch
from torch import Tensor, nn

from ..layers import LinearPlus

CODE = 32
"""The number of features of a code."""


class Cells(nn.Module):
    r"""Creates the map :math:`x \mapsto v_{c(x)}` with the cell :math:`c(x) = \arg\min_j \| e(x) - u_j \|`.

    Arguments:
        mean: The mean of the embeddings, with shape :math:`(D,)`.
        scale: Their unit, with shape :math:`(D,)`.
        count: The number of cells K.
        width: The number of hidden units of the encoder e.

    Example:
        >>> network = Cells(torch.zeros(3), torch.ones(3), count=4)
        >>> network.cells(torch.randn(5, 3)).shape, network(torch.randn(5, 3)).shape
        (torch.Size([5]), torch.Size([5, 3]))
    """

    mean: Tensor
    scale: Tensor
    merged: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, count: int, width: int = 256) -> None:
        super().__init__()

        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())
        self.encoder = LinearPlus(len(mean), width, 1, CODE)
        self.codes = nn.Parameter(torch.randn(count, CODE))
        """The codes u, with shape (K, 32)."""
        self.centres = nn.Parameter(torch.zeros(count, len(mean)))
        """The outputs v in the unit of the embeddings, with shape (K, D)."""
        self.register_buffer("merged", torch.arange(count))

    def distances(self, x: Tensor) -> Tensor:
        """Returns the squared distances of standardised embeddings to the codes, with shape (N, K)."""
        e = self.encoder(x)
        squares = e.square().sum(1, keepdim=True) + self.codes.square().sum(1)
        return torch.addmm(squares, e, self.codes.T, alpha=-2)

    def cells(self, x: Tensor) -> Tensor:
        """Returns the cell of each embedding, from 0 to K - 1, with shape (N,)."""
        return self.nearest((x - self.mean) / self.scale)

    def nearest(self, x: Tensor) -> Tensor:
        """Returns the cell of each standardised embedding. Merged cells have the number of the first of them."""
        cell: Tensor = self.merged[self.distances(x).argmin(1)]
        return cell

    def forward(self, x: Tensor) -> Tensor:
        return self.centres[self.cells(x)] * self.scale + self.mean


def clusters(x: Tensor, count: int, generator: torch.Generator, rounds: int = 8) -> Tensor:
    """Returns the centres of k-means, with shape (K, D).

    Arguments:
        x: Points, with shape (N, D).
        count: The number K of clusters, N at most.
        generator: Where the first centres come from.
        rounds: The number of rounds of Lloyd's algorithm.

    Example:
        >>> clusters(torch.randn(100, 2), 3, torch.Generator()).shape
        torch.Size([3, 2])
    """
    centres = x[torch.randperm(len(x), generator=generator)[:count].to(x.device)].clone()
    for _ in range(rounds):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in x.split(8192)])
        sizes = nearest.bincount(minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def information(table: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the information in a table of probabilities in nats, and its slope.

    .. math:: I = \sum_{c, s} p(c, s) \log \frac{p(c, s)}{p(c) \, p(s)}

    Arguments:
        table: Probabilities, with shape :math:`(K, C)`.

    Returns:
        :math:`I`, a scalar, and :math:`\log p(c, s) / (p(c) \, p(s))`, with shape :math:`(K, C)`: its derivative, up to a constant.

    Example:
        >>> information(torch.eye(2) / 2)[0]
        tensor(0.6931)
    """
    table = table.clamp(min=1e-10)
    slope = (table / (table.sum(0) * table.sum(1, keepdim=True))).log()
    return (table * slope).sum(), slope
