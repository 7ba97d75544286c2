"""The linear critics of the audit: what they are, and what squares and products let them find."""

import math

import numpy as np
import pytest
import torch
from mi_tasks import gaussian

from mireg.auditing.crossfit import CrossFit, _prepare
from mireg.auditing.curve import estimate
from mireg.auditing.features import PREPROCESSING
from mireg.auditing.fitting import FoldData
from mireg.auditing.inputs import make_folds, read_inputs
from mireg.auditing.linear import VARIANCES, CanonicalCritic, logistic_regression
from mireg.auditing.members import CodeCritics
from mireg.auditing.screening import Products, screen


def test_canonical_critic_is_the_log_ratio_of_gaussians():
    x, y = (torch.from_numpy(z) for z in gaussian(2, 1.0).sample(40_000, np.random.default_rng(0)))
    critic = CanonicalCritic(x[:30_000], y[:30_000], x[30_000:], y[30_000:])
    assert critic.count == 2
    rho = math.sqrt(1 - math.exp(-1))
    rest = 1 - rho**2
    truth = (rho / rest * (x * y - rho / 2 * (x**2 + y**2)) - math.log(rest) / 2).sum(1)
    assert (critic(x, y) - truth).abs().mean() < 0.05


def test_many_dimensions_that_tell_nothing_are_not_taken_for_canonical_pairs():
    random = np.random.default_rng(0)
    inputs = read_inputs(*random.standard_normal((2, 1500, 150)))
    folds = make_folds(inputs.groups, 5, torch.Generator().manual_seed(0))
    prepared = _prepare(inputs, folds, "standard")
    for stop, critic in zip(prepared.stop, prepared.linear, strict=True):
        judge = CodeCritics([critic], stop.base_x.shape[1])
        one_fold = FoldData(*(x[None] for x in stop))
        logits = judge(one_fold, torch.arange(len(stop.x))[None])
        assert abs(logits.mean()) < 0.03


def test_logistic_regression_is_at_the_optimum_of_one_of_its_priors():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (600,), generator=generator)
    x = torch.randn(600, 4, generator=generator) + 0.3 * torch.eye(3, 4)[labels]
    log_prior = (labels.bincount() / 600).log()[None]
    found = logistic_regression([x], [labels], [torch.arange(600)], log_prior)
    fresh = logistic_regression([x], [labels], [torch.arange(600)], log_prior)
    assert found.weight.equal(fresh.weight)
    loss = torch.nn.functional.cross_entropy(found(x[None])[0] + log_prior, labels)
    (gradient,) = torch.autograd.grad(loss, found.weight)
    # At the optimum the gradient of the prior's logarithm, weight / variance / N, cancels this one.
    distances = [(gradient + found.weight / (600 * v)).abs().max() for v in VARIANCES]
    assert min(distances) < 1e-4


def test_a_label_that_is_missing_in_a_fold_is_not_ruled_out():
    x, labels = torch.randn(200, 3), torch.arange(200) % 2
    log_prior = torch.tensor([[0.495, 0.495, 0.01]]).log()
    found = logistic_regression([x], [labels], [torch.arange(200)], log_prior)
    assert found(x[None]).abs().max() < 3


def untrained(x, y, groups=None, seed=0, count=2):
    """Returns what the members without gradient steps find, in nats, by name."""
    inputs = read_inputs(x, y, groups)
    generator = torch.Generator().manual_seed(seed)
    folds = make_folds(inputs.groups, count, generator)
    panel = CrossFit(inputs, folds, PREPROCESSING, generator)
    found = {}
    for name in PREPROCESSING:
        for member, of in panel.untrained(name).items():
            evidence = panel.evaluate({member: of}, folds, pairs=0)
            found[member] = estimate(evidence.joint, evidence.marginal)
    return found


def test_a_label_in_a_direction_of_little_variance_is_found():
    """Its deviation is 0.001 of the others'. A prior of weights in other coordinates rules it out."""
    random = np.random.default_rng(0)
    y, x = random.integers(2, size=1000), random.standard_normal((1000, 6))
    x[:, 0] = 0.001 * (y + 0.2 * x[:, 0])
    found = untrained(x @ np.linalg.qr(random.standard_normal((6, 6)))[0], y)
    assert found["whitened on standard"] > 0.6
    assert found["squares on standard"] < 0.05


def test_a_label_in_the_last_digit_of_one_coordinate_is_found():
    random = np.random.default_rng(0)
    y, x = random.integers(2, size=3000), random.standard_normal((3000, 4))
    digits = np.floor(30 * x[:, 2])
    x[:, 2] = (digits - digits % 2 + y) / 30
    found = untrained(x, y)
    assert found["one coordinate on scores"] > 0.2
    assert found["10 neighbours on scores"] < 0.02
    independent = untrained(random.standard_normal((3000, 4)), y)
    assert independent["one coordinate on scores"] < 0.01


def spread(labels, random):
    """Returns codes of 16 features, of which only the spread depends on the label: 0.08 nats."""
    scales = np.random.default_rng(6).standard_normal((2, 16))
    return np.exp(0.1 * scales[labels]) * random.standard_normal((len(labels), 16))


def test_a_label_that_changes_the_spread_of_a_code_is_found_in_few_samples():
    random = np.random.default_rng(0)
    labels = random.integers(2, size=1500)
    found = untrained(spread(labels, random), labels)
    assert found["squares on standard"] > 0.03
    assert found["squares on scores"] > 0.03
    assert max(value for name, value in found.items() if "squares" not in name) < 0.02
    found = untrained(random.standard_normal((1500, 16)), labels)
    assert abs(found["squares on standard"]) < 0.01


