"""The judge: what fresh models find in codes that are frozen. Nothing here imports mireg.

Attackers learn from all training codes. They are stopped, and the best of them is chosen, on
validation codes. The chosen one is scored on test codes that
neither it nor the encoder has seen, so that its score is no maximum over the test.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from attackers import ATTACKERS, fit, network
from sklearn.metrics import roc_auc_score
from torch import Tensor

MOST = {"validation": 6_000, "test": 16_000}
"""How many codes of a split are scored, at most."""
SHARES = (0.25, 0.5)
RISE = 1.2
"""If all codes show a fifth more than half of them, more codes would show more still."""
RESAMPLES = 1000


class Labelled(NamedTuple):
    """Codes with shape (N, D) and what is known of them: labels, or numbers with shape (N, E)."""

    x: Tensor
    t: Tensor

    def first(self, n: int) -> Labelled:
        """Returns the first rows."""
        return Labelled(self.x[:n], self.t[:n])


class Splits(NamedTuple):
    """What attackers learn from, are chosen on, and are scored on."""

    train: Labelled
    validation: Labelled
    test: Labelled


def prepared(splits: Splits, device: str) -> Splits:
    """Returns standardised codes on a device, and only as many as are scored."""
    mean, unit = splits.train.x.double().mean(0), splits.train.x.double().std(0)
    unit = torch.where(unit > 1e-9, unit, 1.0)

    def ready(part: Labelled, most: int | None) -> Labelled:
        part = part.first(most or len(part.x))
        x = ((part.x.double() - mean) / unit).float().clamp(-30, 30)
        return Labelled(x.contiguous().to(device), part.t.to(device))

    return Splits(
        ready(splits.train, None),
        ready(splits.validation, MOST["validation"]),
        ready(splits.test, MOST["test"]),
    )


def gains(log_probabilities: Tensor, s: Tensor, log_prior: Tensor) -> Tensor:
    """Returns how much less each label surprises those who see its code, in nats. The mean is
    entropy less cross-entropy.
    """
    return (log_probabilities - log_prior).gather(1, s[:, None]).squeeze(1).double().cpu()


def bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Returns the interval that holds the mean of 95 % of resamples."""
    random, n = np.random.default_rng(seed), len(values)
    means = [values[random.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def area(log_probabilities: Tensor, s: Tensor) -> float:
    """Returns the area under the ROC curve; for more than two labels, the mean over labels against
    the rest, weighted by how frequent they are.
    """
    said, labels = log_probabilities.exp().double().cpu().numpy(), s.cpu().numpy()
    if said.shape[1] == 2:
        return float(roc_auc_score(labels, said[:, 1]))
    there = [c for c in range(said.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    areas = [roc_auc_score(labels == c, said[:, c]) for c in there]
    return float(np.average(areas, weights=[(labels == c).sum() for c in there]))


def leakage(
    splits: Splits, classes: int, device: str = "cpu", attackers: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Returns what is found of a label, in nats, and whether more codes would show more.

    `leak` is the score of the chosen attacker on test codes, `validation_leak` on validation codes,
    `members` all of them on test codes.
    """
    torch.manual_seed(0)
    start = time.monotonic()
    train, validation, test = prepared(splits, device)
    shares = torch.bincount(train.t, minlength=classes).double()
    log_prior = ((shares + 0.5) / (shares.sum() + 0.5 * classes)).log().float()

    def attack(name: str, n: int) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities of validation and test labels, learnt from the first codes."""
        part = train.first(n)
        predict = ATTACKERS[name](part.x, part.t, tuple(validation), classes)
        with torch.no_grad():
            return predict(validation.x), predict(test.x)

    names = attackers or tuple(ATTACKERS)
    said = {name: attack(name, len(train.x)) for name in names}
    on_validation = {
        name: gains(v, validation.t, log_prior).mean().item() for name, (v, _) in said.items()
    }
    ranking = sorted(names, key=lambda name: -on_validation[name])
    best = ranking[0]
    values = gains(said[best][1], test.t, log_prior).numpy()
    low, high = bootstrap(values)
    found: dict[str, Any] = {
        "leak": float(values.mean()),
        "low": low,
        "high": high,
        "auc": area(said[best][1], test.t),
        "validation_leak": on_validation[best],
        "attacker": best,
        "members": {
            name: round(gains(t, test.t, log_prior).mean().item(), 5)
            for name, (_, t) in said.items()
        },
    }
    if attackers is None:
        found |= curve(attack, ranking[:1], validation.t, test.t, log_prior, len(train.x))
        found["settled"] = values.mean() <= max(RISE * found["half"], found["half"] + 0.002)
    found["judge_seconds"] = round(time.monotonic() - start, 1)
    return {k: bool(v) if isinstance(v, np.bool_) else v for k, v in found.items()}


def curve(
    attack: Any, names: list[str], on: Tensor, of: Tensor, log_prior: Tensor, n: int
) -> dict[str, float]:
    """Returns what the chosen attacker finds from a quarter and from half of the codes."""
    found = {}
    for word, share in zip(("quarter", "half"), SHARES, strict=True):
        scores = []
        for name in names:
            v, t = attack(name, int(share * n))
            scores.append(
                (gains(v, on, log_prior).mean().item(), gains(t, of, log_prior).mean().item())
            )
        found[word] = max(scores)[1]
    return found


def quality(
    splits: Splits, attribute: Tensor, classes: int, device: str = "cpu"
) -> dict[str, float]:
    """Returns how well a fresh perceptron of 256 units predicts what the codes are for, and how
    differently it decides by attribute.

    For labels `quality` is the accuracy, and `parity_gap` the largest total variation between what
    is predicted of two groups of the test: the gap of demographic parity, if there are two labels.
    For numbers `quality` is the share of the variance that is explained, and `classes` is 0.
    """
    torch.manual_seed(0)
    train, validation, test = prepared(splits, device)
    outputs = classes or train.t.shape[1]
    loss = F.cross_entropy if classes else F.mse_loss
    center = torch.zeros(()) if classes else train.t.mean(0)
    net = network(train.x.shape[1], outputs, 256, 1, 0.05)

    def shifted(part: Labelled) -> Tensor:
        return part.t if classes else part.t - center

    net = fit(net, train.x, shifted(train), (validation.x, shifted(validation)), loss, 2e-3)
    found = {"trivial_quality": 0.0}
    if classes:
        usual = torch.bincount(train.t).argmax()
        found["trivial_quality"] = (test.t == usual).float().mean().item()
    for word, part in (("validation_quality", validation), ("quality", test)):
        with torch.no_grad():
            said = net(part.x)
        if classes:
            found[word] = (said.argmax(1) == part.t).float().mean().item()
        else:
            t = shifted(part)
            found[word] = 1 - ((said - t).square().sum() / (t - t.mean(0)).square().sum()).item()
    if classes:
        decided, groups = said.argmax(1).cpu(), attribute[: len(said)].cpu()
        found["parity_gap"] = parity_gap(decided, groups, classes)
    return found


def parity_gap(decided: Tensor, groups: Tensor, classes: int) -> float:
    """Returns the largest total variation between the decisions of two groups."""
    rates = torch.stack(
        [
            torch.bincount(decided[groups == g], minlength=classes).double()
            / max(1, int((groups == g).sum()))
            for g in groups.unique()
        ]
    )
    return float((rates[:, None] - rates[None]).abs().sum(-1).max() / 2)
