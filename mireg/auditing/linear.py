r"""Linear critics: of codes in closed form, and of labels by logistic regression."""

__all__ = ["CanonicalCritic", "are_judges", "logistic_regression"]

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._components import whitening
from ..functional import critic_loss
from .networks import FoldLinear

CHANCE = 4.0
"""The squared correlation, times the number of samples, that is attributed to chance (mean 1)."""

VARIANCES = (0.003, 0.03, 0.3, 3.0)
"""The variances of the weights' Gaussian prior in logistic regression: the judges choose one."""

MOST_FITTED, MOST_VALUES = 20_000, 4_000_000
"""The most samples of a fold in logistic regression, and the most values of them."""


def are_judges(groups: Tensor) -> Tensor:
    """Returns whether each training sample is one of a fifth of the groups that make choices.

    The stopping samples, which also weight the members, must stay unseen.

    Arguments:
        groups: The group of each sample, with shape (N,).
    """
    index: Tensor = groups.unique(return_inverse=True)[1]
    return index % 5 == 0


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
        whiten_x, whiten_y = whitening(x), whitening(y)
        cross = (x @ whiten_x).T @ (y @ whiten_y) / len(x)
        left, rho, right = torch.linalg.svd(cross, full_matrices=False)
        self.to_u, self.to_v = whiten_x @ left, whiten_y @ right.T

        # Canonical pairs are correlated in training even without dependence. Correlations on other
        # samples are shrunk by what chance explains (positive-part James-Stein).
        u, v = self._variables(x_judge, y_judge)
        found = (u * v).mean(0) / (u.square().mean(0) * v.square().mean(0)).sqrt().clamp(min=1e-12)
        shrunk = found * (1 - CHANCE / len(u) / found.square()).clamp(min=0)
        self.rho = torch.minimum(rho, shrunk.clamp(min=0)).clamp(max=0.99999)
        # The logits of the first pairs, for each number of them.
        gains = _log_ratios(u, v, self.rho).cumsum(1)
        negatives = [_log_ratios(u, v.roll(k, 0), self.rho).cumsum(1) for k in (1, 2, 3)]
        losses = [critic_loss(torch.zeros(1), torch.zeros(1))]
        for joint, marginal in zip(gains.T, torch.stack(negatives).permute(2, 0, 1), strict=True):
            losses.append(critic_loss(joint, marginal))
        self.count = int(torch.stack(losses).argmin())

    def _variables(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x.double() - self.mean_x) @ self.to_u, (y.double() - self.mean_y) @ self.to_v

    def variables(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the canonical variables that count, with shape (N, count) each."""
        u, v = self._variables(x, y)
        return u[:, : self.count], v[:, : self.count]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return _log_ratios(*self.variables(x, y), self.rho[: self.count]).sum(-1).clamp(-50, 50)


def _log_ratios(u: Tensor, v: Tensor, rho: Tensor) -> Tensor:
    rest = 1 - rho.square()
    squares = rho / 2 * (u.square() + v.square())
    return torch.addcmul(-rest.log() / 2, rho / rest, u * v - squares)


def logistic_regression(
    x: list[Tensor], labels: list[Tensor], groups: list[Tensor], log_prior: Tensor
) -> FoldLinear:
    """Returns one logistic regression per fold, with a Gaussian prior of the weights.

    The judges choose the variance of the prior. Then all samples are used.

    Arguments:
        x: The training codes of each fold, with shape (N, D).
        labels: Their labels, with shape (N,).
        groups: Their groups, with shape (N,).
        log_prior: The logarithm of each label's frequency, which is added to the logits, with shape
            (F, C).
    """
    widest = max(x[0].shape[1], log_prior.shape[1])
    most = min(MOST_FITTED, max(1, MOST_VALUES // widest), *map(len, x))
    # Samples of one group are neighbours: take rows at equal distances.
    rows = [torch.linspace(0, len(part) - 1, most).round().long() for part in x]
    codes, y = (
        torch.stack([part[index] for part, index in zip(parts, rows, strict=True)])
        for parts in (x, labels)
    )
    judges = torch.stack(
        [are_judges(part)[index] for part, index in zip(groups, rows, strict=True)]
    )
    network = FoldLinear(len(x), codes.shape[2], log_prior.shape[1])
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    losses = []
    for variance in VARIANCES:
        _regress(network, codes, y, ~judges, log_prior, torch.full((len(x),), variance))
        losses.append(_cross_entropy(network, codes, y, judges, log_prior).detach())
    chosen = torch.tensor(VARIANCES)[torch.stack(losses).argmin(0)]
    _regress(network, codes, y, torch.ones_like(judges), log_prior, chosen)
    return network


def _regress(
    network: FoldLinear,
    x: Tensor,
    labels: Tensor,
    counted: Tensor,
    log_prior: Tensor,
    variance: Tensor,
) -> None:
    """Trains from the present weights towards the optimum, which is unique."""
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=50, line_search_fn="strong_wolfe")
    count = counted.sum(1).clamp(min=1)
    precision = 1 / (2 * variance * count)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _cross_entropy(network, x, labels, counted, log_prior)
        # The biases have a prior of variance 1, for labels that are missing in a fold.
        of_bias = network.bias.square().sum((1, 2)) / (2 * count)
        total = (loss + precision * network.weight.square().sum((1, 2)) + of_bias).sum()
        total.backward()
        return total

    optimizer.step(closure)


def _cross_entropy(
    network: FoldLinear, x: Tensor, labels: Tensor, counted: Tensor, log_prior: Tensor
) -> Tensor:
    """Returns the mean cross-entropy of the samples that count, with shape (F,)."""
    log_probability = F.log_softmax(network(x) + log_prior[:, None], dim=-1)
    of_label = log_probability.gather(2, labels[..., None]).squeeze(2)
    return -(of_label * counted).sum(1) / counted.sum(1).clamp(min=1)
