"""What a target in nats promises of attackers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mireg import leakage

epsilons = st.floats(0, 3)
shares = st.floats(0.01, 0.99)


def information(joint):
    """Gives the mutual information of a table of probabilities, in nats."""
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return float((joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])).sum())


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 6), st.floats(0.05, 5))
def test_no_table_of_code_and_class_beats_the_bounds(seed, codes, classes, concentration):
    table = np.random.default_rng(seed).gamma(concentration, size=(codes, classes))
    joint = table / table.sum()
    mi, chance = information(joint), joint.sum(0).max()
    best = joint.max(1).sum()
    assert best <= leakage.accuracy_bound(mi, chance) + 1e-9
    assert best <= leakage.pinsker_accuracy_bound(mi, chance) + 1e-9


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98), st.integers(2, 8))
def test_no_decision_beats_the_bound_of_the_parity_gap(seed, share, codes):
    rng = np.random.default_rng(seed)
    of_groups = rng.dirichlet(np.full(codes, 0.5), size=2).T
    mi = information(of_groups * [1 - share, share])
    gap = np.clip(of_groups[:, 1] - of_groups[:, 0], 0, None).sum()
    assert gap <= leakage.parity_gap_bound(mi, share) + 1e-9


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("accuracy", [0.55, 0.8, 0.99])
def test_a_symmetric_channel_meets_the_bound_of_fano(classes, accuracy):
    rest = (1 - accuracy) / (classes - 1)
    joint = np.where(np.eye(classes, dtype=bool), accuracy, rest) / classes
    bound = leakage.accuracy_bound(information(joint), 1 / classes)
    assert bound == pytest.approx(accuracy, abs=1e-9)


@given(epsilons, shares)
def test_fano_is_never_above_pinsker_and_never_below_chance(epsilon, chance):
    fano, pinsker = (
        bound(epsilon, chance) for bound in (leakage.accuracy_bound, leakage.pinsker_accuracy_bound)
    )
    # The slope of the divergence is 0 at chance: a rounding error of 1e-16 in nats is one of 1e-8 in accuracy.
    assert chance <= fano <= pinsker + 1e-7
    assert pinsker <= 1


@given(st.floats(0, 0.999), shares)
def test_the_target_for_an_accuracy_is_the_inverse(position, chance):
    accuracy = chance + position * (1 - chance)
    epsilon = leakage.epsilon_for_accuracy(accuracy, chance)
    assert leakage.accuracy_bound(max(0, epsilon), chance) == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("dims", [1, 4])
def test_a_gaussian_channel_meets_the_bound_of_r_squared(dims):
    rho = 0.6
    nats = -dims / 2 * math.log(1 - rho**2)
    assert leakage.r_squared_bound(nats, dims) == pytest.approx(rho**2)


def test_nothing_is_promised_beyond_the_entropy():
    assert leakage.accuracy_bound(math.log(10), 0.1) == 1
    assert leakage.accuracy_bound(0, 0.3) == pytest.approx(0.3)
    assert leakage.parity_gap_bound(2.0) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leakage.accuracy_bound(-1, 0.5), "epsilon, a target in nats"),
        (lambda: leakage.accuracy_bound(0.1, 10), "chance must be above 0 and below 1, got 10"),
        (lambda: leakage.pinsker_accuracy_bound(0.1, 0), "chance must be above 0"),
        (lambda: leakage.epsilon_for_accuracy(0.4, 0.5), "from chance \\(0.5\\) to 1, got 0.4"),
        (lambda: leakage.parity_gap_bound(0.1, 1.0), "share must be above 0"),
        (lambda: leakage.r_squared_bound(0.1, 0), "dims is a number of factors"),
    ],
)
def test_impossible_numbers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
