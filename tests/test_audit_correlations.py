"""What many weak correlations amount to: how it is computed, and that no verdict is `below` against it."""

import math

import numpy as np
import pytest
import torch
from mi_tasks import gaussian

import mireg
from mireg.auditing.correlations import pillai, strongest
from mireg.auditing.inputs import read_inputs


def found_of(pi, alpha, groups=None):
    return strongest(read_inputs(pi, alpha, groups), torch.Generator().manual_seed(0))


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def weakly_correlated(seed, n, features, nats):
    """Codes that share so many nats, spread evenly over their features."""
    return gaussian(features, nats).sample(n, np.random.default_rng(seed))


@pytest.mark.parametrize("labels", [False, True])
def test_a_direction_of_little_variance_counts_as_any_other(labels):
    """Its scale is a thousandth of the others'. Ranks of rotated coordinates do not show it."""
    x, noise = normal(0, 2000, 6), normal(1, 2000)
    y = x[:, 0] + noise
    x[:, 0] /= 1000
    x = x @ np.linalg.qr(normal(2, 6, 6))[0]
    assert found_of(x, (y > 0).astype(int) if labels else y).lowest > 0.1


def test_it_is_half_the_sum_of_squared_canonical_correlations_less_chance():
    x, y = normal(0, 300, 3), normal(1, 300, 2)
    y[:, 0] += x[:, 1]
    bases = [np.linalg.qr(z - z.mean(0))[0] for z in (x, y)]
    squares = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False) ** 2
    expected = (squares.sum() - 6 / 299) / 2 / ((1 - 3 / 300) * (1 - 2 / 300))
    assert pillai(*map(torch.from_numpy, (x, y))).nats == pytest.approx(expected)


@pytest.mark.parametrize("power", [1, 3], ids=["normal", "heavy tails"])
def test_random_pairings_amount_to_nothing_with_the_deviation_that_is_stated(power):
    x, y = (torch.from_numpy(normal(seed, 200, 5) ** power) for seed in (0, 1))
    generator = torch.Generator().manual_seed(0)
    found = [pillai(x, y[torch.randperm(200, generator=generator)]) for _ in range(1000)]
    nats = torch.tensor([each.nats for each in found])
    assert abs(nats.mean()) < 4 * found[0].chance / math.sqrt(1000)
    assert nats.std().item() == pytest.approx(found[0].chance, rel=0.12)


@pytest.mark.parametrize("features", [4, 16, 64])
def test_gaussian_codes_amount_to_the_truth_with_the_error_that_is_stated(features):
    found = [
        pillai(*map(torch.from_numpy, weakly_correlated(seed, 1000, features, 0.08)))
        for seed in range(100)
    ]
    deviations = torch.tensor([(each.nats - 0.08) / each.error for each in found])
    assert abs(deviations.mean()) < 4 / math.sqrt(100)
    assert deviations.std().item() == pytest.approx(1, abs=0.3)


def test_labels_count_as_indicators():
    random = np.random.default_rng(0)
    label = random.integers(4, size=4000)
    pi = random.standard_normal((4000, 8)) + 0.2 * random.standard_normal((4, 8))[label]
    of_label = found_of(pi, label)
    indicators = torch.eye(4)[torch.from_numpy(label)][:, 1:] + 1e-6 * torch.randn(4000, 3)
    of_code = pillai(torch.from_numpy(pi), indicators)
    assert of_label.nats == pytest.approx(of_code.nats, abs=0.005)
    assert of_label.significant


def test_products_of_coordinates_are_compared():
    x, y = normal(0, 4000, 4), normal(1, 4000, 3)
    y[:, 0] += x[:, 0] * x[:, 1]
    assert not pillai(*map(torch.from_numpy, (x, y))).significant
    assert found_of(x, y).nats > 0.05


def test_products_of_the_principal_components_of_wide_codes_are_compared():
    """The products of two coordinates of such a code are more than its samples."""
    x, y = normal(0, 4000, 2), normal(1, 4000, 2)
    y[:, 0] += x[:, 0] * x[:, 1]
    wide = [
        z @ normal(seed, 2, 60) + 0.5 * normal(seed + 2, 4000, 60) for seed, z in ((2, x), (3, y))
    ]
    assert not pillai(*map(torch.from_numpy, wide)).significant
    assert found_of(*wide).nats > 0.15


def test_samples_of_one_group_count_once():
    x, y = (np.repeat(normal(seed, 100, 4), 10, axis=0) for seed in (0, 1))
    assert found_of(x, y).significant
    assert not found_of(x, y, np.repeat(np.arange(100), 10)).significant


def test_codes_of_too_many_features_are_not_compared():
    found = found_of(normal(0, 300, 200), normal(1, 300, 2))
    assert found == (0, 0, 0)
    assert not found.significant
    numbers = (0.31, 0.02, 0.01, 0.30, 0.22, 0.95, 4.2, 0.01, 0.02, 0.66, 5000, 5000)
    names = [row.name for row in mireg.AuditReport(*numbers, correlations=found).rows()]
    assert "estimate" in names
    assert "correlations" not in names


def test_more_labels_than_groups_can_show_are_not_compared():
    groups = np.repeat(np.arange(50), 20)
    assert found_of(normal(0, 1000, 4), groups % 40, groups) == (0, 0, 0)
    assert found_of(normal(0, 1000, 4), groups % 10, groups) != (0, 0, 0)


def test_a_constant_code_shows_nothing():
    found = pillai(torch.ones(300, 2), torch.randn(300, 3))
    assert found == (0, 0, 0)
    assert not found.significant


def test_a_monotone_map_of_a_coordinate_changes_nothing():
    x, y = weakly_correlated(0, 1000, 4, 0.1)
    assert found_of(x**3, np.exp(y)).nats == pytest.approx(found_of(x, y).nats, rel=1e-6)


@pytest.mark.slow
def test_weak_correlations_that_critics_do_not_find_are_never_below():
    """16 + 16 features share 0.12 nats, of which critics that learn from 1,000 samples find a quarter."""
    report = mireg.audit(*weakly_correlated(0, 1000, 16, 0.12), epsilon=0.1, seed=0)
    assert report.correlations.nats > 0.08 > report.mi + 2 * report.standard_error
    assert report.highest > 0.1
    assert report.verdict != "below"
    assert any("do not trust a small estimate" in text for text in report.warnings)
    assert report.to_dict()["correlations"]["nats"] == report.correlations.nats
    assert "correlations" in str(report)


@pytest.mark.slow
def test_what_makes_a_small_estimate_doubtful_is_not_said_of_one_above_epsilon():
    x, noise = normal(0, 2, 300, 2)
    report = mireg.audit(x, x + 0.3 * noise, epsilon=0.05, folds=2)
    assert report.verdict == "above"
    assert not any("small estimate" in text for text in report.warnings)
    assert sum("may reveal more than the estimate" in text for text in report.warnings) == 1
