"""What π reveals about α once y is known: truths where one of the two informations is 0, and a bound that holds for the sum."""

import math

import numpy as np
import pytest
import torch

import mireg
from mireg.auditing import conditional
from mireg.auditing.inputs import read_inputs

CONTINUOUS = 1 - math.log(2)
"""I(π, α | y) of independent normal π and α with y = [π + α > 0]: H(y | α) - (H(y) - H(y | π)), where H(y | α) is the mean entropy of a uniform coin, 1 / 2."""


def normal_collider(random, n):
    """π and α tell nothing of each other, until the sign of their sum is known."""
    pi, alpha = random.standard_normal((2, n))
    return pi[:, None], alpha[:, None], np.where(pi + alpha > 0, "up", "down")


def table_collider(random, n, wrong=0.1):
    """A bit in π and the label α are independent; y is their exclusive or. Given y the bit is the label, wrong in a tenth of the cases."""
    bit, alpha = random.integers(2, size=(2, n))
    pi = (bit ^ (random.random(n) < wrong)) + 0.1 * random.standard_normal(n)
    return pi[:, None], alpha, bit ^ alpha


def common_cause(random, n):
    """π and the label α both follow y, and reveal nothing of each other beyond it."""
    y = random.integers(2, size=n)
    return (3.0 * y + random.standard_normal(n))[:, None], y ^ (random.random(n) < 0.1), y


@pytest.mark.usefixtures("short_audits")
@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (table_collider, math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)),
        (normal_collider, CONTINUOUS),
    ],
)
@pytest.mark.slow
def test_what_only_shows_given_y_is_found_given_y_alone(draw, truth):
    pi, alpha, y = draw(np.random.default_rng(0), 1600)
    alone = mireg.audit(pi, alpha, epsilon=0.1, folds=2)
    found = mireg.audit(pi, alpha, epsilon=0.1, folds=2, given=y)
    assert abs(alone.mi) < 0.03 and alone.verdict == "below"
    # From 800 samples of each value of y critics learn most of it, and not all.
    assert 0.6 * truth < found.mi < truth + 0.05 and found.verdict == "above"
    assert 0 < found.lower_bound <= truth
    assert [s.samples for s in found.strata] == np.unique(y, return_counts=True)[1].tolist()
    assert "beyond what is given" in found.summary


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_what_y_explains_is_not_found_given_y():
    pi, alpha, y = common_cause(np.random.default_rng(0), 1200)
    assert mireg.audit(pi, alpha, epsilon=0.1, folds=2).verdict == "above"
    found = mireg.audit(pi, alpha, epsilon=0.1, folds=2, given=y)
    assert abs(found.mi) < 0.03 and found.lower_bound == 0
    assert found.verdict == "below"


# --- the sum ----------------------------------------------------------------


def report(mi, bound=0.0, error=0.01, log_z=0.0, **more):
    numbers = (mi, error, log_z, mi, bound, 0.95, 3.0, 0.5, 0.01, 0.6, 500, 500)
    return mireg.AuditReport(*numbers, **more)


def inputs_of(sizes, classes=2):
    n = sum(sizes)
    random = np.random.default_rng(0)
    alpha = random.integers(classes, size=n) if classes else random.standard_normal((n, 2))
    inputs = read_inputs(random.standard_normal((n, 2)), alpha)
    strata = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return inputs, conditional.cut(inputs, strata, [f"s{i}" for i in range(len(sizes))])


def test_the_estimate_is_the_weighted_mean_of_the_strata():
    inputs, parts = inputs_of([600, 1800])
    reports = iter([report(0.4, 0.3, 0.03), report(0.1, 0.0, 0.01)])
    asked = []

    def examine(part, confidence):
        asked.append(confidence)
        return next(reports)

    found = conditional.combined(inputs, parts, examine, 0.94, 0.05, "label")
    assert asked == [pytest.approx(0.98)] * 2
    assert found.mi == pytest.approx(0.25 * 0.4 + 0.75 * 0.1)
    of_shares = (0.25 * 0.16 + 0.75 * 0.01 - 0.175**2) / 2400
    error = math.sqrt((0.25 * 0.03) ** 2 + (0.75 * 0.01) ** 2 + of_shares)
    assert found.standard_error == pytest.approx(error)
    margin = (math.sqrt(1 / 2400) + math.sqrt(2 * math.log(50) / 2400)) / 2
    assert found.lower_bound == pytest.approx(0.25 * 0.3 - 0.3 * margin)
    assert found.verdict == "above"


def test_small_strata_are_left_out_said_and_never_cleared():
    inputs, parts = inputs_of([1200, 60])
    found = conditional.combined(inputs, parts, lambda *_: report(0.001), 0.95, 0.05, "label")
    assert found.verdict == "undecided"
    assert found.strata[1].mi is None and "fewer than 200 samples" in found.strata[1].note
    assert any("4.8 % of the samples are too small" in text for text in found.warnings)
    assert "left out" in str(found)
    tiny, parts = inputs_of([5990, 10])
    assert (
        conditional.combined(tiny, parts, lambda *_: report(0.001), 0.95, 0.05, "l").verdict
        == "below"
    )


def test_a_stratum_of_one_label_tells_nothing_and_counts():
    random = np.random.default_rng(0)
    alpha = np.concatenate((random.integers(2, size=600), np.zeros(600, int)))
    inputs = read_inputs(random.standard_normal((1200, 2)), alpha)
    parts = conditional.cut(inputs, (torch.arange(1200) >= 600).long(), ["mixed", "pure"])
    assert parts[1].zero
    found = conditional.combined(inputs, parts, lambda *_: report(0.4), 0.95, 0.05, "label")
    assert found.mi == pytest.approx(0.2)


