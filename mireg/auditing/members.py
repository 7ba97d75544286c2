r"""The members of the panel: critics of all folds, which return logits for the pairs of an index.

For labels a critic is a classifier, :math:`T(\pi, \alpha) = \log q(\alpha | \pi) - \log p(\alpha)`.
"""

__all__ = [
    "CodeCritics",
    "LabelCritics",
    "Neighbours",
    "OneCoordinate",
    "code_members",
    "label_members",
]

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import shown_in_octaves
from .fitting import FoldData
from .linear import CanonicalCritic, are_judges
from .networks import Concatenated, FoldMLP, Separable, Towers


class CodeCritics(nn.Module):
    """Creates critics of codes: a linear part in closed form, and networks for the rest.

    Arguments:
        linear: The linear critic of each fold.
        rank: The number of canonical variables of the samples, at least that of every fold.
        branches: Networks whose logits are added.
    """

    rho: Tensor

    def __init__(self, linear: list[CanonicalCritic], rank: int, *branches: nn.Module) -> None:
        super().__init__()

        rho = torch.zeros(len(linear), rank)
        for row, critic in zip(rho, linear, strict=True):
            row[: critic.count] = critic.rho[: critic.count]
        self.register_buffer("rho", rho)
        self.branches = nn.ModuleList(branches)
        self.all_pairs = bool(branches) and all(isinstance(b, Towers) for b in branches)

    def linear(self, batch: FoldData) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns factors of the linear part's inner product, and a term for each code alone."""
        rho = self.rho[:, None]
        rest = 1 - rho**2
        u, v = batch.base_x, batch.base_y
        of_u = -(rho**2 / rest / 2 * u**2).sum(-1) - rest.log().sum(-1) / 2
        of_v = -(rho**2 / rest / 2 * v**2).sum(-1)
        return u * rho / rest, v, of_u, of_v

    def forward(self, batch: FoldData, index: Tensor) -> Tensor:
        """Returns the logits for the pairs of an index (K, N), with shape (F, K, N)."""
        u, v, of_u, of_v = self.linear(batch)
        products = (u[:, None] * v[:, index]).sum(-1)
        logits = (products + of_u[:, None] + of_v[:, index]).clamp(-50, 50)
        for branch in self.branches:
            logits = logits + branch(batch.x, batch.y, index)
        return logits

    def every(self, batch: FoldData) -> Tensor:
        """Returns the logits of all pairs of a batch, with shape (F, N, N)."""
        u, v, of_u, of_v = self.linear(batch)
        logits = u @ v.mT + of_u[..., None] + of_v[:, None]
        logits = logits.clamp(-50, 50)
        for branch in self.branches:
            logits = logits + cast(Towers, branch).every(batch.x, batch.y)
        return logits


class LabelCritics(nn.Module):
    """Creates one classifier of labels per fold, as a correction to the log-frequencies.

    Arguments:
        log_prior: The logarithm of each label's frequency, with shape (F, C).
        layers: The layers that map codes to these corrections.
    """

    log_prior: Tensor

    def __init__(self, log_prior: Tensor, *layers: nn.Module) -> None:
        super().__init__()

        self.register_buffer("log_prior", log_prior)
        self.correction = nn.Sequential(*layers)

    def log_probability(self, x: Tensor) -> Tensor:
        """Returns the log-probability of each label, with shape (F, N, C)."""
        return F.log_softmax(self.correction(x) + self.log_prior[:, None], dim=-1)

    def forward(self, batch: FoldData, index: Tensor) -> Tensor:
        ratio = self.log_probability(batch.x) - self.log_prior[:, None]
        return ratio.gather(2, batch.y[:, index].transpose(1, 2)).transpose(1, 2)


