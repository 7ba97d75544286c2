r"""The linear critic in closed form: the log-ratio of a Gaussian of equal correlations."""

__all__ = ["CanonicalCritic"]

import torch
from torch import Tensor

from ..functional import critic_loss

CHANCE = 4.0
"""The squared correlation, times the number of samples, that is attributed to chance (mean 1)."""


class CanonicalCritic:
    r"""Creates the critic that is optimal if the codes are jointly Gaussian.

    .. math:: T = \sum_i -\tfrac{1}{2} \log(1 - \rho_i^2)
        + \frac{\rho_i}{1 - \rho_i^2} \left( u_i v_i - \tfrac{\rho_i}{2} (u_i^2 + v_i^2) \right)

    with the canonical variables :math:`u_i, v_i` of :math:`\pi, \alpha` and their correlations
    :math:`\rho_i`. The number of canonical pairs is chosen on further samples.

    Arguments:
        x: Training codes, with shape (N, D).
        y: Training codes, with shape (N, E).
        x_judge: Further codes, with shape (M, D), on which the number of canonical pairs is chosen.
        y_judge: Further codes, with shape (M, E).
    """

    def __init__(self, x: Tensor, y: Tensor, x_judge: Tensor, y_judge: Tensor) -> None:
        x, y = x.double(), y.double()
        self.mean_x, self.mean_y = x.mean(0), y.mean(0)
        x, y = x - self.mean_x, y - self.mean_y
        whiten_x, whiten_y = _whitening(x), _whitening(y)
        cross = (x @ whiten_x).T @ (y @ whiten_y) / len(x)
        left, rho, right = torch.linalg.svd(cross, full_matrices=False)
        self.to_u, self.to_v = whiten_x @ left, whiten_y @ right.T

        # Canonical pairs are correlated in training even without dependence. Correlations on other
        # samples are shrunk by what chance explains (positive-part James-Stein).
        u, v = self._variables(x_judge, y_judge)
        found = (u * v).mean(0) / (u.square().mean(0) * v.square().mean(0)).sqrt().clamp(min=1e-12)
        shrunk = found * (1 - CHANCE / len(u) / found.square()).clamp(min=0)
        self.rho = torch.minimum(rho, shrunk.clamp(min=0)).clamp(max=0.99999)
        gains = _log_ratios(u, v, self.rho)
        negatives = torch.stack([_log_ratios(u, v.roll(k, 0), self.rho) for k in (1, 2, 3)])
        losses = [critic_loss(torch.zeros(1), torch.zeros(1))]
        for count in range(1, len(rho) + 1):
            losses.append(critic_loss(gains[:, :count].sum(1), negatives[..., :count].sum(-1)))
        self.count = int(torch.stack(losses).argmin())

    def _variables(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x.double() - self.mean_x) @ self.to_u, (y.double() - self.mean_y) @ self.to_v

    def variables(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the canonical variables that count, with shape (N, count) each."""
        u, v = self._variables(x, y)
        return u[:, : self.count], v[:, : self.count]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return _log_ratios(*self.variables(x, y), self.rho[: self.count]).sum(-1).clamp(-50, 50)


def _whitening(x: Tensor) -> Tensor:
    covariance = x.T @ x / len(x)
    values, vectors = torch.linalg.eigh(covariance)
    # Directions without variance, such as repeated columns, are dropped.
    kept = values > 1e-6 * values.max()
    return torch.mul(vectors[:, kept], values[kept].rsqrt())


def _log_ratios(u: Tensor, v: Tensor, rho: Tensor) -> Tensor:
    rest = 1 - rho.square()
    squares = rho / 2 * (u.square() + v.square())
    return torch.addcmul(-rest.log() / 2, rho / rest, u * v - squares)
