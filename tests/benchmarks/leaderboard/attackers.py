"""Attackers: each learns a label from codes, is stopped on others, and returns log-probabilities.
Nothing here imports mireg.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

Predict = Callable[[Tensor], Tensor]
"""Maps codes with shape (N, D) to log-probabilities with shape (N, classes)."""

BATCH, EPOCHS, PATIENCE = 1024, 20, 3
NEIGHBOURS, KNOWN = (10, 50, 200), 20_000
FLOOR = 1e-6
"""The least probability that an attacker gives: one test row costs it at most 14 nats."""


def surprise(log_probabilities: Tensor, s: Tensor) -> Tensor:
    """Returns the cross-entropy in nats."""
    return F.nll_loss(log_probabilities, s)


def linear(
    x: Tensor,
    s: Tensor,
    stop: tuple[Tensor, Tensor],
    classes: int,
    steps: int = 100,
    ridges: tuple[float, ...] = (1e-5, 1e-3),
) -> Predict:
    """Fits logistic regression by L-BFGS at some ridges, and keeps the best on `stop`."""
    best, kept = math.inf, None
    for ridge in ridges:
        weight = torch.zeros(x.shape[1], classes, device=x.device, requires_grad=True)
        bias = (torch.bincount(s, minlength=classes) + 1.0).log().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [weight, bias], max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-7
        )

        def closure(weight=weight, bias=bias, optimizer=optimizer, ridge=ridge) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(x @ weight + bias, s) + ridge * weight.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            now = F.cross_entropy(stop[0] @ weight + bias, stop[1]).item()
        if now < best:
            best, kept = now, (weight.detach(), bias.detach())
    if kept is None:
        raise FloatingPointError("logistic regression diverged")
    return lambda z: (z @ kept[0] + kept[1]).log_softmax(1)


def network(inputs: int, outputs: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    """Creates a perceptron with dropout after each hidden layer."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def fit(
    net: nn.Module, x: Tensor, t: Tensor, stop: tuple[Tensor, Tensor], loss: Callable, rate: float
) -> nn.Module:
    """Trains with AdamW, its rate falling to 0, and returns the state that did best on `stop`."""
    net = net.to(x.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    batch = min(BATCH, max(64, len(x) // 20))
    epochs = EPOCHS if len(x) > 10_000 else 2 * EPOCHS
    total, done = epochs * math.ceil(len(x) / batch), 0
    best, kept, late = math.inf, None, 0
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(len(x), device=x.device).split(batch):
            optimizer.param_groups[0]["lr"] = rate * (1 - done / total)
            optimizer.zero_grad()
            loss(net(x[rows]), t[rows]).backward()
            optimizer.step()
            done += 1
        net.eval()
        with torch.no_grad():
            now = loss(net(stop[0]), stop[1]).item()
        late = 0 if now < best else late + 1
        if now < best:
            best, kept = now, copy.deepcopy(net.state_dict())
        if late == PATIENCE:
            break
    if kept is None:
        raise FloatingPointError("a perceptron diverged")
    net.load_state_dict(kept)
    return net


def perceptron(width: int, depth: int, dropout: float) -> Callable[..., Predict]:
    """Returns an attacker that is a perceptron."""

    def attack(x: Tensor, s: Tensor, stop: tuple[Tensor, Tensor], classes: int) -> Predict:
        net = network(x.shape[1], classes, width, depth, dropout)
        net = fit(net, x, s, stop, F.cross_entropy, 3e-3 if depth == 1 else 2e-3)
        return lambda z: net(z).log_softmax(1).detach()

    return attack


def boosting(x: Tensor, s: Tensor, stop: tuple[Tensor, Tensor], classes: int) -> Predict:
    """Fits boosted trees; their number is stopped on a tenth of the training codes."""
    model = HistGradientBoostingClassifier(
        max_iter=150 if classes == 2 else 50,
        learning_rate=0.1 if classes == 2 else 0.2,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=8,
        random_state=0,
    ).fit(x.cpu().numpy(), s.cpu().numpy())

    def predict(z: Tensor) -> Tensor:
        said = np.full((len(z), classes), FLOOR)
        said[:, model.classes_] = model.predict_proba(z.cpu().numpy())
        return torch.from_numpy(said).float().to(z.device).clamp(min=FLOOR).log()

    return predict


def neighbours(x: Tensor, s: Tensor, stop: tuple[Tensor, Tensor], classes: int) -> Predict:
    """Counts labels among the nearest of at most 20,000 codes, with the shares of all as ten more
    of them; how many are asked is chosen on `stop`.
    """
    x, s = x[:KNOWN], s[:KNOWN]
    if x.shape[1] > 64:
        # Distances in the leading components: the others are mostly noise and cost time.
        basis = torch.linalg.eigh(x.T @ x)[1][:, -64:]
        reduce = lambda z: z @ basis
    else:
        reduce = lambda z: z
    one_hot = F.one_hot(s, classes).float()
    prior, known = one_hot.mean(0), reduce(x)
    squares, most = known.square().sum(1), min(max(NEIGHBOURS), len(x))

    def shares(z: Tensor) -> list[Tensor]:
        found: list[list[Tensor]] = [[] for _ in NEIGHBOURS]
        for part in reduce(z).split(1000):
            near = (squares - 2 * part @ known.T).topk(most, largest=False).indices
            counts = one_hot[near].cumsum(1)
            for place, k in zip(found, NEIGHBOURS, strict=True):
                k = min(k, most)
                place.append((counts[:, k - 1] + 10 * prior) / (k + 10))
        return [torch.cat(parts).clamp(min=FLOOR).log() for parts in found]

    losses = [surprise(said, stop[1]).item() for said in shares(stop[0])]
    chosen = int(np.argmin(losses))
    return lambda z: shares(z)[chosen]


def rbf(x: Tensor, s: Tensor, stop: tuple[Tensor, Tensor], classes: int) -> Predict:
    """Fits logistic regression on 512 random features of two Gaussian kernels, as wide as the
    median distance and a third of it.
    """
    few = x[torch.randperm(len(x), device=x.device)[:2000]]
    width = torch.pdist(few).median().clamp(min=1e-6)
    frequencies = torch.randn(x.shape[1], 512, device=x.device) / width
    frequencies[:, 256:] *= 3
    phases = 2 * math.pi * torch.rand(512, device=x.device)
    features = lambda z: (z @ frequencies + phases).cos()
    told = linear(features(x), s, (features(stop[0]), stop[1]), classes, 50, (1e-5,))
    return lambda z: told(features(z))


ATTACKERS: dict[str, Callable[..., Predict]] = {
    "logistic": linear,
    "perceptron 64": perceptron(64, 1, 0.05),
    "perceptron 2 x 256": perceptron(256, 2, 0.2),
    "boosting": boosting,
    "neighbours": neighbours,
    "RBF": rbf,
}
