r"""The loop behind the eraser: cells keep what they can, while the table of cells and concept holds no more than the target."""

__all__ = ["Task", "train"]

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import LinearPlus
from .network import CODE, Cells, clusters, information

FIRST = 0.4
"""The share of the steps in which the encoder learns what is worth keeping, before there are cells."""
KEPT = 20.0
"""The weight of y beside X: each counts 1 if nothing is kept of it."""
MEMORY = 0.03
"""The weight of a batch of 1024 in the table that is watched."""
PRICE_RATE = 0.03
"""How fast the price of a nat moves in its logarithm."""
SAMPLE = 20_000
"""The rows that the first cells are made from."""


class Task(NamedTuple):
    """What is known of each row, on one device."""

    x: Tensor
    """Standardised embeddings, with shape (N, D)."""
    s: Tensor
    """The concept: labels from 0 to C - 1, with shape (N,)."""
    labels: int
    """The number of labels C."""
    y: Tensor | None = None
    """What is to be kept: labels with shape (N,), or standardised numbers with shape (N, E)."""
    targets: int = 0
    """The number of labels of what is to be kept, 0 for numbers."""

    def to(self, device: torch.device) -> "Task":
        """Returns the same on another device."""
        y = None if self.y is None else self.y.to(device)
        return self._replace(x=self.x.to(device), s=self.s.to(device), y=y)

    @property
    def outputs(self) -> int:
        """The number of numbers that tell y."""
        if self.y is None:
            return 0
        return self.targets or self.y.shape[1]

    @property
    def unit(self) -> float:
        """What the loss of y is if nothing is kept."""
        if self.y is None or not self.targets:
            return 1.0
        shares = self.y.bincount(minlength=self.targets) / len(self.y)
        return float(-(shares * shares.clamp(min=1e-12).log()).sum())


Draw = Callable[[], Tensor]
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
    """Trains the map.

    Arguments:
        network: The map. It is changed.
        task: What is known.
        epsilon: The target in nats.
        steps: The number of steps.
        batch: The number of rows of a step.
        generator: Where batches come from.
        tell: Called with the share that is over.
    """

    def draw() -> Tensor:
        return torch.randint(len(task.x), (batch,), generator=generator).to(task.x.device)

    first = max(1, round(FIRST * steps))
    learn_codes(network, task, first, draw, lambda share: tell(FIRST * share))
    place_cells(network, task, generator)
    move_cells(
        network,
        task,
        epsilon,
        max(1, steps - first),
        draw,
        lambda share: tell(FIRST + (1 - FIRST) * share),
    )
    merge_cells(network, task, epsilon)


def learn_codes(network: Cells, task: Task, steps: int, draw: Draw, tell: Tell) -> None:
    """Trains the encoder to keep X and y in few features."""
    decoder = nn.Linear(CODE, task.x.shape[1]).to(task.x.device)
    head = LinearPlus(CODE, 128, 1, max(1, task.outputs)).to(task.x.device)
    modules = (network.encoder, decoder, head)
    optimizer = torch.optim.Adam([p for m in modules for p in m.parameters()], lr=2e-3)
    unit = task.unit
    for step in range(steps):
        set_rates(optimizer, [2e-3], step / steps)
        rows = draw()
        x, code = task.x[rows], network.encoder(task.x[rows])
        loss = F.mse_loss(decoder(code), x)
        if task.y is not None:
            y, said = task.y[rows], head(code)
            of_y = F.cross_entropy(said, y) if task.targets else F.mse_loss(said, y)
            loss = loss + KEPT / unit * of_y
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tell((step + 1) / steps)


@torch.no_grad()
def place_cells(network: Cells, task: Task, generator: torch.Generator) -> None:
    """Puts the first codes where the encoder puts most rows, and the first outputs at their means."""
    few = torch.randperm(len(task.x), generator=generator)[:SAMPLE].to(task.x.device)
    network.codes.copy_(clusters(network.encoder(task.x[few]), len(network.codes), generator))
    network.centres.copy_(means(task.x, nearest(network, task.x), network.centres))


