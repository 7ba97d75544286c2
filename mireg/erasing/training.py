r"""The fit of an eraser: a network learns y, cells are placed, and merged down to the target."""

__all__ = ["Task", "train"]

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .._numerics import label_entropy
from .network import Cells, information

KEPT = 20.0
"""The weight of y relative to X. The loss of each is 1 if nothing of it is preserved."""
RATE = 2e-3
ROUNDS = 12


class Task(NamedTuple):
    """The training data, on one device."""

    x: Tensor
    """Reduced embeddings, with shape (N, D)."""
    full: Tensor
    """Standardised embeddings, with shape (N, D)."""
    s: Tensor
    """The concept: labels from 0 to C - 1, with shape (N,)."""
    labels: int
    """The number of labels C."""
    y: Tensor | None = None
    """The target to preserve: labels with shape (N,), or standardised numbers with shape (N, E)."""
    targets: int = 0
    """The number of labels of y; 0 for numbers."""

    def to(self, device: torch.device) -> "Task":
        """Returns the data on another device."""
        y = None if self.y is None else self.y.to(device)
        return self._replace(
            x=self.x.to(device), full=self.full.to(device), s=self.s.to(device), y=y
        )

    @property
    def outputs(self) -> int:
        """The number of network outputs for y."""
        if self.y is None:
            return 0
        return self.targets or self.y.shape[1]

    @property
    def unit(self) -> float:
        """The loss of y if nothing of it is preserved."""
        if self.y is None or not self.targets:
            return 1.0
        return label_entropy(self.y)


Tell = Callable[[float], None]


def train(
    network: Cells,
    task: Task,
    epsilon: float,
    steps: int,
    batch: int,
    generator: torch.Generator,
    tell: Tell,
) -> None:
    """Fits the map.

    Arguments:
        network: The map, changed in place.
        task: The training data.
        epsilon: The target in nats.
        steps: The number of steps in which the network learns y.
        batch: The number of rows in a step.
        generator: The source of batches.
        tell: A function that is called with the share that is done.
    """
    if task.y is not None:
        learn_to_predict(network, task, steps, batch, generator, lambda share: tell(0.6 * share))
    place_cells(network, task, generator, lambda share: tell(0.6 + 0.4 * share))
    merge_cells(network, task, epsilon)


