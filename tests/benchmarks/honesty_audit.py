"""The judges: the audit of the library, and a quick one for tuning, of one early-stopped critic a fold."""

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from honesty_base import mlp
from torch import Tensor, nn

import mireg

FOLDS = 3
EPOCHS, PATIENCE, BATCH = 30, 4, 256
TOWER = 128


def judge(
    pi: Tensor, alpha: Tensor, groups: Tensor | None, epsilon: float, seed: int, quick: bool
) -> dict[str, Any]:
    """Audits codes; where they are not finite there is no estimate."""
    pi, alpha = pi.detach().cpu(), alpha.detach().cpu()
    groups = None if groups is None else groups.cpu()
    if not pi.isfinite().all() or not alpha.isfinite().all():
        return {"mi": math.inf, "standard_error": 0.0, "upper": math.inf, "diverged": True}
    if quick:
        mi, deviation = quick_audit(pi, alpha, groups, seed)
        mi = math.inf if math.isnan(mi) else mi
        return {"mi": mi, "standard_error": deviation, "upper": mi + 1.96 * deviation}
    report = mireg.audit(pi, alpha, groups, epsilon=epsilon, seed=seed, folds=FOLDS)
    fields = report.to_dict()
    kept = ("mi", "standard_error", "lower_bound", "label_accuracy", "verdict", "samples")
    return {name: fields[name] for name in kept if name in fields} | {"upper": report.interval[1]}


def quick_audit(
    pi: Tensor, alpha: Tensor, groups: Tensor | None, seed: int = 0
) -> tuple[float, float]:
    """Estimates the information with one critic a fold, and its standard error over groups. Critics stop where samples of their own say so.

    In 4,000 Gaussian codes it found 78 % of what the audit of the library found (of a label 97 %), in a ninth of the time (a 29th).
    """
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(len(pi)) if groups is None else groups.unique(return_inverse=True)[1]
    fold_of_group = torch.randperm(int(groups.max()) + 1, generator=generator) % (5 * FOLDS)
    part = fold_of_group[groups]
    said, of = [], []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for fold in range(FOLDS):
            tested = part % FOLDS == fold
            stop = ~tested & (part // FOLDS == 0)
            masks = (~tested & ~stop, stop, tested)
            critic = _Labels if alpha.ndim == 1 else _Codes
            said.append(critic(pi, alpha, groups, masks[0]).fit_and_ask(*masks))
            of.append(groups[tested])
    values, of_group = torch.cat(said), torch.cat(of)
    sums = torch.zeros(len(fold_of_group)).index_add(0, of_group, values - values.mean())
    return values.mean().item(), sums.square().sum().sqrt().item() / len(values)


class _Critic:
    """Standardises the codes by the samples that it learns from, and trains a network until it sees no more in others."""

    def __init__(self, pi: Tensor, alpha: Tensor, groups: Tensor, rows: Tensor) -> None:
        self.pi = _standardised(pi.flatten(1).float(), rows)
        self.alpha, self.groups = alpha, groups
        self.network = self.build(rows)

    def build(self, rows: Tensor) -> nn.Module:
        raise NotImplementedError

    def loss(self, rows: Tensor) -> Tensor:
        raise NotImplementedError

    def estimates(self, rows: Tensor) -> Tensor:
        """What each sample adds to the estimate."""
        raise NotImplementedError

    def fit_and_ask(self, fit: Tensor, stop: Tensor, tested: Tensor) -> Tensor:
        learnt = fit.nonzero().squeeze(1)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.01)
        best, kept, since = 0.0, None, 0
        for _ in range(EPOCHS):
            self.network.train()
            for rows in learnt[torch.randperm(len(learnt))].split(BATCH):
                optimizer.zero_grad()
                self.loss(rows).backward()
                optimizer.step()
            self.network.eval()
            with torch.no_grad():
                seen = self.estimates(stop.nonzero().squeeze(1)).mean().item()
            since += 1
            if seen > best:
                best, kept, since = seen, copy.deepcopy(self.network.state_dict()), 0
            if since == PATIENCE:
                break
        if kept is None:
            # It never saw anything in samples of its own.
            return torch.zeros(int(tested.sum()))
        self.network.load_state_dict(kept)
        self.network.eval()
        with torch.no_grad():
            return self.estimates(tested.nonzero().squeeze(1))


class _Labels(_Critic):
    """A classifier beside the frequency of each label."""

    def build(self, rows: Tensor) -> nn.Module:
        self.alpha = self.alpha.long()
        count = self.alpha[rows].bincount(minlength=int(self.alpha.max()) + 1)
        self.log_prior = ((count + 1.0) / (count + 1.0).sum()).log()
        return mlp(self.pi.shape[1], len(count), 128)

    def log_probability(self, rows: Tensor) -> Tensor:
        logits = F.log_softmax(self.network(self.pi[rows]) + self.log_prior, dim=1)
        return logits.gather(1, self.alpha[rows, None]).squeeze(1)

    def loss(self, rows: Tensor) -> Tensor:
        return -self.log_probability(rows).mean()

    def estimates(self, rows: Tensor) -> Tensor:
        return self.log_probability(rows) - self.log_prior[self.alpha[rows]]


class _Codes(_Critic):
    """Two towers with an inner product, which compare all pairs of a batch."""

    def build(self, rows: Tensor) -> nn.Module:
        self.alpha = _standardised(self.alpha.flatten(1).float(), rows)
        return nn.ModuleList(tower(x.shape[1]) for x in (self.pi, self.alpha))

    def logits(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Those of joint pairs, and of marginal ones, which are -inf within a group."""
        of_pi, of_alpha = self.network
        logits = of_pi(self.pi[rows]) @ of_alpha(self.alpha[rows]).T / TOWER**0.5
        same = self.groups[rows, None] == self.groups[rows]
        return logits.diagonal(), logits.masked_fill(same, -math.inf)

    def loss(self, rows: Tensor) -> Tensor:
        joint, marginal = self.logits(rows)
        return F.softplus(-joint).mean() + F.softplus(marginal).sum() / marginal.isfinite().sum()

    def estimates(self, rows: Tensor) -> Tensor:
        joint, marginal = self.logits(rows)
        log_z = marginal.flatten().logsumexp(0) - marginal.isfinite().sum().log()
        return joint - log_z


def tower(inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for features in (inputs, TOWER):
        layers += [nn.Linear(features, TOWER), nn.LeakyReLU(0.2), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(TOWER, TOWER))


def _standardised(x: Tensor, rows: Tensor) -> Tensor:
    x = x.double()
    mean, deviation = x[rows].mean(0), x[rows].std(0).clamp(min=1e-12)
    return ((x - mean) / deviation).clamp(-6, 6).float()
