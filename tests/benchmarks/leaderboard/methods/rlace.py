"""R-LACE (Ravfogel et al., 2022): a linear classifier and a projection of some rank play against
one another, and the result is rounded to a projection.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from tasks import Task
from torch import Tensor, nn
from training import Codes

from .base import Method
from .linear import DIMENSIONS, erased

STEPS, ROWS, RATE = 1500, 256, 0.05


def onto_simplex(values: Tensor, rank: int) -> Tensor:
    """Projects eigenvalues onto those from 0 to 1 with a given sum, by bisection."""
    low, high = float(values.min()) - 1, float(values.max())
    for _ in range(50):
        middle = (low + high) / 2
        if float((values - middle).clamp(0, 1).sum()) > rank:
            low = middle
        else:
            high = middle
    return (values - low).clamp(0, 1)


def run_rlace(task: Task, setting: float, seed: int, device: str) -> Codes:
    """Removes a subspace; the setting is its rank."""

    def fit(x: Tensor, s: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
        torch.manual_seed(seed)
        rank = min(int(setting), x.shape[1] - 1)
        unit = (x / x.std()).float()
        removed = torch.zeros(x.shape[1], x.shape[1], requires_grad=True)
        judge = nn.Linear(x.shape[1], classes)
        of_judge = torch.optim.SGD(judge.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-5)
        of_map = torch.optim.SGD([removed], lr=RATE)
        for step in range(STEPS):
            rows = torch.randint(len(unit), (ROWS,))
            kept = unit[rows] - unit[rows] @ (removed + removed.T) / 2
            loss = F.cross_entropy(judge(kept), s[rows])
            of_judge.zero_grad()
            of_map.zero_grad()
            # Both see one loss: the classifier lowers it, the map raises it, in turn.
            (-loss if step % 2 else loss).backward()
            if step % 2 == 0:
                of_judge.step()
                continue
            of_map.step()
            with torch.no_grad():
                values, vectors = torch.linalg.eigh((removed + removed.T) / 2)
                removed.copy_((vectors * onto_simplex(values, rank)) @ vectors.T)
        basis = torch.linalg.eigh(removed.detach().double())[1][:, -rank:]
        return lambda rows: rows - (rows @ basis) @ basis.T

    return erased(task, DIMENSIONS[0], fit)


METHODS = {"R-LACE": Method(run_rlace, (1, 2, 4, 8, 16, 32), "rank")}
