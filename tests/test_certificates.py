"""What counts prove: the truth is inside, the inequalities hold, and the example of the guide is one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mireg
from mireg.concentration import (
    divergence_radius,
    information_interval,
    kl_limits,
    moment_ratio,
    plug_in_information,
)


def table_of(random, strata, cells, labels):
    """Probabilities of strata, cells and labels, from even to almost empty."""
    even, sharp = 10 ** random.uniform(-1, 1, 2)
    of_cell = random.dirichlet(np.full(cells, even), strata)
    of_label = random.dirichlet(np.full(labels, sharp), (strata, cells))
    return random.dirichlet(np.ones(strata))[:, None, None] * of_cell[..., None] * of_label


# --- the inequalities -------------------------------------------------------


@given(seed=st.integers(0, 10**6), s=st.floats(-2, 0.95), labels=st.integers(2, 6))
def test_moments_of_the_information_density_are_bounded_by_the_information(seed, s, labels):
    if abs(s) < 1e-3:
        return
    p = table_of(np.random.default_rng(seed), 1, 5, labels)
    density = np.log(p / p.sum(2, keepdims=True) / p.sum(1, keepdims=True))
    limit = -math.log(p.sum(1).min())
    assert density.max() <= limit
    moment = (p * np.exp(-s * density)).sum()
    bound = 1 - moment_ratio(np.array(s), limit) * plug_in_information(p)
    assert moment <= bound + 1e-12


def test_the_moment_ratio_matches_its_formula_and_falls():
    x = np.linspace(0.05, 12, 300)
    for s in (-1.5, -0.1, 0.05, 0.5, 0.9):
        by_hand = (1 - np.exp(-s * x) - s * (1 - np.exp(-x))) / (x + np.exp(-x) - 1)
        found = np.array([moment_ratio(np.array(s), float(value)) for value in x])
        np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-9)
        assert (np.diff(found) < 0).all()


def test_half_the_divergence_of_an_empirical_coin_has_a_moment_of_at_most_two():
    n = 30
    counts = np.arange(n + 1)
    ways = np.array([math.comb(n, i) for i in counts], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        for p in (0.003, 0.2, 0.5):
            share = counts / n
            heads = np.where(counts > 0, counts * np.log(share / p), 0)
            tails = np.where(counts < n, (n - counts) * np.log((1 - share) / (1 - p)), 0)
            chance = ways * p**counts * (1 - p) ** (n - counts)
            assert (chance * np.exp((heads + tails) / 2)).sum() <= 2


def test_limits_of_a_share_are_where_the_divergence_is_the_radius():
    low, high = kl_limits(np.array([0.0, 0.3, 1.0]), 0.02)
    for p in (low[1], high[1]):
        assert 0.3 * math.log(0.3 / p) + 0.7 * math.log(0.7 / (1 - p)) == pytest.approx(0.02)
    assert low[0] == pytest.approx(0, abs=1e-9) and high[0] == pytest.approx(1 - math.exp(-0.02))
    assert low[2] == pytest.approx(math.exp(-0.02)) and high[2] == pytest.approx(1, abs=1e-9)


def test_the_radius_matches_its_formula():
    assert divergence_radius(3, 0.05, 100) == pytest.approx(
        2 * (math.log(20) + 3 * math.log(2)) / 100
    )


def test_the_information_of_a_table_in_strata_is_the_mean_of_theirs():
    p = table_of(np.random.default_rng(0), 3, 4, 2)
    share = p.sum((1, 2))
    each = [plug_in_information(part[None]) for part in p]
    assert plug_in_information(7 * p) == pytest.approx(share @ each)


# --- coverage ---------------------------------------------------------------


@pytest.mark.parametrize("strata", [1, 3])
def test_the_truth_is_inside(strata):
    """Fewer repetitions of what `benchmarks/certificates.py` does 10,000 times."""
    random = np.random.default_rng(strata)
    inside = []
    for _ in range(300):
        p = table_of(random, strata, int(2 ** random.integers(1, 7)), int(random.integers(2, 5)))
        n = int(10 ** random.uniform(1.3, 4))
        counts = random.multinomial(n, p.ravel() / p.sum()).reshape(p.shape)
        low, high = information_interval(counts, n, 0.05)
        inside.append(low <= plug_in_information(p) <= high)
    assert np.mean(inside) >= 0.95


@pytest.mark.parametrize("n", [50, 1000, 20_000])
def test_a_cell_that_was_missed_by_bad_luck_is_still_counted(n):
    """Where the bound is tight: a cell that reveals a label, and that no row of the sample is in."""
    bad_luck = 0.75 * 0.05
    rare = 1 - bad_luck ** (1 / n)
    law = np.array([[[(1 - rare) / 2, (1 - rare) / 2], [0, rare]]])
    counts = np.array([[[n - n // 2, n // 2], [0, 0]]])
    high = information_interval(counts, n, 0.05)[1]
    assert plug_in_information(law) < high < 20 * plug_in_information(law)


def test_sixteen_thousand_rows_prove_a_hundredth_of_a_nat():
    """The interval of an attribute with shares of one and two thirds in 32 cells."""
    random = np.random.default_rng(0)
    of_label = 1 / (1 + np.exp(-(0.32 * random.standard_normal(32) - 0.7)))
    p = np.stack([1 - of_label, of_label], 1)[None] / 32
    counts = random.multinomial(16_281, p.ravel()).reshape(p.shape)
    low, high = information_interval(counts, 16_281, 0.05)
    truth = plug_in_information(p)
    assert low <= truth <= high < truth + 0.01


# --- certify ----------------------------------------------------------------


def test_a_label_that_cannot_be_told_is_certified_so():
    random = np.random.default_rng(0)
    found = mireg.certify(random.integers(4, size=20_000), random.integers(2, size=20_000))
    assert found.lower == 0 and found.upper < 0.002
    assert 0.5 < found.accuracy < 0.52
    assert 0 < found.parity_gap < 0.03


def test_a_label_that_is_the_cell_is_certified_so():
    label = np.arange(4000) % 2
    found = mireg.certify(label, label)
    assert 0.6 < found.lower < math.log(2) <= found.upper + 1e-9
    assert found.accuracy > 0.999 and found.parity_gap == 1


def test_each_group_counts_once():
    """Copies of a row prove nothing more, and the row of a large group weighs what that of a small one does."""
    random = np.random.default_rng(1)
    cells, labels = random.integers(3, size=500), random.integers(2, size=500)
    rows = np.repeat(np.arange(500), random.integers(1, 6, 500))
    alone = mireg.certify(cells, labels).to_dict()
    copied = mireg.certify(cells[rows], labels[rows], groups=rows).to_dict()
    assert (alone.pop("samples"), copied.pop("samples")) == (500, len(rows))
    assert copied == pytest.approx(alone)
    assert mireg.certify(cells[rows], labels[rows]).upper < alone["upper"]


def test_what_the_stratum_tells_does_not_count():
    random = np.random.default_rng(2)
    given = random.integers(2, size=8000)
    label = np.where(random.random(8000) < 0.1, 1 - given, given)
    assert mireg.certify(given, label).lower > 0.3
    found = mireg.certify(given, label, given=given)
    assert found.plug_in == pytest.approx(0, abs=1e-9) and found.upper < 0.01
    assert found.strata == 2 and "2 strata" in str(found)
    assert found.accuracy > 0.89


def test_the_gap_and_the_accuracy_bound_the_best_model():
    """At a known law: both limits exceed the truth in at least 95 % of samples."""
    random = np.random.default_rng(3)
    law = np.array([[0.3, 0.15], [0.1, 0.2], [0.2, 0.05]])
    gap = np.abs(law[:, 0] / law[:, 0].sum() - law[:, 1] / law[:, 1].sum()).sum() / 2
    found = []
    for _ in range(200):
        drawn = random.choice(6, size=400, p=law.ravel())
        found.append(mireg.certify(drawn // 2, drawn % 2))
    assert np.mean([c.accuracy >= law.max(1).sum() for c in found]) >= 0.95
    assert np.mean([c.parity_gap >= gap for c in found]) >= 0.95
    assert np.mean([c.parity_gap for c in found]) < gap + 0.15


def test_a_gap_that_has_no_meaning_is_none():
    cells, groups = np.arange(60) % 3, np.arange(60) // 2
    assert mireg.certify(cells, np.arange(60) % 3).parity_gap is None
    assert mireg.certify(cells, np.arange(60) % 2, groups=groups).parity_gap is None
    assert mireg.certify(cells, groups % 2, groups=groups).parity_gap is not None


def test_a_label_that_can_occur_and_does_not_widens_the_interval():
    random = np.random.default_rng(4)
    cells, labels = random.integers(3, size=(2, 3000))
    assert mireg.certify(cells, labels, classes=4).upper > mireg.certify(cells, labels).upper


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"cells": np.zeros((4, 2))}, r"cells must have shape \(N,\), got \(4, 2\)"),
        ({"labels": np.zeros(3)}, r"labels must have shape \(4,\), like the cells"),
        ({"groups": np.zeros(5)}, r"groups must have shape \(4,\)"),
        ({"labels": np.zeros(4)}, "2 samples and 2 labels, got 4 and 1"),
        ({"classes": 1}, "labels that occur, 2, got 1"),
        ({"confidence": 95}, "confidence must be in"),
        ({"labels": np.array([0, 1, np.nan, 1])}, "labels must be finite"),
    ],
)
def test_bad_input_is_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        mireg.certify(**{"cells": np.arange(4), "labels": np.arange(4) % 2, **arguments})


# --- the encoder ------------------------------------------------------------


def test_the_constraint_takes_cells_and_every_parameter_gets_a_gradient():
    encoder = mireg.QuantizedEncoder(torch.nn.Linear(8, 5), features=5, cells=6)
    constraint = mireg.RobustMIConstraint(6, classes=2)
    pair = mireg.EncoderPair(encoder, torch.nn.Identity(), constraint)
    pi, alpha, posterior = pair(torch.randn(16, 8), torch.arange(16) % 2)
    assert pi.shape == (16, 6) and (pi.detach().sum(1) - 1).abs().max() < 1e-6
    penalty = constraint(pi, alpha, posterior)
    (pi[:, 0].sum() + penalty.loss + penalty.critic_loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    entropy = posterior.entropy().mean().detach()
    assert float(penalty.metrics["kl"]) == pytest.approx(math.log(6) - float(entropy), abs=1e-5)


def test_any_output_of_an_encoder_becomes_cells():
    for output in (torch.randn(4, 3, 2, 2), (torch.randn(4, 12), torch.zeros(4, 12))):

        class Network(torch.nn.Module):
            def forward(self, x, output=output):
                return output

        encoder = mireg.QuantizedEncoder(Network(), features=12, cells=5)
        cells = encoder.cells(None)
        assert cells.shape == (4,) and cells.dtype == torch.int64 and int(cells.max()) < 5


def test_cells_are_drawn_from_the_posterior():
    encoder = mireg.QuantizedEncoder(torch.nn.Identity(), features=3, cells=3)
    with torch.no_grad():
        encoder.to_cells.weight.copy_(torch.eye(3))
        encoder.to_cells.bias.zero_()
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20_000, 3)
    shares = torch.bincount(encoder.cells(logits)) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)
