"""What the estimators that people use find, on the same samples as the audit: each takes two arrays and returns nats.

Half of the samples train MINE and InfoNCE, a tenth tells when to stop, and the rest judges. None is tuned to a task.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import psi
from torch import Tensor, nn

BATCH, STEPS, CHECK_EVERY, WIDTH = 256, 2000, 100, 128


def ksg(x: np.ndarray, y: np.ndarray, k: int = 3) -> float:
    """The first estimator of Kraskov, Stögbauer and Grassberger (2004), with the maximum norm and k = 3 as in NPEET."""
    random = np.random.default_rng(0)
    # Ties break the counts: codes are standardised, and get noise that is far too small to matter.
    x, y = (
        (z - z.mean(0)) / z.std(0) + 1e-10 * random.standard_normal(z.shape)
        for z in (x.astype(np.float64), y.astype(np.float64))
    )
    both = np.hstack((x, y))
    distance = cKDTree(both).query(both, k + 1, p=math.inf)[0][:, k]

    def neighbours(z: np.ndarray) -> np.ndarray:
        inside = np.nextafter(distance, 0)
        return cKDTree(z).query_ball_point(z, inside, p=math.inf, return_length=True)

    # Each point counts itself: n + 1 of the formula.
    return float(psi(k) + psi(len(x)) - (psi(neighbours(x)) + psi(neighbours(y))).mean())


def scikit_learn(x: np.ndarray, y: np.ndarray) -> float | None:
    """`mutual_info_regression` or `mutual_info_classif` at their defaults; `None` if it does not apply: they take one feature at a time."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    if x.shape[1] > 1 or y.reshape(len(y), -1).shape[1] > 1:
        return None
    estimator = mutual_info_classif if y.dtype.kind in "iu" else mutual_info_regression
    return float(estimator(x, y.reshape(-1), random_state=0)[0])


class Mine(nn.Module):
    """The statistics network of MINE (Belghazi et al., 2018): a perceptron on both codes."""

    def __init__(self, x_features: int, y_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(x_features + y_features, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Linear(WIDTH, 1),
        )
        self.average = 0.0

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat((x, y), 1)).squeeze(1)

    def bound(self, x: Tensor, y: Tensor) -> Tensor:
        """The bound of Donsker and Varadhan, with a random derangement as marginal pairs."""
        partner = y.roll(int(torch.randint(1, len(y), ())), 0)
        marginal = self(x, partner).logsumexp(0) - math.log(len(x))
        if not self.training:
            return self(x, y).mean() - marginal
        # The gradient of the logarithm goes by a moving average of its argument, as the authors propose.
        value = float(marginal.detach().clamp(max=20).exp())
        self.average = 0.99 * self.average + 0.01 * value if self.average else value
        return self(x, y).mean() - (marginal.exp() / self.average)


class InfoNCE(nn.Module):
    """Two towers with an inner product, and all pairs of a batch (van den Oord et al., 2018): at most ln 256 = 5.5 nats."""

    def __init__(self, x_features: int, y_features: int) -> None:
        super().__init__()
        self.towers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n, WIDTH),
                nn.ReLU(),
                nn.Linear(WIDTH, WIDTH),
                nn.ReLU(),
                nn.Linear(WIDTH, WIDTH),
            )
            for n in (x_features, y_features)
        )

    def bound(self, x: Tensor, y: Tensor) -> Tensor:
        values = []
        for u, v in zip(x.split(BATCH), y.split(BATCH), strict=True):
            scores = self.towers[0](u) @ self.towers[1](v).T
            values.append((scores.diagonal() - scores.logsumexp(1)).mean() + math.log(len(u)))
        return torch.stack(values).mean()


def fitted(network: Callable[[int, int], nn.Module], x: np.ndarray, y: np.ndarray) -> float:
    """Trains a network on half of the samples, keeps what did best on a tenth, and gives its bound on the rest."""
    torch.manual_seed(0)
    n = len(x)
    first, second = n // 2, n * 6 // 10
    codes = []
    for z in (x, y):
        tensor = torch.from_numpy(np.asarray(z, dtype=np.float32)).view(n, -1)
        codes.append((tensor - tensor[:first].mean(0)) / tensor[:first].std(0))
    critic = network(*(z.shape[1] for z in codes))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    # Whole batches judge: a smaller one would have a lower ceiling.
    stop, test = (
        [z[low : low + (high - low) // BATCH * BATCH] for z in codes]
        for low, high in ((first, second), (second, n))
    )
    best, kept = -math.inf, copy.deepcopy(critic).eval()
    for step in range(STEPS):
        rows = torch.randint(first, (BATCH,))
        optimizer.zero_grad()
        (-critic.train().bound(*(z[rows] for z in codes))).backward()
        optimizer.step()
        if (step + 1) % CHECK_EVERY == 0:
            with torch.no_grad():
                found = float(critic.eval().bound(*stop))
            if found > best:
                best, kept = found, copy.deepcopy(critic)
    with torch.no_grad():
        return float(kept.bound(*test))


def rivals(x: np.ndarray, y: np.ndarray) -> dict[str, float | None]:
    """Gives what each finds, in nats; `None` where it does not apply."""
    if y.ndim == 1:
        # The others take codes on both sides.
        return {"scikit-learn": scikit_learn(x, y)}
    return {
        "scikit-learn": scikit_learn(x, y),
        "KSG": ksg(x, y),
        "MINE": fitted(Mine, x, y),
        "InfoNCE": fitted(InfoNCE, x, y),
    }