def learn_to_predict(
    network: Cells, task: Task, steps: int, batch: int, generator: torch.Generator, tell: Tell
) -> None:
    """Trains the network that predicts y."""
    assert network.predictor is not None and task.y is not None
    optimizer = torch.optim.AdamW(network.predictor.parameters(), lr=RATE, weight_decay=1e-2)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        rows = torch.randint(len(task.x), (batch,), generator=generator).to(task.x.device)
        said, y = network.predictor(task.x[rows]), task.y[rows]
        loss = F.cross_entropy(said, y) if task.targets else F.mse_loss(said, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tell((step + 1) / steps)


@torch.no_grad()
def place_cells(network: Cells, task: Task, generator: torch.Generator, tell: Tell) -> None:
    """Places the cells by Lloyd's algorithm for the loss of X and y (Banerjee et al., 2005)."""
    predicted = torch.cat([network.predicted(part) for part in task.x.split(8192)])
    first = torch.randperm(len(task.x), generator=generator)[: len(network.points)]
    first = first.to(task.x.device)
    network.points.copy_(task.x[first])
    network.targets.copy_((predicted[first] + predicted.mean(0)) / 2)
    for i in range(ROUNDS):
        cell = nearest(network, task.x)
        network.points.copy_(means(task.x, cell, network.points))
        network.targets.copy_(means(predicted, cell, network.targets))
        tell((i + 1) / ROUNDS)


@torch.no_grad()
def merge_cells(network: Cells, task: Task, epsilon: float) -> None:
    """Merges the cells that cost least per nat until the target is met, and sets their outputs.

    Two thirds of the rows choose what to merge. The choice favours what is large by chance, so what
    is left in these rows is too low an estimate. The other rows measure it.
    """
    cell, count = nearest(network, task.x), len(network.points)
    place = cell * task.labels + task.s
    third = math.ceil(len(place) / 3)
    chosen, measured = place[:-third], place[-third:]
    table, other = (
        part.bincount(minlength=count * task.labels).view(count, -1).double() / len(part)
        for part in (chosen, measured)
    )
    sizes = cell.bincount(minlength=count).double() / len(cell)
    outputs = means(task.x, cell, network.points)
    of_y: Tensor | None = None
    if task.y is not None and task.targets:
        place = cell * task.targets + task.y
        of_y = place.bincount(minlength=count * task.targets).view(count, -1).double() / len(cell)
    elif task.y is not None:
        of_y = means(task.y, cell, torch.zeros(count, task.outputs, device=cell.device)).double()

    def ratios(rows: Tensor) -> Tensor:
        """Returns the cost per nat of merging some cells with each cell, with shape (R, K)."""
        cost = spread_of(outputs.double(), sizes, rows) / outputs.shape[1]
        if of_y is not None and task.targets:
            cost += KEPT / task.unit * merging_loses(of_y, rows)
        elif of_y is not None:
            cost += KEPT * spread_of(of_y, sizes, rows) / of_y.shape[1]
        ratio = (cost + 1e-12) / merging_loses(table, rows).clamp(min=1e-12)
        ratio[:, sizes <= 0] = math.inf
        ratio[sizes[rows] <= 0] = math.inf
        return ratio.scatter(1, rows[:, None], math.inf)

    ratio = ratios(torch.arange(count, device=cell.device))
    left = int((sizes > 0).sum())

    def revealed() -> float:
        """Returns what the cells reveal about s, in nats, without what chance adds."""
        occupied = int((other.sum(1) > 0).sum())
        return float(information(other)) - by_chance(occupied, task.labels, len(measured))

    while left > 1 and revealed() > epsilon:
        i, j = sorted(divmod(int(ratio.argmin()), count))
        network.merged[network.merged == j] = i
        share = sizes[j] / (sizes[i] + sizes[j])
        outputs[i] = outputs[i].lerp(outputs[j], share.to(outputs.dtype))
        if of_y is not None:
            of_y[i] = of_y[i] + of_y[j] if task.targets else of_y[i].lerp(of_y[j], share)
        for counts in (table, other, sizes):
            counts[i] += counts[j]
            counts[j] = 0
        ratio[i] = ratio[:, i] = ratios(torch.tensor([i], device=cell.device))[0]
        ratio[j] = ratio[:, j] = math.inf
        left -= 1
    network.centres.copy_(means(task.full, nearest(network, task.x), network.centres))


def by_chance(cells: int, labels: int, rows: int) -> float:
    """Returns the nats that chance adds to the table of K cells and C labels, (K - 1) (C - 1) / 2 n
    on average (Miller, 1955).
    """
    return (cells - 1) * (labels - 1) / (2 * rows)


def merging_loses(table: Tensor, rows: Tensor) -> Tensor:
    r"""Returns the nats that a table loses if some rows merge with each row, with shape (R, K).

    .. math:: \phi(p_i) + \phi(p_j) - \phi(p_i + p_j), \quad
        \phi(p) = \sum_s p_s \log p_s - p \log p
    """

    def phi(p: Tensor) -> Tensor:
        value: Tensor = torch.special.xlogy(p, p).sum(-1) - torch.special.xlogy(
            p.sum(-1), p.sum(-1)
        )
        return value

    of_each = phi(table)
    lost: Tensor = (
        of_each[rows, None] + of_each - torch.stack([phi(row + table) for row in table[rows]])
    )
    return lost


def spread_of(points: Tensor, sizes: Tensor, rows: Tensor) -> Tensor:
    """Returns the growth of the sum of squares if clusters merge: Ward (1963); shape (R, K)."""
    weight = sizes[rows, None] * sizes / (sizes[rows, None] + sizes).clamp(min=1e-12)
    grown: Tensor = weight * torch.cdist(points[rows], points).square()
    return grown


@torch.no_grad()
def nearest(network: Cells, x: Tensor) -> Tensor:
    """Returns the cell of each standardised embedding, with shape (N,)."""
    return torch.cat([network.nearest(part) for part in x.split(8192)])


def means(x: Tensor, cell: Tensor, empty: Tensor) -> Tensor:
    """Returns the mean of each cell, or `empty` for cells without rows."""
    sizes = cell.bincount(minlength=len(empty))[:, None]
    sums = torch.zeros_like(empty).index_add_(0, cell, x)
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), empty)
