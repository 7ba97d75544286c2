"""Correlations of remembered codes: they show what critics miss, and nothing in independent codes."""

import warnings

import pytest
import torch
from problems import optimizer_of, train_on
from torch import nn

import mireg
from mireg.regularizers import _misuse
from mireg.regularizers._correlations import correlations
from mireg.regularizers._faults import faults_of

N = 8192


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def found_of(pi, alpha, groups=None):
    return correlations(pi, alpha, torch.arange(len(pi)) if groups is None else groups)


@pytest.mark.parametrize("features", [4, 32])
def test_gaussian_codes_amount_to_what_they_share(features):
    rho = (0.2 / features) ** 0.5
    x, noise = normal(0, N, features), normal(1, N, features)
    found = found_of(x, rho * x + (1 - rho**2) ** 0.5 * noise)
    assert abs(found.nats - 0.1) < 2 * found.error
    assert found.lowest > 0


@pytest.mark.parametrize("change", ["nothing", "heavy tails", "a drift", "few samples, often"])
def test_independent_codes_amount_to_nothing(change):
    for seed in range(5):
        x, y = normal(seed, N, 24), normal(100 + seed, N, 40)
        if change == "heavy tails":
            x, y = x**3, y**3
        elif change == "a drift":
            # Codes move by four deviations over the whole memory.
            path = torch.linspace(-2, 2, N)[:, None]
            x, y = x + path, y - path
        elif change == "few samples, often":
            generator = torch.Generator().manual_seed(seed)
            rows = torch.cat([torch.randperm(1024, generator=generator) for _ in range(N // 1024)])
            x, y = x[rows], y[rows]
        assert found_of(x, y).lowest < 0.01


def test_products_of_two_components_are_seen():
    x, y = normal(0, N, 3), normal(1, N, 3)
    y[:, 0] += x[:, 0] * x[:, 1]
    assert found_of(x @ normal(2, 3, 60), y @ normal(4, 3, 60)).lowest > 0.1


def test_one_sample_of_each_group_counts():
    x, y = (normal(seed, N // 4, 24).repeat_interleave(4, 0) for seed in (0, 1))
    assert found_of(x, y).lowest > 0.1
    assert found_of(x, y, torch.arange(N) // 4).lowest < 0.01
    assert found_of(x, y, torch.arange(N) // 128) is None


def test_products_are_compared_if_asked():
    x, y = normal(0, N, 4), normal(1, N, 1)
    y = x[:, :1] * x[:, 1:2] + y
    found = [correlations(x, y, torch.arange(N), multiplied) for multiplied in (0, 16)]
    assert found[0].lowest < 0.01 and found[1].lowest > 0.1


def test_few_or_broken_codes_are_not_compared():
    x, y = normal(0, N, 3), normal(1, N, 3)
    assert found_of(x[:1024], y[:1024]) is None
    assert found_of(torch.ones(N, 3), y) is None
    x[7] = torch.nan
    assert found_of(x, y) is None


class Blind(nn.Module):
    """A critic that sees nothing."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, pi, alpha):
        return self.level + 0 * pi.sum(1)


MAKERS = [mireg.RobustMIConstraint, mireg.ClassifierMI]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("kind", ["code", "label", "independent"])
def test_what_critics_miss_is_named_once(make, kind, monkeypatch):
    monkeypatch.setattr(_misuse, "FIRST_CHECK", 2)
    settings = {"classes": 3} if kind == "label" else {"alpha_features": 4}
    constraint = make(4, epsilon=0.05, critic=Blind, **settings)
    constraint.optimizer = optimizer_of(constraint, 1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(32):
            mean = normal(seed, 256, 4).requires_grad_()
            posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
            alpha = mean.detach() if kind == "code" else normal(100 + seed, 256, 4)
            if kind == "label":
                alpha = mean.detach()[:, :3].argmax(1) - (torch.arange(256) == 0).long() * 3
            train_on(constraint, constraint.optimizer, posterior.rsample(), alpha, posterior)
    texts = [str(w.message) for w in caught if "correlations" in str(w.message)]
    assert len(texts) == (kind != "independent"), texts
    assert ("missed" in constraint.faults()) == bool(texts)
    assert not texts or "miss what the codes share" in texts[0]


def test_critics_that_see_it_are_told_nothing():
    constraint = mireg.RobustMIConstraint(4, 4, epsilon=0.05)
    x = normal(0, N, 4)
    constraint.critics.memory.remember({"pi": x, "alpha": x, "groups": torch.arange(N)})
    assert "missed" in faults_of(constraint.critics, 0.05, estimate=0.06)
    assert not faults_of(constraint.critics, 0.05, estimate=1.3)