def test_opposite_logits_of_strata_do_not_pass_for_calibrated_ones():
    inputs, parts = inputs_of([600, 600])
    reports = iter([report(0.001, log_z=0.5), report(0.001, log_z=-0.5)])
    found = conditional.combined(inputs, parts, lambda *_: next(reports), 0.95, 0.05, "label")
    assert found.verdict == "undecided"
    assert not found.reliable


@pytest.mark.parametrize(("strata", "units"), [(2, 60), (5, 300), (20, 2000)])
def test_shares_are_within_their_margin_as_often_as_it_says(strata, units):
    """2,000 repetitions, for shares that are equal, where the mean distance is largest, and for others."""
    random = np.random.default_rng(0)
    margin = conditional.shares_margin(strata, units, 0.05)
    for truth in (np.full(strata, 1 / strata), random.dirichlet(np.ones(strata))):
        found = random.multinomial(units, truth, size=2000) / units
        distance = np.abs(found - truth).sum(1) / 2
        assert (distance > margin).mean() <= 0.05
        assert margin < 0.5


def test_the_bound_of_the_sum_exceeds_the_truth_no_more_often_than_it_says():
    """500 repetitions: the bounds of strata miss as often as they may, and the shares of the sample are not the true ones."""
    random = np.random.default_rng(0)
    truth, shares = np.array([0.5, 0.02, 0.2]), np.array([0.3, 0.4, 0.3])
    value = float(truth @ shares)
    missed = 0
    for _ in range(500):
        strata = torch.tensor(random.choice(3, size=1500, p=shares))
        inputs = BASE._replace(groups=torch.arange(1500))
        parts = conditional.cut(inputs, strata, list("abc"))
        order = iter(range(3))

        def examine(part, confidence, order=order):
            k = next(order)
            lucky = random.random() < 1 - confidence
            return report(truth[k], truth[k] + 1.0 if lucky else truth[k])

        missed += conditional.combined(inputs, parts, examine, 0.8, None, "").lower_bound > value
    assert missed / 500 <= 0.2


BASE = read_inputs(
    np.random.default_rng(1).standard_normal((1500, 1)),
    np.random.default_rng(2).integers(2, size=1500),
)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.zeros(599, int), "one label for each sample, got 599 for 600"),
        (np.random.default_rng(0).standard_normal(600), "cut numbers into bins"),
        (np.arange(600), "cut numbers into bins"),
        (np.zeros(600, int), "at least 2 classes"),
        (np.arange(600) % 6, "leaves no stratum to audit: a stratum needs 200 samples"),
    ],
)
def test_what_cannot_be_given_is_refused_with_the_fix(given, text):
    codes = np.random.default_rng(0).standard_normal((600, 2))
    with pytest.raises(ValueError, match=text):
        mireg.audit(codes, codes, given=given)


def test_given_must_leave_something_of_alpha():
    codes, alpha = np.random.default_rng(0).standard_normal((600, 2)), np.arange(600) % 2
    with pytest.raises(ValueError, match="alpha does not vary within any of its 4 values"):
        mireg.audit(codes, alpha, given=np.arange(600) % 4)


def test_what_is_given_leaves_with_the_samples_that_are_unknown():
    alpha = np.where(np.arange(600) < 100, -1, np.arange(600) % 2)
    inputs = read_inputs(np.random.default_rng(0).standard_normal((600, 2)), alpha, unknown=-1)
    given = np.where(np.arange(600) < 300, "low", "high")
    strata, names, words = conditional.read_given(given, inputs.known, 600)
    assert names == ["high", "low"] and strata.bincount().tolist() == [300, 200]
    assert words == "label, 2 classes (names: high, low)"


def test_groups_in_several_strata_make_errors_add_up():
    inputs, _ = inputs_of([600, 600])
    inputs = inputs._replace(groups=torch.arange(1200) % 600)
    parts = conditional.cut(inputs, (torch.arange(1200) >= 600).long(), ["a", "b"])
    found = conditional.combined(inputs, parts, lambda *_: report(0.1, error=0.04), 0.95, 0.5, "")
    assert found.standard_error == pytest.approx(0.04)
    assert found.groups == 600


@pytest.mark.parametrize(("shared", "error"), [(False, math.hypot(0.01, 0.02)), (True, 0.03)])
def test_what_critics_miss_in_strata_adds_up(shared, error):
    inputs, _ = inputs_of([600, 600])
    if shared:
        inputs = inputs._replace(groups=torch.arange(1200) % 600)
    parts = conditional.cut(inputs, (torch.arange(1200) >= 600).long(), ["a", "b"])
    told = [report(0.01, error=0.0, missed=x, missed_error=0.06 - x) for x in (0.04, 0.02)]
    highest = 0.04 + 2 * error
    for epsilon, verdict in ((0.99 * highest, "undecided"), (1.01 * highest, "below")):
        reports = iter(told)
        found = conditional.combined(
            inputs, parts, lambda *_, reports=reports: next(reports), 0.95, epsilon, ""
        )
        assert found.missed == pytest.approx(0.03)
        assert found.missed_error == pytest.approx(error)
        assert found.highest == pytest.approx(highest)
        assert found.verdict == verdict
        warned = any("more samples may raise" in text for text in found.warnings)
        assert warned == (verdict == "undecided")