def test_a_number_that_changes_the_spread_of_a_code_is_found_in_few_samples():
    random = np.random.default_rng(0)
    y = random.standard_normal((1500, 1))
    scales = np.random.default_rng(6).standard_normal(16)
    x = np.exp(0.1 * scales * y) * random.standard_normal((1500, 16))
    found = untrained(x, y)
    assert found["squares on scores"] > 0.05
    assert found["linear on scores"] < 0.02
    assert abs(untrained(random.standard_normal((1500, 16)), y)["squares on scores"]) < 0.01


@pytest.mark.parametrize("labelled", [True, False])
def test_codes_of_too_many_features_have_no_squares(labelled):
    random = np.random.default_rng(0)
    y = random.integers(2, size=300) if labelled else random.standard_normal((300, 2))
    assert not any("squares" in name for name in untrained(random.standard_normal((300, 1001)), y))


@pytest.mark.parametrize("seed", [7, 17, 20])
def test_one_group_may_hold_most_samples(seed):
    """A fold that is cut to the shortest may then hold a single group, of which all are judges."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), [500] + [8] * 29)
    y = random.integers(2, size=len(groups))
    found = untrained(random.standard_normal((len(groups), 4)), y, groups, seed, count=5)
    assert np.isfinite([*found.values()]).all()


def exclusive(random, n, product):
    """Returns codes and labels that depend on the signs of two of 16 features: 0.05 nats."""
    x = random.standard_normal((n, 16))
    side = (x[:, 3] > 0) ^ (x[:, 11] > 0) if product else random.random(n) < 0.5
    side = np.where(random.random(n) < 0.6568, side, ~side)
    return x, 2 * side + random.integers(2, size=n)


def test_a_label_that_depends_on_one_product_of_many_is_found_in_few_samples():
    random = np.random.default_rng(0)
    found = untrained(*exclusive(random, 3000, product=True))
    assert found["products on standard"] > 0.01
    assert found["products on scores"] > 0.01
    assert max(value for name, value in found.items() if "products" not in name) < 0.003
    assert not any("products" in name for name in untrained(*exclusive(random, 3000, False)))


def test_a_number_that_depends_on_one_product_of_many_is_found_in_few_samples():
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((3000, 16)), random.standard_normal((3000, 1))
    found = untrained(x, 0.3 * x[:, [3]] * x[:, [11]] + noise)
    assert found["products on standard"] > 0.01
    assert found["squares on standard"] < 0.003
    assert not any("products" in name for name in untrained(x, noise))


def test_a_label_that_depends_on_several_products_is_found_in_few_samples():
    x = np.random.default_rng(0).standard_normal((1500, 12))
    found = untrained(x, (x[:, ::2] * x[:, 1::2]).sum(1) > 0)
    # Of ln 2 nats.
    assert min(found["products on standard"], found["products on scores"]) > 0.5
    assert max(value for name, value in found.items() if "products" not in name) < 0.3


def test_products_are_not_asked_for_what_squares_show():
    random = np.random.default_rng(0)
    x, noise = random.standard_normal((2, 1500, 1))
    for y in (x + noise, x**2 + noise):
        assert not any("products" in name for name in untrained(x, y))


def test_a_screening_chooses_pairs_by_their_correlation_and_few_by_chance():
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal((4000, 8))).clamp(-3, 3)
    y = 0.2 * x[:, [1]] * x[:, [4]] - 0.2 * x[:, [2]] ** 2 + 0.2 * x[:, [6]]
    targets = y + torch.from_numpy(random.standard_normal((4000, 1)))
    # Index 0 is the constant 1.
    assert sorted(map(tuple, screen(x, targets).tolist())) == [(0, 7), (2, 5), (3, 3)]
    noise = torch.from_numpy(random.standard_normal((100, 4000, 2)))
    assert 1 <= sum(len(screen(x, each)) for each in noise) <= 25
    wide = torch.from_numpy(random.standard_normal((4000, 1500)))
    wide[:, 0] = targets[:, 0]
    assert len(screen(wide[:, :100], targets))
    # Too many products for 1,000 samples, and too few samples.
    assert not len(screen(wide, targets))
    assert not len(screen(x[:0], targets[:0]))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_fold_without_products_has_a_critic_that_finds_nothing(labelled, monkeypatch):
    random = np.random.default_rng(0)
    x, labels = exclusive(random, 1200, product=True)
    y = labels if labelled else labels[:, None] + 0.1 * random.standard_normal((1200, 1))
    chosen = iter([torch.tensor([[4, 12]]), torch.zeros(0, 2, dtype=torch.int64)] * 2)
    monkeypatch.setattr("mireg.auditing.crossfit.screen", lambda *codes: next(chosen))
    found = untrained(x, y)
    assert abs(found["products on standard"]) < 0.2 and abs(found["products on scores"]) < 0.2


def test_products_of_folds_are_those_of_their_pairs():
    x = torch.tensor([[2.0, -1.5], [1.0, 7.0]])
    products = Products([torch.tensor([[1, 2], [0, 1]]), torch.tensor([[2, 2]])])
    # Numbers are clipped to 3. The second fold has one pair, and a constant. Signs follow.
    wanted = [
        [[-3.0, 2.0, -1.0, 1.0], [3.0, 1.0, 1.0, 1.0]],
        [[2.25, 1.0, 1.0, 1.0], [9.0, 1.0, 1.0, 1.0]],
    ]
    torch.testing.assert_close(products(torch.stack((x, x))), torch.tensor(wanted))
    torch.testing.assert_close(products.of_fold(1, x), torch.tensor(wanted[1]))
