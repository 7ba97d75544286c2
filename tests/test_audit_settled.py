"""Whether an estimate would rise with more codes: the audit says so, and never clears what it has not yet seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mireg
from mireg.auditing.curve import (
    LearningCurve,
    Recognition,
    estimate,
    log_partition,
    open_questions,
    smaller_folds,
    still_rises,
)
from mireg.auditing.fitting import FoldData, contrastive_loss
from mireg.auditing.inputs import AuditInputs, make_folds
from mireg.auditing.linear import CanonicalCritic
from mireg.auditing.members import CodeCritics
from mireg.auditing.networks import Towers
from mireg.auditing.settling import recognize
from mireg.auditing.verdict import decide, doubts, expected_miss, highest, samples_needed

CODES = Path(__file__).parents[2] / "shared" / "data" / "codes"


def curve_of(*estimates, error=0.01):
    sizes = (1000, 2000, 4000)
    rise = estimates[-1] - estimates[-2]
    return LearningCurve(sizes, sizes, estimates, (error,) * 3, rise, error)


# --- what decides ------------------------------------------------------------


@pytest.mark.parametrize(
    ("rise", "error", "found", "rises"),
    [
        (0.05, 0.01, 0.1, True),
        # Two standard errors are noise.
        (0.05, 0.03, 0.1, False),
        # Less than 0.005 nats, or 5 % of the estimate, is what two trainings differ by.
        (0.004, 0.0001, 0.02, False),
        (0.04, 0.001, 1.0, False),
        (-0.2, 0.01, 0.1, False),
    ],
)
def test_a_rise_counts_beyond_noise(rise, error, found, rises):
    assert still_rises(rise, error, found) is rises


def test_what_still_rises_is_never_below():
    assert decide(0.01, 0.001, 0.0, 0.0, 0.125, settled=True) == "below"
    assert decide(0.01, 0.001, 0.0, 0.0, 0.125, settled=False) == "not settled"
    assert decide(0.3, 0.01, 0.0, 0.0, 0.125, settled=False) == "above"
    assert decide(0.01, 0.001, 0.0, 0.0, None, settled=False) == "not asked"


def test_what_more_samples_may_show_keeps_the_verdict_from_below():
    assert highest(0.03, 0.003, -0.01, 0.004) == pytest.approx(0.04)
    assert highest(0.03, 0.003, 0.01, 0.004) == pytest.approx(0.05)
    # The last doubling is expected eight times more.
    assert expected_miss(0.01, 40, 1000) == pytest.approx(0.08)
    # What a simple critic misses counts if critics rise by less.
    assert expected_miss(0.001, 40, 1000) == expected_miss(-0.01, 40, 1000) == pytest.approx(0.02)
    # An estimate below 0 does not mean that critics miss less.
    assert highest(-0.03, 0.003, 0.01, 0.004) == pytest.approx(0.02)
    assert decide(0.03, 0.003, 0.0, 0.0, 0.0499, most=0.05) == "undecided"
    assert decide(0.03, 0.003, 0.0, 0.0, 0.0501, most=0.05) == "below"
    (warning,) = doubts(0.03, 0.003, 0.05, 0.0499)
    assert "suffice" not in warning
    (longer,) = doubts(0.03, 0.003, 0.05, 0.0499, enough=samples_needed(64, 0.05))
    assert "more samples of the same ones do not help; about 3,200 suffice" in longer
    assert "may raise the estimate to 0.050 nats" in warning
    # Nothing is said if the verdict is below, or not below whatever the curve.
    assert not doubts(0.03, 0.003, 0.05, 0.0501) and not doubts(0.03, 0.003, 0.05, 0.036)
    assert not doubts(0.03, 0.003, 0.05, None)


def test_a_slow_rise_that_is_noise_to_the_curve_keeps_a_code_from_being_cleared():
    # A code with 0.081 nats about one of five classes: its audit of 6,000 samples.
    mi, error, estimates = 0.015, 0.0018, (0.003, 0.008, 0.013)
    rise, rise_error = estimates[-1] - estimates[-2], 0.0078
    assert not still_rises(rise, rise_error, mi)
    most = highest(mi, error, expected_miss(rise, 128, 4500), rise_error)
    assert decide(mi, error, 0.0, 0.005, 0.05, most=most) == "undecided"


def test_one_small_rise_may_be_chance():
    # A code with 0.080 nats about one of five classes: its audit of 20,000 samples.
    curve = curve_of(0.0152, 0.0216, 0.0241)
    assert curve.expected_rise == pytest.approx(0.00445)
    most = highest(0.0235, 0.0016, expected_miss(curve.expected_rise, 128, 15_000), 0.001)
    assert decide(0.0235, 0.0016, 0.0, 0.0, 0.05, most=most) == "undecided"
    assert curve_of(0.01, 0.01, 0.03).expected_rise == pytest.approx(0.02)


def test_a_rising_curve_says_what_is_needed():
    (reason,) = open_questions(curve_of(0.0, 0.02, 0.09), 5000)
    assert "rises, by 0.070 ± 0.010 nats" in reason
    assert "4,000 training codes" in reason and "twice as many samples" in reason
    grouped = curve_of(0.0, 0.02, 0.09)._replace(groups=(10, 20, 40))
    (reason,) = open_questions(grouped, 5000)
    assert "of 40 groups" in reason and "twice as many groups" in reason


@pytest.mark.parametrize(("groups", "settled"), [(71, False), (199, False), (200, True)])
def test_few_groups_are_never_settled(groups, settled):
    assert (not open_questions(curve_of(0.1, 0.1, 0.1), groups)) is settled


# --- its parts ---------------------------------------------------------------


def test_a_classifier_that_finds_less_than_the_panel_is_no_ceiling():
    group = Recognition(0.44, 0.02, 0.04, 265)
    assert "not a ceiling" in group.meaning(0.58)
    assert "a ceiling, as far as classifiers see" in group.meaning(0.3)


def test_smaller_folds_keep_whole_groups_and_what_judges():
    groups = torch.arange(600) // 3
    folds = make_folds(groups, 4, torch.Generator().manual_seed(0))
    half, quarter = (smaller_folds(folds, groups, share) for share in (2, 4))
    for k in range(4):
        kept = [set(part.train[k].tolist()) for part in (quarter, half, folds)]
        assert kept[0] < kept[1] < kept[2]
        assert abs(len(kept[1]) - len(kept[2]) / 2) <= 3
        counts = groups[half.train[k]].bincount()
        assert set(counts[counts > 0].tolist()) == {3}
        assert half.test[k].equal(folds.test[k]) and half.stop[k].equal(folds.stop[k])


def test_estimate_is_the_mean_logit_less_log_z_below_0():
    joint = [torch.tensor([0.5, 0.1]), torch.tensor([0.3])]
    low, high = ([torch.full((4, 2), z), torch.full((2, 1), z)] for z in (-0.2, 0.4))
    assert log_partition(low) == pytest.approx(-0.2)
    assert estimate(joint, low) == pytest.approx(0.5)
    assert estimate(joint, high) == pytest.approx(0.3)
    # Pairs of one group do not count, and a sample that has no others is left out.
    low[0][:3, 0] = low[0][:, 1] = -torch.inf
    assert log_partition(low) == pytest.approx(-0.2)


def test_all_pairs_of_towers_are_those_of_an_index():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 30, d, generator=generator) for d in (3, 4))
    towers = Towers(2, 3, 4, 16)
    index = torch.arange(30).expand(30, -1) + torch.arange(30)[:, None]
    every, indexed = towers.every(x, y), towers(x, y, index % 30)
    for shift in range(30):
        rows = torch.arange(30)
        torch.testing.assert_close(indexed[:, shift], every[:, rows, (rows + shift) % 30])


def test_critics_with_a_linear_part_give_the_same_logits_for_all_pairs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    y = x + torch.randn(400, 2, generator=generator)
    linear = CanonicalCritic(x[:300], y[:300], x[300:], y[300:])
    assert linear.count == 2
    u, v = (z.float() for z in linear.variables(x, y))
    batch = FoldData(*(z[None, :20] for z in (x, y, u, v, torch.arange(400))))
    critics = CodeCritics([linear], 2, Towers(1, 2, 2, 8))
    assert critics.all_pairs
    assert not CodeCritics([linear], 2).all_pairs
    index = (torch.arange(20) + torch.arange(20)[:, None]) % 20
    every = critics.every(batch)[0]
    torch.testing.assert_close(critics(batch, index)[0], every[torch.arange(20), index])
    # All 19 shifts are all pairs, and those of one group do not count.
    joint = torch.nn.functional.softplus(-every.diagonal()).mean()
    mask = ~torch.eye(20, dtype=torch.bool)
    marginal = torch.nn.functional.softplus(every)[mask].mean()
    loss = contrastive_loss(critics, batch, generator)
    torch.testing.assert_close(loss[0], joint + marginal)


# --- what the audit says -----------------------------------------------------


def products(n, d, seed=0):
    """A label that is the sign of a sum of products of three: no critic finds it in few samples, and all of ln 2 is there."""
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x, (x[:, ::3] * x[:, 1::3] * x[:, 2::3]).sum(1) > 0


@pytest.mark.slow
def test_what_more_samples_would_show_is_not_settled():
    """With 1,500 of them critics find a part, and with half of them less."""
    report = mireg.audit(*products(1500, 6), epsilon=0.5, folds=2)
    assert report.mi + 2 * report.standard_error < 0.5
    assert report.verdict == "not settled"
    assert not report.settled
    assert report.curve.rise > 2 * report.curve.rise_error
    assert any("still rises" in text for text in report.warnings)
    assert "learning curve" in str(report)
    assert list(report.to_dict()["curve"]["sizes"]) == sorted(report.curve.sizes)


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_what_is_all_found_is_settled():
    random = np.random.default_rng(0)
    x = random.standard_normal((1500, 2))
    y = x + random.standard_normal((1500, 2))
    report = mireg.audit(x, y, epsilon=1.5, folds=2)
    # Half a nat of ln 2 in each of two coordinates.
    assert abs(report.mi - np.log(2)) < 0.12
    assert report.settled
    assert report.verdict == "below"


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_two_hundred_samples_say_what_they_cannot_show():
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 2))
    report = mireg.audit(x, x + 0.5 * random.standard_normal((200, 2)), folds=2)
    # Twice half the logarithm of 5.
    assert 0.8 < report.mi < 2.4
    assert any("only 200 samples" in text for text in report.warnings)


def test_groups_are_recognised_as_often_as_they_can_be():
    """Of 50 groups in 25 places, two share each place."""
    group = np.repeat(np.arange(50), 30)
    generator = torch.Generator().manual_seed(0)
    pi = torch.from_numpy(np.stack((group // 2 % 5, group // 10), 1)).float()
    pi = pi + 0.05 * torch.randn(pi.shape, generator=generator)
    groups = torch.from_numpy(group)
    torch.manual_seed(0)
    found = recognize(AuditInputs(pi, pi, groups, 0, ()), generator)
    assert abs(found.mi - np.log(25)) < 0.25
    assert abs(found.accuracy - 0.5) < 0.1
    assert found.groups == 50
    assert recognize(AuditInputs(pi, pi, torch.arange(1500), 0, ()), generator) is None


@pytest.mark.skipif(not CODES.is_dir(), reason="the leaky codes are not beside the checkout")
@pytest.mark.parametrize("name", ["training", "held_out"])
@pytest.mark.slow
def test_codes_that_leak_are_not_cleared(name):
    """A part of them: 12 samples of a character, and 600 steps."""
    with np.load(CODES / f"leaky_{name}.npz") as file:
        pi, alpha, groups = file["pi"], file["alpha"], file["groups"]
    place = np.zeros(len(groups), dtype=int)
    for group in np.unique(groups):
        place[groups == group] = np.arange((groups == group).sum())
    kept = place < 12
    report = mireg.audit(pi[kept], alpha[kept], groups[kept], epsilon=0.125, folds=2)
    assert report.verdict == "not settled"
    assert "group revealed" in str(report)
