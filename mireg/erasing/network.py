r"""The map of an eraser: each embedding is replaced by the mean of its cell."""

__all__ = ["Cells", "information", "linear_eraser"]

import torch
from torch import Tensor, nn

from ..layers import LinearPlus


class Cells(nn.Module):
    r"""Creates the map :math:`x \mapsto v_{c(x)}` to the mean of a cell.

    .. math:: c(x) = \arg\min_j \; \tfrac{1}{D} \| x' - v'_j \|^2 + w \, d(y(x'), u_j)

    Here :math:`x'` is x without what a linear map reveals about the concept, and :math:`y(x')` is a
    network's prediction of y. For labels it consists of probabilities, and d is a cross-entropy.
    For numbers, d is a mean square. Without y there is no second term.

    Arguments:
        mean: The mean of the embeddings, with shape :math:`(D,)`.
        scale: Their standard deviation, with shape :math:`(D,)`.
        projection: The matrix A of :func:`linear_eraser`, with shape :math:`(D, D)`.
        count: The number of cells K.
        outputs: The number of outputs of the network, 0 without y.
        labels: Whether y is a label.
        width: The number of hidden units of the network.
        weight: The weight w.

    Example:
        >>> network = Cells(torch.zeros(3), torch.ones(3), torch.zeros(3, 3), count=4)
        >>> network.cells(torch.randn(5, 3)).shape, network(torch.randn(5, 3)).shape
        (torch.Size([5]), torch.Size([5, 3]))
    """

    mean: Tensor
    scale: Tensor
    projection: Tensor
    points: Tensor
    targets: Tensor
    centres: Tensor
    merged: Tensor

    def __init__(
        self,
        mean: Tensor,
        scale: Tensor,
        projection: Tensor,
        count: int,
        outputs: int = 0,
        labels: bool = False,
        width: int = 256,
        weight: float = 1.0,
    ) -> None:
        super().__init__()

        self.labels, self.weight = labels, weight
        self.predictor = LinearPlus(len(mean), width, 1, outputs) if outputs else None
        state = {
            "mean": mean.float(),
            "scale": scale.float(),
            "projection": projection.float(),
            "points": torch.zeros(count, len(mean)),
            "targets": torch.zeros(count, outputs),
            "centres": torch.zeros(count, len(mean)),
            "merged": torch.arange(count),
        }
        for name, value in state.items():
            self.register_buffer(name, value)

    def reduced(self, x: Tensor) -> Tensor:
        """Returns standardised embeddings without linear information about s, with shape (N, D)."""
        return x - x @ self.projection.T

    def predicted(self, x: Tensor) -> Tensor:
        """Returns the prediction of y from reduced embeddings, with shape (N, E)."""
        if self.predictor is None:
            return x[:, :0]
        said: Tensor = self.predictor(x)
        return said.softmax(1) if self.labels else said

    def nearest(self, x: Tensor) -> Tensor:
        """Returns the cell of each reduced embedding, with shape (N,); merged cells share one."""
        squares = self.points.square().sum(1)
        cost = (squares - 2 * x @ self.points.T) / x.shape[1]
        if self.predictor is not None:
            y = self.predicted(x)
            if self.labels:
                distance = -(y @ self.targets.clamp(min=1e-6).log().T)
            else:
                distance = (self.targets.square().sum(1) - 2 * y @ self.targets.T) / y.shape[1]
            cost = cost + self.weight * distance
        cell: Tensor = self.merged[cost.argmin(1)]
        return cell

    def cells(self, x: Tensor) -> Tensor:
        """Returns the cell of each embedding, from 0 to K - 1, with shape (N,)."""
        return self.nearest(self.reduced((x - self.mean) / self.scale))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the mean of the cell of each embedding, with shape (N, D)."""
        return self.centres[self.cells(x)] * self.scale + self.mean


def linear_eraser(x: Tensor, s: Tensor) -> Tensor:
    r"""Returns the matrix A for which :math:`x - A x` is uncorrelated with s and closest to x.

    .. math:: A = W^+ P W, \qquad W = \Sigma_{xx}^{-1/2}

    P is the orthogonal projection onto the columns of :math:`W \Sigma_{xs}` (Theorem 4.3 of Belrose
    et al., 2023). Directions of x without variance are unchanged.

    References:
        | LEACE: Perfect linear concept erasure in closed form (Belrose et al., 2023)
        | https://arxiv.org/abs/2306.03819

    Arguments:
        x: Embeddings, with shape :math:`(N, D)`.
        s: Numbers, or one-hot labels, with shape :math:`(N, E)`.

    Returns:
        The matrix A, with shape :math:`(D, D)`.

    Example:
        >>> x, s = torch.randn(500, 3), torch.randn(500, 1)
        >>> x = x + s
        >>> left = x - x @ linear_eraser(x, s).T
        >>> bool(((left * (s - s.mean(0))).mean(0).abs() < 1e-5).all())
        True
    """
    x, s = x.double() - x.double().mean(0), s.double() - s.double().mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    there = values > 1e-9 * values.amax().clamp(min=1e-300)
    root = torch.where(there, values, 1.0).sqrt()
    whiten = (vectors * torch.where(there, 1 / root, 0.0)) @ vectors.T
    unwhiten = (vectors * torch.where(there, root, 0.0)) @ vectors.T
    columns, strengths, _ = torch.linalg.svd(whiten @ (x.T @ s / len(x)), full_matrices=False)
    kept = columns[:, strengths > 1e-7 * strengths.amax().clamp(min=1e-300)]
    projection: Tensor = unwhiten @ kept @ kept.T @ whiten
    return projection.float()


def information(table: Tensor) -> Tensor:
    r"""Returns the mutual information of a table of probabilities in nats, a scalar.

    .. math:: I = \sum_{c, s} p(c, s) \log \frac{p(c, s)}{p(c) \, p(s)}

    Arguments:
        table: Probabilities, with shape :math:`(K, C)`.

    Example:
        >>> information(torch.eye(2) / 2)
        tensor(0.6931)
    """
    table = table.clamp(min=1e-10)
    density = (table / (table.sum(0) * table.sum(1, keepdim=True))).log()
    return (table * density).sum()
