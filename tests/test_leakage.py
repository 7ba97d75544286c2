"""What a target in nats promises of attackers."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mireg import _guesses, leakage

epsilons = st.floats(0, 3)
shares = st.floats(0.01, 0.99)


def information(joint):
    """Gives the mutual information of a table of probabilities, in nats."""
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    nats = float((joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])).sum())
    # Rounding may give less than none.
    return max(nats, 0.0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 6), st.floats(0.05, 5))
def test_no_table_of_code_and_class_beats_the_bounds(seed, codes, classes, concentration):
    table = np.random.default_rng(seed).gamma(concentration, size=(codes, classes))
    joint = table / table.sum()
    mi, chance = information(joint), joint.sum(0).max()
    assume(chance < 1)
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


def auc(code_of_rest, code_of_class):
    """Returns the best AUC that a code allows, given its law without and with the class: scores are likelihood ratios."""
    order = np.argsort(code_of_class / (code_of_rest + code_of_class))
    a, b = code_of_rest[order], code_of_class[order]
    return float(b @ (a.cumsum() - a / 2))


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98), st.integers(2, 8))
def test_no_score_beats_the_bound_of_the_auc(seed, share, codes):
    of_groups = np.random.default_rng(seed).dirichlet(np.full(codes, 0.5), size=2).T + 1e-12
    mi = information(of_groups * [1 - share, share])
    assert auc(*of_groups.T) <= leakage.auc_bound(mi, share) + 1e-7


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 6), st.floats(0.05, 5))
def test_no_guess_beats_the_bound_of_the_balanced_accuracy(seed, codes, classes, concentration):
    table = np.random.default_rng(seed).gamma(concentration, size=(codes, classes)) + 1e-9
    joint = table / table.sum()
    recalls = (joint / joint.sum(0)).max(1).sum() / classes
    bound = leakage.balanced_accuracy_bound(information(joint), joint.sum(0).tolist())
    assert recalls <= bound + 1e-7


def optimum(payoff, budget, start, constraints=(), bounds=None):
    """Maximises by brute force, under a budget of information."""
    limits = [*constraints, {"type": "ineq", "fun": budget}]
    options = {"maxiter": 500, "ftol": 1e-12}
    found = minimize(
        lambda x: -payoff(x), start, bounds=bounds, constraints=limits, options=options
    )
    assert budget(found.x) > -1e-6
    return -found.fun


@pytest.mark.parametrize("share", [0.5, 0.3, 0.08])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.8])
def test_the_best_of_all_codes_of_sixteen_values_comes_close_to_the_bound_of_the_auc(share, part):
    """The optimum over all laws of the class given a score of 16 equally frequent values, by constrained search."""
    values, epsilon = 16, part * _guesses.entropy(share)

    def laws(q):
        return (1 - q) / values / (1 - share), q / values / share

    def payoff(q):
        rest, of_class = laws(q)
        return of_class @ (rest.cumsum() - rest / 2)

    def budget(q):
        return epsilon - information(np.stack((1 - q, q), 1) / values)

    mean = {"type": "eq", "fun": lambda q: q.mean() - share}
    # Any start but the mean, where the gradient of the information is 0.
    start = share * (0.9 + 0.2 * np.linspace(0, 1, values))
    best = optimum(payoff, budget, start, [mean], [(1e-9, 1 - 1e-9)] * values)
    bound = leakage.auc_bound(epsilon, share)
    assert best <= bound + 1e-6
    # What is missing is the number of values: the bound is over all scores.
    assert bound - best < 0.006


@pytest.mark.parametrize("share", [0.5, 0.3, 0.08])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.8])
def test_the_best_of_all_decisions_on_a_grid_meets_the_bound_of_the_balanced_accuracy(share, part):
    epsilon = part * _guesses.entropy(share)
    grid = np.linspace(0, 1, 1001)
    of_class, of_rest = np.meshgrid(grid, grid, indexing="ij")
    mean = share * of_class + (1 - share) * of_rest

    def entropy(p):
        return -sum(np.where(x > 0, x * np.log(x.clip(1e-300)), 0) for x in (p, 1 - p))

    mi = entropy(mean) - share * entropy(of_class) - (1 - share) * entropy(of_rest)
    best = (0.5 + (of_class - of_rest) / 2)[mi <= epsilon].max()
    bound = leakage.balanced_accuracy_bound(epsilon, share)
    assert best <= bound + 1e-9
    assert bound - best < 0.002


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.9, 0.05, 0.05), (0.25, 0.25, 0.25, 0.25)])
@pytest.mark.parametrize("epsilon", [0.02, 0.2])
def test_the_best_of_all_guesses_meets_the_bound_of_the_balanced_accuracy(shares, epsilon):
    s, k = np.array(shares), len(shares)

    def channel(x):
        rows = np.exp(x.reshape(k, k) - x.reshape(k, k).max(1, keepdims=True))
        return rows / rows.sum(1, keepdims=True)

    def budget(x):
        return epsilon - information(s[:, None] * channel(x))

    starts = np.random.default_rng(0).standard_normal((6, k * k))
    best = max(optimum(lambda x: np.trace(channel(x)) / k, budget, x) for x in starts)
    bound = leakage.balanced_accuracy_bound(epsilon, shares)
    assert best <= bound + 1e-5
    assert bound - best < 1e-3


@given(epsilons, shares)
def test_the_bounds_of_an_unbalanced_class_agree(epsilon, share):
    """The AUC is at least the balanced accuracy of any of its thresholds, and a gap is twice what is above 1/2."""
    balanced = leakage.balanced_accuracy_bound(epsilon, share)
    assert balanced <= leakage.auc_bound(epsilon, share) + 1e-6
    assert 2 * balanced - 1 <= leakage.parity_gap_bound(epsilon, share) + 1e-6
    assert balanced == pytest.approx(
        leakage.balanced_accuracy_bound(epsilon, (1 - share, share)), abs=1e-9
    )


def test_accuracy_says_nothing_of_a_rare_class_and_the_auc_does():
    """At 92 % to 8 % a code that tells the class apart well may not change a single best guess."""
    joint = np.array([[0.20, 0.72], [0.07, 0.01]])
    assert joint.max(0).sum() == pytest.approx(0.92)
    assert information(joint) == pytest.approx(0.0714, abs=1e-4)
    assert auc(joint[0] / joint[0].sum(), joint[1] / joint[1].sum()) > 0.8


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


@given(st.floats(0.51, 0.99), st.floats(0.02, 0.98))
def test_the_target_for_an_auc_is_the_inverse(auc, share):
    epsilon = leakage.epsilon_for_auc(auc, share)
    assert 0 < epsilon <= -share * math.log(share) - (1 - share) * math.log1p(-share)
    assert leakage.auc_bound(epsilon, share) == pytest.approx(auc, abs=1e-5)


def test_targets_for_the_extremes_of_the_auc():
    assert leakage.epsilon_for_auc(0.5, 0.1) == 0
    assert leakage.epsilon_for_auc(1.0, 0.5) == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("dims", [1, 4])
def test_a_gaussian_channel_meets_the_bound_of_r_squared(dims):
    rho = 0.6
    nats = -dims / 2 * math.log(1 - rho**2)
    assert leakage.gaussian_r_squared_bound(nats, dims) == pytest.approx(rho**2)


def coin(nats):
    """Gives R² and information of a fair coin seen through a channel with that information."""
    accuracy = leakage.accuracy_bound(nats, 0.5)
    return (2 * accuracy - 1) ** 2


@given(st.floats(1e-4, 0.6))
def test_a_coin_breaks_the_gaussian_bound_of_r_squared_and_meets_the_one_for_any(nats):
    assert leakage.gaussian_r_squared_bound(nats) < coin(nats)
    assert coin(nats) <= leakage.bounded_r_squared_bound(nats, spread=2) + 1e-9
    assert coin(1e-4) == pytest.approx(leakage.bounded_r_squared_bound(1e-4, spread=2), rel=1e-3)


@given(st.integers(0, 1000))
def test_no_attribute_with_a_range_is_predicted_better_than_its_bound(seed):
    random = np.random.default_rng(seed)
    joint = random.dirichlet(np.full(12, random.choice([0.1, 1, 10]))).reshape(3, 4)
    values = random.standard_normal(4) ** 3
    code, attribute = joint.sum(1), joint.sum(0)
    independent = code[:, None] * attribute
    seen = joint > 0
    nats = max(0.0, (joint[seen] * np.log(joint[seen] / independent[seen])).sum())
    mean = attribute @ values
    variance = attribute @ (values - mean) ** 2
    explained = code @ ((joint @ values) / np.maximum(code, 1e-300) - mean) ** 2
    spread = np.ptp(values) / variance**0.5
    assert explained / variance <= leakage.bounded_r_squared_bound(nats, spread) + 1e-9


def test_nothing_is_promised_beyond_the_entropy():
    assert leakage.accuracy_bound(math.log(10), 0.1) == 1
    assert leakage.accuracy_bound(0, 0.3) == pytest.approx(0.3)
    assert leakage.parity_gap_bound(2.0) == 1
    assert leakage.auc_bound(math.log(2), 0.5) == leakage.auc_bound(0.3, 0.08) == 1
    assert leakage.auc_bound(0, 0.08) == 0.5
    assert leakage.balanced_accuracy_bound(3, [0.2, 0.3, 0.5]) == pytest.approx(1)
    assert leakage.balanced_accuracy_bound(0, [0.2, 0.3, 0.5]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leakage.accuracy_bound(-1, 0.5), "epsilon, a target in nats"),
        (lambda: leakage.accuracy_bound(0.1, 10), "chance must be above 0 and below 1, got 10"),
        (lambda: leakage.pinsker_accuracy_bound(0.1, 0), "chance must be above 0"),
        (lambda: leakage.epsilon_for_accuracy(0.4, 0.5), "from chance \\(0.5\\) to 1, got 0.4"),
        (lambda: leakage.epsilon_for_auc(0.4, 0.1), "from 0.5 to 1, got 0.4"),
        (lambda: leakage.parity_gap_bound(0.1, 1.0), "share must be above 0"),
        (lambda: leakage.auc_bound(0.1, 0.0), "share must be above 0"),
        (lambda: leakage.balanced_accuracy_bound(0.1, [0.5, 0.6]), "with sum 1"),
        (lambda: leakage.balanced_accuracy_bound(0.1, 1.0), "shares must be above 0"),
        (lambda: leakage.gaussian_r_squared_bound(0.1, 0), "dims, the number of factors, must be"),
        (
            lambda: leakage.bounded_r_squared_bound(0.1, 2, 0),
            "dims, the number of factors, must be",
        ),
        (lambda: leakage.bounded_r_squared_bound(0.1, 1.5), "spread is the range.*got 1.5"),
        (lambda: leakage.bounded_r_squared_bound(0.1, math.inf), "spread is the range.*got inf"),
    ],
)
def test_impossible_numbers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