def move_cells(
    network: Cells, task: Task, epsilon: float, steps: int, draw: Draw, tell: Tell
) -> None:
    r"""Trains encoder, codes and outputs under the target.

    A row belongs to all cells by shares, a softmax of its distances, which sharpens until the end. The shares have gradients, and the target is for what counts:
    the table of the nearest cells. Its information has a price in units of the loss, which moves in its logarithm as in :class:`mireg.weights.LogMultiplier`.
    """
    cell = nearest(network, task.x)
    count, unit, device = len(network.codes), task.unit, task.x.device
    told = nn.Parameter(tell_of_y(task, cell, count))
    with torch.no_grad():
        few = task.x[:SAMPLE]
        spread = float(network.distances(few).amin(1).mean().clamp(min=1e-6))
    rates = [1e-3, 1e-2, 1e-2, 2e-2]
    parts = [list(network.encoder.parameters()), [network.codes], [network.centres], [told]]
    optimizer = torch.optim.Adam([{"params": p} for p in parts], betas=(0.9, 0.99))
    concept = F.one_hot(task.s, task.labels).float()
    watched, counted = torch.zeros(2, count, task.labels, device=device)
    price, reading = 0.0, 0.0
    for step in range(steps):
        set_rates(optimizer, rates, max(0.0, step / steps - 0.3) / 0.7)
        rows = draw()
        x, s = task.x[rows], concept[rows]
        distances = network.distances(x)
        shares = (distances * (-8 / spread / (1 - 0.9 * step / steps))).softmax(1)
        table = shares.T @ s / len(rows)
        with torch.no_grad():
            share = max(MEMORY * len(rows) / 1024, 1 / (step + 1))
            hard = torch.zeros_like(table).index_add_(0, distances.argmin(1), s) / len(rows)
            counted.lerp_(hard, min(share, 1.0))
            watched.lerp_(table, min(share, 1.0))
            reading = float(information(counted)[0])
            slope = information(watched)[1]
        loss = F.mse_loss(shares @ network.centres, x)
        if task.y is not None:
            y = task.y[rows]
            if task.targets:
                of_y = -(shares * told.log_softmax(1).T[y]).sum(1).mean()
            else:
                of_y = F.mse_loss(shares @ told, y)
            loss = loss + KEPT / unit * of_y
        excess = reading / max(epsilon, 1e-6)
        loss = loss + math.exp(price) * min(5.0, excess) * (table * slope).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        price = min(12.0, price + PRICE_RATE * max(-1.0, min(1.0, excess - 1)))
        tell((step + 1) / steps)


@torch.no_grad()
def merge_cells(network: Cells, task: Task, epsilon: float) -> None:
    """Merges cells until the rows of the training hold the target, those first that cost the task least for each nat, and puts the outputs at their means.

    The training ends close to the target. What is above it, by chance or for want of steps, ends here.
    """
    cell, count = nearest(network, task.x), len(network.codes)
    place = cell * task.labels + task.s
    table = place.bincount(minlength=count * task.labels).view(count, -1).double() / len(cell)
    sizes = table.sum(1)
    outputs = means(task.x, cell, network.centres)
    of_y: Tensor | None = None
    if task.y is not None and task.targets:
        place = cell * task.targets + task.y
        of_y = place.bincount(minlength=count * task.targets).view(count, -1).double() / len(cell)
    elif task.y is not None:
        of_y = means(task.y, cell, torch.zeros(count, task.outputs, device=cell.device)).double()

    def ratios(rows: Tensor) -> Tensor:
        """Returns what it costs to merge some cells with each, for a nat, with shape (R, K)."""
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
    while float(information(table)[0]) > epsilon and left > 1:
        i, j = sorted(divmod(int(ratio.argmin()), count))
        network.merged[network.merged == j] = i
        share = sizes[j] / (sizes[i] + sizes[j])
        outputs[i] = outputs[i].lerp(outputs[j], share.to(outputs.dtype))
        if of_y is not None:
            of_y[i] = of_y[i] + of_y[j] if task.targets else of_y[i].lerp(of_y[j], share)
        for counts in (table, sizes):
            counts[i] += counts[j]
            counts[j] = 0
        ratio[i] = ratio[:, i] = ratios(torch.tensor([i], device=cell.device))[0]
        ratio[j] = ratio[:, j] = math.inf
        left -= 1
    network.centres.copy_(means(task.x, nearest(network, task.x), network.centres))


def merging_loses(table: Tensor, rows: Tensor) -> Tensor:
    r"""Returns the nats that a table loses where one of some rows and one of all become one, with shape (R, K).

    .. math:: \phi(p_i) + \phi(p_j) - \phi(p_i + p_j), \qquad \phi(p) = \sum_s p_s \log p_s - p \log p
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
    """Returns how much the sum of squares grows where two clusters become one, with shape (R, K): Ward (1963)."""
    weight = sizes[rows, None] * sizes / (sizes[rows, None] + sizes).clamp(min=1e-12)
    grown: Tensor = weight * torch.cdist(points[rows], points).square()
    return grown


def tell_of_y(task: Task, cell: Tensor, count: int) -> Tensor:
    """Returns what each cell tells of y at first: logarithms of shares, or means."""
    if task.y is None:
        return torch.zeros(count, 1, device=task.x.device)
    if not task.targets:
        return means(task.y, cell, torch.zeros(count, task.outputs, device=task.x.device))
    shape = count, task.targets
    counts = (cell * task.targets + task.y).bincount(minlength=count * task.targets).view(shape)
    return ((counts + 0.5) / (counts + 0.5).sum(1, keepdim=True)).log()


@torch.no_grad()
def nearest(network: Cells, x: Tensor) -> Tensor:
    """Returns the cell of each standardised embedding, with shape (N,)."""
    return torch.cat([network.nearest(part) for part in x.split(8192)])


def means(x: Tensor, cell: Tensor, empty: Tensor) -> Tensor:
    """Returns the mean of each cell, and `empty` where a cell has no row."""
    sizes = cell.bincount(minlength=len(empty))[:, None]
    sums = torch.zeros_like(empty).index_add_(0, cell, x)
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), empty)


def set_rates(optimizer: torch.optim.Optimizer, rates: list[float], done: float) -> None:
    """Lets the rates fall along a cosine."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
