"""Principal components of codes, products of two of them, and one sample of each group."""

__all__ = ["first_of_groups", "principal", "products", "whitening"]

import torch
from torch import Tensor


def whitening(x: Tensor) -> Tensor:
    """Returns the map (D, R) of centred samples (N, D) to uncorrelated ones of unit variance."""
    covariance = x.T @ x / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    # Directions without variance, such as repeated columns, are dropped.
    kept = values > 1e-10 * values.max()
    return torch.mul(vectors[:, kept], values[kept].rsqrt())


def principal(x: Tensor, most: int) -> Tensor:
    """Returns the principal components of centred samples with unit variance.

    Those of most variance are last.

    Arguments:
        x: The samples, with shape (N, D).
        most: The number of components, if there are as many.
    """
    return torch.matmul(x, whitening(x)[:, -most:])


def products(x: Tensor) -> Tensor:
    """Returns the products of every two columns, and the squares.

    Example:
        >>> products(torch.tensor([[2, 3]]))
        tensor([[4, 6, 9]])
    """
    i, j = torch.triu_indices(x.shape[1], x.shape[1], device=x.device)
    return torch.mul(x[:, i], x[:, j])


def first_of_groups(groups: Tensor) -> Tensor:
    """Returns the first row of each group, in the order of the groups.

    Example:
        >>> first_of_groups(torch.tensor([7, 2, 7, 2]))
        tensor([1, 0])
    """
    order = groups.argsort(stable=True)
    first = groups[order].diff(prepend=groups[order][:1] - 1) != 0
    return order[first]