class Nearest:
    """Creates a look-up of the labels of the nearest training codes, which caches its last result.

    Arguments:
        train: The training samples of each fold.
        count: How many neighbours to look up.
        most: The number of training samples to choose neighbours from.
    """

    def __init__(self, train: list[FoldData], count: int, most: int) -> None:
        self.codes = [fold.x[:most] for fold in train]
        self.labels = [fold.y[:most] for fold in train]
        self.count = min(count, *(len(codes) for codes in self.codes))
        self.last: tuple[int, Tensor, Tensor] | None = None

    def of_fold(self, k: int, x: Tensor) -> Tensor:
        """Returns the labels of the neighbours in fold k, nearest first, with shape (N, count)."""
        if self.last is None or self.last[0] != k or not torch.equal(self.last[1], x):
            codes = self.codes[k]
            half_squares = codes.square().sum(1) / 2
            nearest = []
            for rows in x.split(max(1, 4_000_000 // len(codes))):
                # Half the squared distance, up to a constant for each sample.
                far = torch.addmm(half_squares, rows, codes.mT, alpha=-1)
                nearest.append(far.topk(self.count, largest=False).indices)
            self.last = (k, x, self.labels[k][torch.cat(nearest)])
        return self.last[2]


class Neighbours(nn.Module):
    """Creates critics of labels from the nearest training codes, for dependence in fine detail.

    Arguments:
        log_prior: The logarithm of each label's frequency, with shape (F, C).
        nearest: The look-up.
        count: The number of neighbours.
    """

    def __init__(self, log_prior: Tensor, nearest: Nearest, count: int) -> None:
        super().__init__()

        self.log_prior, self.nearest = log_prior, nearest
        self.count = min(count, nearest.count)

    def of_fold(self, k: int, x: Tensor) -> Tensor:
        """Returns the logits of fold k for every label, with shape (N, C)."""
        labels = self.nearest.of_fold(k, x)[:, : self.count]
        votes = x.new_zeros(len(x), self.log_prior.shape[1])
        votes.scatter_add_(1, labels, torch.ones_like(labels, dtype=x.dtype))
        return _log_ratio(votes, self.log_prior[k])


class OneCoordinate(nn.Module):
    """Creates critics of labels from the nearest training codes in one coordinate.

    What one coordinate shows in fine detail is hidden from neighbours in all coordinates. The
    judges choose the coordinate and the number of neighbours.

    Arguments:
        log_prior: The logarithm of each label's frequency, with shape (F, C).
        train: The training samples of each fold.
        counts: The numbers of neighbours.
        most: The number of training samples to choose neighbours from.
    """

    log_prior: Tensor

    def __init__(
        self, log_prior: Tensor, train: list[FoldData], counts: tuple[int, ...], most: int
    ) -> None:
        super().__init__()

        self.register_buffer("log_prior", log_prior)
        self.chosen: list[tuple[int, int]] = []
        self.tables: list[tuple[Tensor, Tensor]] = []
        for k, fold in enumerate(train):
            # Samples of one group are neighbours: take rows at equal distances.
            rows = torch.linspace(0, len(fold.x) - 1, min(most, len(fold.x))).round().long()
            x, y, judges = fold.x[rows], fold.y[rows], are_judges(fold.groups)[rows]
            losses = []
            for column in range(x.shape[1]):
                table = self._table(x[~judges, column], y[~judges])
                for count in counts:
                    ratio = self._ratios(k, table, x[judges, column], count)
                    said = F.nll_loss(ratio + self.log_prior[k], y[judges])
                    losses.append((float(said), column, count))
            _, column, count = min(losses)
            self.chosen.append((column, count))
            self.tables.append(self._table(x[:, column], y))

    def _table(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns sorted values, and how often each label is among the first of them."""
        order = values.argsort()
        hits = F.one_hot(labels[order], self.log_prior.shape[1]).float()
        return values[order], F.pad(hits.cumsum(0), (0, 0, 1, 0))

    def _ratios(self, k: int, table: tuple[Tensor, Tensor], x: Tensor, count: int) -> Tensor:
        values, sums = table
        count = min(count, len(values))
        x = x.contiguous()
        # The middle, if a value was seen several times.
        place = torch.searchsorted(values, x) + torch.searchsorted(values, x, right=True)
        first = (place // 2 - count // 2).clamp(0, len(values) - count)
        return _log_ratio(sums[first + count] - sums[first], self.log_prior[k])

    def of_fold(self, k: int, x: Tensor) -> Tensor:
        """Returns the logits of fold k for every label, with shape (N, C)."""
        column, count = self.chosen[k]
        return self._ratios(k, self.tables[k], x[:, column], count)


def _log_ratio(votes: Tensor, log_prior: Tensor) -> Tensor:
    """Returns the logits of labels by the votes of neighbours, with shape (N, C)."""
    count = votes.sum(1, keepdim=True)
    # About a tenth of the votes follows the frequencies, so that no label has probability 0.
    weight = 1 + 0.1 * count
    return ((votes + weight * log_prior.exp()) / (count + weight)).log() - log_prior


def code_members(
    linear: list[CanonicalCritic], rank: int, x_features: int, y_features: int
) -> dict[str, Callable[[], nn.Module]]:
    """Returns constructors of the trained critics of codes, by kind."""
    folds = len(linear)
    sizes = (folds, x_features, y_features)
    return {
        "small": lambda: CodeCritics(linear, rank, Concatenated(*sizes, 64)),
        "towers": lambda: CodeCritics(linear, rank, Towers(*sizes, 96, dropout=0.1)),
        "large": lambda: CodeCritics(
            linear, rank, Concatenated(*sizes, 128, dropout=0.1), Separable(*sizes, 64, dropout=0.1)
        ),
        "octaves": lambda: CodeCritics(
            linear, rank, Concatenated(*sizes, 96, dropout=0.1, octaves=4)
        ),
    }


def label_members(log_prior: Tensor, x_features: int) -> dict[str, Callable[[], nn.Module]]:
    """Returns constructors of the trained critics of labels, by kind."""
    folds, classes = log_prior.shape

    def make(width: int, depth: int, dropout: float = 0.0, octaves: int = 0) -> LabelCritics:
        shown, inputs = shown_in_octaves(x_features, octaves)
        perceptron = FoldMLP(folds, inputs, width, depth, classes, dropout)
        return LabelCritics(log_prior, shown, perceptron)

    return {
        "linear": lambda: make(0, 0),
        "small": lambda: make(64, 1),
        "large": lambda: make(192, 2, dropout=0.2),
        "octaves": lambda: make(128, 2, dropout=0.1, octaves=4),
    }
