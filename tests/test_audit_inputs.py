"""What alpha is: decided by what was given, said in words, and never turned into a false all-clear."""

import numpy as np
import pandas as pd
import pytest
import torch

import mireg
from mireg.auditing.inputs import read_inputs
from mireg.auditing.kinds import read_variable

RANDOM = np.random.default_rng(0)
N = 600
LABELS = RANDOM.integers(3, size=N)
NAMES = np.array(["ill", "old", "well"])[LABELS]
INCOME = RANDOM.normal(50_000, 20_000, N).round().astype(int)
FLAGS = RANDOM.integers(2, size=(N, 3))


@pytest.mark.parametrize(
    ("alpha", "options", "classes", "words"),
    [
        (LABELS, {}, 3, "label, 3 classes (integers: 0, 1, 2)"),
        (LABELS[:, None], {}, 3, "label, 3 classes (integers: 0, 1, 2)"),
        (LABELS.astype(float), {}, 3, "label, 3 classes (integers: 0, 1, 2)"),
        (torch.tensor(LABELS), {}, 3, "label, 3 classes (integers: 0, 1, 2)"),
        (LABELS, {"kind": "number"}, 0, "a number, as asked for"),
        (LABELS, {"classes": 5}, 3, "label, 3 classes (as asked for: 0, 1, 2)"),
        (INCOME, {}, 0, "ordered numbers: 595 different integers in 600 samples"),
        (INCOME.astype(float), {}, 0, "ordered numbers: 595 different integers"),
        (INCOME // 10_000, {"kind": "label"}, 12, "label, 12 classes (as asked for"),
        (np.arange(N) % 31, {}, 0, "ordered numbers: 31 different integers"),
        (np.arange(N) % 30, {}, 30, "label, 30 classes (integers: 0, 1, 2, 3, …)"),
        (np.arange(N) % 31, {"kind": "label"}, 31, "label, 31 classes"),
        (np.arange(N) % 31, {"classes": 31}, 31, "label, 31 classes"),
        (LABELS > 0, {}, 2, "label, 2 classes (bools: False, True)"),
        (NAMES, {}, 3, "label, 3 classes (names: ill, old, well)"),
        (NAMES.astype(object), {}, 3, "label, 3 classes (names: ill, old, well)"),
        (NAMES.astype("S"), {}, 3, "label, 3 classes (names: ill, old, well)"),
        (NAMES.tolist(), {}, 3, "label, 3 classes (names: ill, old, well)"),
        (pd.Series(NAMES), {}, 3, "label, 3 classes (names: ill, old, well)"),
        (pd.Series(NAMES, dtype="category"), {}, 3, "label, 3 classes (categories: ill, old"),
        (pd.Series(INCOME // 100, dtype="category"), {}, None, "(categories: "),
        (pd.Series(LABELS, dtype="Int64"), {}, 3, "label, 3 classes (integers: 0, 1, 2)"),
        (pd.DataFrame({"a": INCOME, "b": INCOME}), {}, 0, "2 numbers"),
        (np.eye(3)[LABELS], {}, 3, "label, 3 classes (one-hot rows: 0, 1, 2)"),
        (np.eye(3, dtype=bool)[LABELS], {}, 3, "label, 3 classes (one-hot rows: 0, 1, 2)"),
        (FLAGS, {}, 8, "label, 8 classes (each combination of 3 bools"),
        (RANDOM.integers(2, size=(N, 40)), {}, 0, "several bools with too many combinations"),
        (RANDOM.standard_normal(N), {}, 0, "a number"),
        (RANDOM.standard_normal((N, 2, 2)), {}, 0, "4 numbers"),
    ],
)
def test_alpha_is_read_by_evidence_and_the_words_say_how(alpha, options, classes, words):
    found = read_variable("alpha", alpha, **options)
    assert words in found.words
    if classes is not None:
        assert found.classes == classes
    assert found.known.all()


@pytest.mark.parametrize(
    ("alpha", "unknown", "left_out"),
    [
        (np.where(LABELS == 2, -1, LABELS), -1, (LABELS == 2).sum()),
        (np.where(LABELS == 2, np.nan, LABELS), np.nan, (LABELS == 2).sum()),
        (np.where(LABELS == 2, np.nan, LABELS), None, (LABELS == 2).sum()),
        (np.where(LABELS == 2, -1, np.where(INCOME < 20_000, np.nan, LABELS)), (-1, None), None),
        (np.where(NAMES == "old", None, NAMES), None, (NAMES == "old").sum()),
        (np.where(NAMES == "old", "?", NAMES), "?", (NAMES == "old").sum()),
        (pd.Series(np.where(NAMES == "old", None, NAMES)), None, (NAMES == "old").sum()),
        (pd.Series(LABELS, dtype="Int64").mask(LABELS == 2), float("nan"), (LABELS == 2).sum()),
        (["a", None, "b"] * 200, None, 200),
    ],
)
def test_what_is_declared_unknown_takes_no_part(alpha, unknown, left_out):
    found = read_variable("alpha", alpha, unknown=unknown)
    assert found.classes == 2
    if left_out is not None:
        assert (~found.known).sum() == left_out
        assert f"; {left_out:,} samples with unknown alpha left out" in found.words
    assert len(found.values) == found.known.sum()


@pytest.mark.parametrize("unit", [1e-50, 1.0, 1e60])
def test_codes_of_any_unit_keep_their_values(unit):
    x = unit * np.random.default_rng(0).standard_normal((N, 3))
    found = read_inputs(x, LABELS).pi
    assert found.isfinite().all() and found.dtype == torch.float32
    assert all(len(column.unique()) > 0.99 * N for column in found.T)


def test_values_that_single_precision_would_lose_stay_in_double():
    """Two clusters that are 1e7 apart: near one of them, float32 has steps of 1."""
    x = np.random.default_rng(0).standard_normal((N, 2))
    x[::2, 0] += 1e7
    found = read_inputs(x, LABELS).pi
    assert found.dtype == torch.float64
    assert all(len(column.unique()) == N for column in found.T)


def test_unknown_samples_leave_with_their_codes_and_groups():
    pi, groups = RANDOM.standard_normal((N, 2)), np.arange(N) // 2
    alpha = np.where(np.arange(N) < 100, np.nan, RANDOM.standard_normal(N))
    found = read_inputs(pi, alpha, groups, unknown=np.nan)
    assert len(found.pi) == len(found.alpha) == len(found.groups) == 500
    assert found.known.sum() == 500
    expected = pi[100:] - np.median(pi[100:], axis=0)
    expected /= np.abs(expected).max(axis=0)
    torch.testing.assert_close(found.pi, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(
    ("alpha", "options", "error", "text"),
    [
        (
            np.where(NAMES == "old", None, NAMES),
            {},
            TypeError,
            "declare missing values with unknown",
        ),
        (np.where(LABELS == 2, np.nan, LABELS), {"kind": "label"}, ValueError, "unknown=float"),
        (NAMES, {"kind": "number"}, TypeError, "must be numbers with kind='number', got names"),
        (np.stack((NAMES, NAMES), 1), {}, TypeError, "2 columns of names: audit one column"),
        (LABELS, {"classes": 2}, ValueError, "integers from 0 to 1 with classes=2, got 0 to 2"),
        (LABELS / 2, {"classes": 9}, ValueError, "integers from 0 to 8"),
        (LABELS, {"classes": 3, "kind": "number"}, ValueError, "classes, the number of labels"),
        (LABELS, {"kind": "labels"}, ValueError, "kind must be 'label' or 'number', got 'labels'"),
        (RANDOM.standard_normal((N, 2)), {"kind": "label"}, ValueError, "got 2 columns of numbers"),
        (np.zeros(N, "datetime64[s]"), {}, TypeError, "array of numbers, or of names"),
        ([1, "a"] * 300, {}, TypeError, "got int, str"),
        (np.full(N, -1), {"unknown": -1}, ValueError, "must be known for some samples"),
        (np.full(N, "a"), {}, ValueError, "at least 2 classes, got only a"),
    ],
)
def test_what_alpha_cannot_be_is_refused_with_the_fix(alpha, options, error, text):
    with pytest.raises(error, match=text):
        read_variable("alpha", alpha, **options)


def test_many_whole_numbers_that_are_read_as_labels_may_be_a_quantity():
    ages = np.random.default_rng(0).integers(18, 90, size=4000)
    codes = np.random.default_rng(1).standard_normal((4000, 2))
    assert "72 whole numbers of alpha were read as labels" in read_inputs(codes, ages).warnings[0]
    for asked in ({"kind": "label"}, {"kind": "number"}, {"classes": 90}):
        assert not any("whole" in text for text in read_inputs(codes, ages, **asked).warnings)


def test_names_that_probably_mean_unknown_are_mentioned():
    names = np.array(["a", "b", "?", ""] * 150)
    first, second = read_variable("alpha", names).warnings
    assert first.startswith("'' was read as one of the labels of alpha: declare it")
    assert "unknown='?'" in second
    assert "(empty)" in read_variable("alpha", names).words
    assert not read_variable("alpha", names, unknown=("?", "")).warnings
    assert not read_variable("alpha", names.astype("S"), unknown=("?", "")).warnings
    assert read_variable("alpha", np.array(["a", "b", " ?"] * 200)).warnings
    (text,) = read_variable("alpha", NAMES, unknown="?,").warnings
    assert text == "unknown='?,' is not among the values of alpha"
    assert not read_variable("alpha", LABELS, unknown=-1).warnings
    (text,) = read_variable("alpha", NAMES, unknown=-1).warnings
    assert text == "unknown=-1 is not among the values of alpha"
    assert not read_variable("alpha", NAMES, unknown=float("nan")).warnings


def test_a_group_must_be_known():
    codes = np.random.default_rng(0).standard_normal((600, 2))
    groups = np.where(np.arange(600) < 100, np.nan, np.arange(600) // 2)
    with pytest.raises(ValueError, match="groups must be known for each sample, got NaN for 100"):
        read_inputs(codes, np.arange(600) % 2, groups)
    names = [None if i < 100 else f"person {i // 2}" for i in range(600)]
    with pytest.raises(ValueError, match="groups must be known for each sample"):
        read_inputs(codes, np.arange(600) % 2, names)


def test_a_posterior_that_is_no_distribution_is_refused_with_the_fix():
    codes = np.random.default_rng(0).standard_normal((600, 2))
    with pytest.raises(TypeError, match="mireg.diagonal_gaussian"):
        mireg.audit(codes, np.arange(600) % 2, posterior=(codes, codes))


def test_a_code_with_nan_is_refused_with_the_fix():
    alpha = np.where(np.arange(N) < 3, np.nan, RANDOM.standard_normal(N))
    with pytest.raises(ValueError, match="got NaN or infinity in 3 of .* unknown=float"):
        read_inputs(RANDOM.standard_normal((N, 2)), alpha)


def test_minus_one_beside_two_classes_must_be_declared_as_the_constraint_takes_it_for_unknown():
    with pytest.raises(ValueError, match=r"pass unknown=-1 .*, or alpha \+ 1 if it is a class"):
        read_variable("alpha", LABELS - 1)
    assert read_variable("alpha", LABELS - 1, unknown=-1).classes == 2
    assert read_variable("alpha", np.where(LABELS == 1, 1, -1)).classes == 2


def test_samples_that_can_show_nothing_are_never_cleared():
    """Names of which each occurs a few times, and very few samples: finding little shows nothing."""
    pi = RANDOM.standard_normal((N, 2))
    names = np.array([f"person {i // 2}" for i in range(N)])
    rare = read_inputs(pi, names)
    assert rare.classes == 300
    assert "the verdict is never below" in rare.inconclusive
    few = read_inputs(pi[:300], LABELS[:300])
    assert "fewer than 500 samples can" in few.inconclusive
    enough = read_inputs(pi, NAMES)
    assert not enough.inconclusive


def test_a_linear_critic_has_a_weight_for_each_feature_and_label():
    pi = RANDOM.standard_normal((N, 5))
    assert read_inputs(pi, RANDOM.integers(3, size=N)).weights == 5 * 2
    assert read_inputs(pi, RANDOM.standard_normal((N, 4))).weights == 5 * 4


def test_labels_in_the_place_of_codes_are_refused_and_a_cell_for_a_label_is_not():
    codes = RANDOM.standard_normal((N, 3))
    with pytest.raises(ValueError, match=r"exchange them, audit\(alpha, pi\)"):
        read_inputs(LABELS, codes)
    assert read_inputs(LABELS, LABELS % 2).classes == 2
    assert read_inputs(LABELS, codes[:, 0]).classes == 0
