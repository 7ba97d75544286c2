"""Marginal pairs: no sample with itself or with its identity, none that is unknown, the same at every call."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mireg
from mireg import pairs

RANKS = mireg.Ranks()
WAYS = {
    "all": lambda: pairs.AllNegatives(),
    "one": lambda: pairs.ShiftedNegatives(1),
    "three": lambda: pairs.ShiftedNegatives(3),
}
EVERY_WAY = {**WAYS, "classes": lambda: pairs.ClassNegatives(64)}


def marginal_pairs(way, n, groups=None, known=None, step=0):
    """Returns the pairs of samples that count, one row each, and all that was chosen; alpha is the number of the sample."""
    negatives = EVERY_WAY[way]()
    if hasattr(negatives, "step"):
        negatives.step.fill_(step)
    numbers = torch.arange(n)
    alpha = numbers if way == "classes" else numbers[:, None]
    pool, chosen = negatives(alpha, groups, known, n, RANKS)
    if chosen.marginal is None:
        rows, columns = (chosen.marginal_weights > 0).nonzero().unbind(1)
        return torch.stack((rows, pool.flatten()[columns])), chosen
    partners = pool[chosen.marginal, 0]
    found = torch.stack((numbers.expand_as(partners), partners))
    if chosen.marginal_weights is not None:
        return found[:, chosen.marginal_weights > 0], chosen
    return found.flatten(1), chosen


@given(n=st.integers(2, 65), count=st.integers(1, 40), step=st.integers(0, 2**40))
def test_rolling_leaves_no_sample_in_its_place(n, count, step):
    negatives = pairs.ShiftedNegatives(count)
    negatives.step.fill_(step)
    shifts = negatives.shifts(n).tolist()
    assert len(shifts) == min(count, n - 1) == len(set(shifts))
    assert all(1 <= shift < n for shift in shifts)


def test_rolling_takes_every_step():
    negatives, taken = pairs.ShiftedNegatives(1), set()
    for _ in range(60):
        taken.add(negatives.shifts(9).item())
        negatives.update()
    assert taken == set(range(1, 9))


@pytest.mark.parametrize("start", [0, 10**5, 10**7, 10**9])
def test_rolling_goes_on_taking_every_step_in_long_trainings(start):
    negatives, taken = pairs.ShiftedNegatives(1), set()
    negatives.step.fill_(start)
    for _ in range(1000):
        taken.add(negatives.shifts(129).item())
        negatives.update()
    assert len(taken) == 128


@pytest.mark.parametrize("way", EVERY_WAY)
@given(n=st.integers(2, 33), step=st.integers(0, 100))
def test_no_marginal_pair_is_a_joint_one(way, n, step):
    (of, with_), chosen = marginal_pairs(way, n, step=step)
    assert (of != with_).all()
    assert len(of) == n * min(n - 1, {"one": 1, "three": 3}.get(way, n))
    assert len(set(zip(of.tolist(), with_.tolist(), strict=True))) == len(of)
    if way != "classes":
        assert chosen.joint.equal(torch.arange(n))


@pytest.mark.parametrize("way", EVERY_WAY)
@given(data=st.data())
def test_samples_of_one_identity_are_never_negatives(way, data):
    n = data.draw(st.integers(2, 20))
    groups = torch.tensor(data.draw(st.lists(st.integers(-2, 3), min_size=n, max_size=n)))
    (of, with_), chosen = marginal_pairs(way, n, groups, step=data.draw(st.integers(0, 50)))
    assert (groups[of] != groups[with_]).all()
    if way in ("all", "classes"):
        assert len(of) == (groups[:, None] != groups).sum()
    weights = chosen.marginal_weights
    assert weights.sum().item() == pytest.approx(1.0 if len(of) else 0.0, abs=1e-5)


@pytest.mark.parametrize("way", EVERY_WAY)
@given(data=st.data())
def test_unknown_samples_take_no_part(way, data):
    n = data.draw(st.integers(2, 20))
    known = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    grouped = data.draw(st.booleans())
    groups = torch.arange(n) // 2 if grouped else None
    (of, with_), chosen = marginal_pairs(way, n, groups, known)
    assert known[of].all() and known[with_].all()
    assert (chosen.joint_weights > 0).equal(known)
    assert chosen.joint_weights.sum().item() == pytest.approx(float(known.any()), abs=1e-5)


@given(data=st.data())
def test_class_negatives_weigh_classes_as_all_pairs_do(data):
    """The same expectation, of one logit a class instead of one a pair."""
    n, classes = data.draw(st.integers(2, 20)), 3
    draw = st.lists(st.integers(-1, classes - 1), min_size=n, max_size=n)
    labels = torch.tensor(data.draw(draw))
    groups = torch.arange(n) // 2 if data.draw(st.booleans()) else None
    known = labels >= 0
    logits = torch.randn(n, classes, generator=torch.Generator().manual_seed(0))
    _, by_class = pairs.ClassNegatives(classes)(labels, groups, known, n, RANKS)
    _, by_pair = pairs.AllNegatives()(labels, groups, known, n, RANKS)
    of_pairs = logits[:, labels.clamp(min=0)]
    got = (by_class.marginal_weights * logits).sum()
    torch.testing.assert_close(
        got, (by_pair.marginal_weights * of_pairs).sum(), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(by_class.joint_weights, by_pair.joint_weights)


@pytest.mark.parametrize("way", EVERY_WAY)
def test_pairs_are_the_same_at_every_call_until_an_update(way):
    (first, _), (second, _) = marginal_pairs(way, 9), marginal_pairs(way, 9)
    assert first.equal(second)
    if way in ("one", "three"):
        assert not marginal_pairs(way, 9, step=1)[0].equal(first)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_pairs_are_those_of_the_first_codes(way):
    groups, known = torch.arange(12) // 2, torch.arange(12) % 5 > 0
    _, chosen = marginal_pairs(way, 12, groups, known)
    first = chosen.first(5, RANKS)
    assert first.joint.equal(torch.arange(5))
    for weights in first.weights:
        assert weights.sum().item() == pytest.approx(1.0)
    of_marginal = chosen.marginal_weights
    kept = of_marginal[:5] if chosen.marginal is None else of_marginal[:, :5]
    torch.testing.assert_close(first.marginal_weights, kept / kept.sum())
    assert chosen.first(12, RANKS) is chosen


def test_all_pairs_and_all_shifts_are_one_set():
    every = {tuple(p) for p in marginal_pairs("all", 4)[0].T.tolist()}
    assert every == {tuple(p) for p in marginal_pairs("three", 4)[0].T.tolist()}


@pytest.mark.parametrize("count", [0, -1, 1.5, "all"])
def test_impossible_numbers_of_negatives_are_named(count):
    with pytest.raises(
        ValueError, match="marginal pairs per sample must be an integer of at least 1"
    ):
        pairs.ShiftedNegatives(count)
