"""The report: verdicts and what follows from them, recognition of labels, the words and the page."""

import dataclasses
import json
import sys
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

import mireg
from mireg.auditing import recognition
from mireg.auditing.audit import _of_labels
from mireg.auditing.correlations import Correlations
from mireg.auditing.curve import LearningCurve
from mireg.auditing.drawing import ticks
from mireg.auditing.inputs import read_inputs
from mireg.auditing.rows import member_in_words
from mireg.auditing.verdict import decide, exit_status

CURVE = (1000, 2000, 4000), (1000, 2000, 4000), (0.2, 0.3, 0.31), (0.03, 0.02, 0.02)
PLAIN = mireg.AuditReport(
    *(0.31, 0.02, 0.01, 0.30, 0.22, 0.95, 4.2, 0.01, 0.02, 0.66, 5000, 5000),
    epsilon=0.125,
    verdict="above",
    alpha="label, 2 classes (names: ill, well)",
    classes=2,
    label_accuracy=0.931,
    label_accuracy_interval=(0.924, 0.938),
    label_chance=0.92,
    label_auc=0.812,
    label_auc_interval=(0.79, 0.83),
    label_balanced_accuracy=0.745,
    label_balanced_accuracy_interval=(0.72, 0.77),
    label_shares=(0.08, 0.92),
    source="codes.npz",
    panel={"octaves on scores": 0.28, "10 neighbours on standard": 0.2},
    curve=LearningCurve(*CURVE, 0.01, 0.01),
    warnings=("a <warning>",),
)


# --- verdict ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "verdict", "status"),
    [
        ((0.01, 0.005, 0.0, 0.0, 0.05), "below", 0),
        ((0.01, 0.005, 0.0, 0.06, 0.05), "above", 1),
        ((0.20, 0.010, 0.0, 0.0, 0.05), "above", 1),
        ((0.20, 0.010, 0.0, 0.0, 0.05, False), "above", 1),
        ((0.045, 0.005, 0.0, 0.0, 0.05), "undecided", 2),
        ((0.01, 0.005, 0.3, 0.0, 0.05), "undecided", 2),
        ((0.01, 0.005, 0.0, 0.0, 0.05, True, False), "undecided", 2),
        ((0.01, 0.005, 0.0, 0.0, 0.05, False), "not settled", 2),
        ((0.045, 0.005, 0.0, 0.0, 0.05, False), "not settled", 2),
        ((0.01, 0.005, 0.0, 0.0, None), "not asked", 0),
    ],
)
def test_verdicts_and_their_exit_status(arguments, verdict, status):
    assert decide(*arguments) == verdict
    assert exit_status(verdict) == status
    assert exit_status(verdict, allow_undecided=True) == (status == 1)


@pytest.mark.parametrize("verdict", ["below", "above", "undecided", "not settled", "not asked"])
def test_every_verdict_has_a_title_and_a_sentence(verdict):
    epsilon = None if verdict == "not asked" else 0.125
    report = dataclasses.replace(PLAIN, verdict=verdict, epsilon=epsilon)
    first, second = str(report).splitlines()[:2]
    assert first.startswith(f"Verdict: {verdict}")
    assert "alpha read as label, 2 classes (names: ill, well)" in first
    assert "0.310 nats" in second and "a label is recognised in 74 % of cases" in second
    assert (
        ">" in report.to_html()
    ) and f'<h1 class="{verdict.replace(" ", "-")}">' in report.to_html()


def test_what_is_too_little_to_certify_and_probably_there_is_said():
    report = dataclasses.replace(PLAIN, lower_bound=0.0, p_value=0.01, verdict="undecided")
    assert "the code probably reveals a little, too little to certify" in report.summary
    for other in ({"p_value": 0.3}, {"lower_bound": 0.01}):
        assert "probably" not in dataclasses.replace(report, **other).summary


def test_below_never_says_that_no_one_can_find_more():
    report = dataclasses.replace(PLAIN, verdict="below", epsilon=0.5)
    assert "This is not a proof: other critics may find more" in report.summary


def test_a_bound_of_zero_is_called_nothing():
    report = dataclasses.replace(PLAIN, lower_bound=0.0)
    assert "none of it certified" in report.summary
    assert {row.name: row.text for row in report.rows()}["certified"] == "nothing"
    assert dataclasses.replace(PLAIN, verdict="not settled").title.startswith(
        "Verdict: not settled, ε = 0.125"
    )


# --- recognition ------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.booleans())
def test_auc_and_balanced_accuracy_are_those_of_scikit_learn(seed, classes, ties):
    random = np.random.default_rng(seed)
    labels = np.concatenate((np.arange(classes), random.integers(classes, size=80)))
    scores = random.standard_normal((len(labels), classes)) + np.eye(classes)[labels]
    scores = scores.round() if ties else scores
    ratios = torch.tensor(scores.T)
    groups = torch.arange(len(labels))
    auc, balanced = recognition.of_labels(ratios, torch.tensor(labels), groups, classes)
    each = [roc_auc_score(labels == c, scores[:, c]) for c in range(classes)]
    assert auc.value == pytest.approx(np.mean(each))
    assert balanced.value == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))
    assert 0 <= auc.low <= auc.value <= auc.high <= 1


def drawn(random, groups, size):
    """Draws labels of 20 % and scores whose AUC is 0.76; samples of a group share half of the variance."""
    labels = random.random(groups) < 0.2
    of_group = random.standard_normal(groups)
    index = np.repeat(np.arange(groups), size)
    noise = random.standard_normal(groups * size)
    scores = labels[index] * 1.0 + (of_group[index] + noise) / 2**0.5
    return scores, labels[index].astype(int), index


@pytest.mark.parametrize(("groups", "size"), [(400, 1), (100, 8)])
def test_intervals_hold_the_truth_as_often_as_they_say(groups, size):
    """300 repetitions, with independent samples and with groups that share a label and half of the noise."""
    random = np.random.default_rng(0)
    truth = 0.5 * (1 + float(torch.erf(torch.tensor(0.5))))
    recall = 0.5 * (1 + float(torch.erf(torch.tensor(0.5 / 2**0.5))))
    inside = np.zeros(2)
    for _ in range(300):
        scores, labels, index = drawn(random, groups, size)
        # A guess at the threshold that makes both recalls the same.
        ratios = torch.tensor(np.stack((0.5 - scores, scores - 0.5)))
        found = recognition.of_labels(ratios, torch.tensor(labels), torch.tensor(index), 2)
        inside += [found[0].low <= truth <= found[0].high, found[1].low <= recall <= found[1].high]
    assert (inside / 300 > 0.91).all(), inside / 300
    # And not because they are too wide.
    assert (inside / 300 < 0.995).all(), inside / 300


def test_a_few_samples_of_a_label_that_are_all_missed_leave_its_recall_uncertain():
    """Of noise, 8 rare samples of 400 are all missed: the interval of the balanced accuracy has to contain chance."""
    labels = torch.arange(400).lt(8).long()
    ratios = torch.zeros(2, 400)
    ratios[0, :360] = 1
    ratios[1, 360:] = 1
    _, balanced = recognition.of_labels(ratios, labels, torch.arange(400), 2)
    assert balanced.value == pytest.approx(352 / 392 / 2)
    assert balanced.low < 0.4 and 0.5 < balanced.high < 0.7


def test_two_labels_tell_both_ratios():
    labels = torch.tensor([0, 0, 0, 1])
    probability = torch.tensor([0.9, 0.5, 0.75, 0.6]).double()
    shares = torch.tensor([0.75, 0.25]).double()
    ratios = recognition.ratios_of_two((probability / shares[labels]).log(), labels)
    other = (1 - probability) / shares[1 - labels]
    expected = torch.stack(
        [torch.where(labels == c, probability / shares[c], other) for c in (0, 1)]
    )
    torch.testing.assert_close(ratios.exp(), expected)


class Judged(NamedTuple):
    """What is needed of the evidence of an audit of labels."""

    rows: list
    joint: list
    hits: list
    ratios: list


def test_an_audit_of_three_labels_has_an_auc_where_the_logits_of_all_are_known():
    random = np.random.default_rng(0)
    labels = random.integers(3, size=600)
    inputs = read_inputs(random.standard_normal((600, 2)), labels)
    ratios = torch.tensor(random.standard_normal((3, 600)))
    rows = torch.randperm(600)
    of_rows = inputs.alpha[rows]
    hits = ratios.argmax(0) == of_rows
    joint = ratios[of_rows, torch.arange(600)]
    halves = [rows[:400], rows[400:]]
    known = Judged(halves, [joint], [hits], [ratios[:, :400], ratios[:, 400:]])
    found = _of_labels(inputs, known)
    expected = [roc_auc_score(of_rows == c, ratios[c]) for c in range(3)]
    assert found["label_auc"] == pytest.approx(np.mean(expected))
    assert found["label_shares"] == pytest.approx(np.bincount(labels) / 600)
    assert "label_auc" not in _of_labels(inputs, known._replace(ratios=[]))


def test_an_interval_does_not_shrink_to_a_point_where_all_were_right():
    share = recognition.wilson_interval(1.0, 0.0, 40)
    assert share.high == 1
    # Hand-written: 40 / (40 + 1.96^2).
    assert share.low == pytest.approx(40 / (40 + 1.96**2))
    half = recognition.wilson_interval(0.5, 0.05, 1)
    assert half.low == pytest.approx(0.404, abs=0.001)


def test_the_error_of_a_mean_is_that_of_its_groups():
    values = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0, 0.0])
    single = recognition.clustered_error(values, torch.arange(6))
    grouped = recognition.clustered_error(values, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert single == pytest.approx((4 / 36 * 6 / 5) ** 0.5)
    assert grouped == pytest.approx((8 / 36 * 3 / 2) ** 0.5)


# --- words and page ---------------------------------------------------------


def test_every_number_has_its_meaning_and_what_epsilon_allows():
    rows = {row.name: row for row in PLAIN.rows()}
    for name in ("estimate", "certified", "ceiling", "log Z", "random pairings", "accuracy", "AUC"):
        assert len(rows[name].meaning) > 20
    assert "chance 92.0 %" in rows["accuracy"].text
    most = mireg.leakage.auc_bound(0.125, 0.08)
    assert rows["AUC"].text == f"0.812 (0.790 to 0.830), chance 0.5, ε allows {most:.3f}"
    assert "codes.npz, 5,000 samples" in rows["data"].text
    assert rows["made"].text == f"{PLAIN.date} with mireg {mireg.__version__}"


def test_programs_read_what_people_read():
    values = json.loads(PLAIN.to_json())
    assert values["title"] == PLAIN.title and values["summary"] == PLAIN.summary
    assert values["curve"]["sizes"] == [1000, 2000, 4000] and values["curve"]["rise"] == 0.01
    assert values["source"] == "codes.npz" and values["date"] == PLAIN.date
    assert [row["text"] for row in values["rows"]] == [row.text for row in PLAIN.rows()]


def test_the_page_says_it_all_and_needs_nothing():
    page = PLAIN.to_html()
    assert "http" not in page and "src=" not in page
    assert "a &lt;warning&gt;" in page
    for text in (PLAIN.summary, "codes.npz", PLAIN.date, PLAIN.alpha, mireg.__version__):
        assert text in page
    for row in PLAIN.rows():
        assert row.text in page and row.meaning in page
    assert "a network for fine detail, on ranks of the codes" in page
    # Every class that is drawn is in a legend or is an axis.
    drawings = [part.split("</svg>")[0] for part in page.split("<svg ")[1:]]
    for drawing in drawings:
        ElementTree.fromstring(
            f"<svg {drawing.replace('class=mark', '').replace('aria-hidden=true', '')}</svg>"
        )
    legends = page.split("<figcaption>")[1:]
    assert len(legends) == 2
    assert all(
        text in legends[0] for text in ("estimate", "certified with 95 %", "target ε = 0.125")
    )
    assert "certified" not in legends[1].split("</figcaption>")[0]
    assert "does not rise by more than noise" in page
    rising = PLAIN.curve._replace(rise=0.03)
    assert "still rises" in dataclasses.replace(PLAIN, curve=rising).to_html()


def test_nothing_is_drawn_or_explained_that_is_not_there():
    bare = dataclasses.replace(
        PLAIN, epsilon=None, curve=None, lower_bound=0.0, verdict="not asked"
    )
    page = bare.to_html().split("</style>")[1]
    assert "target ε" not in page and "certified with" not in page
    assert "The learning curve" not in page
    assert 'class="epsilon"' not in page


@given(st.floats(-1, 0), st.floats(0.001, 20))
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 <= value <= high + 1e-6 for value in found)


def test_members_are_told_in_words():
    assert member_in_words("10 neighbours on standard") == "10 nearest neighbours, on scaled codes"
    assert member_in_words("linear on scores") == "a linear critic, on ranks of the codes"
    assert member_in_words("something new") == "something new"


def test_plot_draws_the_curve_too():
    import matplotlib

    matplotlib.use("Agg")
    ax = PLAIN.plot()
    assert ax.get_xlabel() == "I(π, α) in nats"
    assert [axis.get_xlabel() for axis in ax.figure.axes][1] == "training codes"
    labels = ax.get_legend_handles_labels()[1]
    assert set(labels) == {"estimate, 95 % interval", "more samples", "certified", "target ε"}
    assert len(dataclasses.replace(PLAIN, curve=None).plot().figure.axes) == 1
    matplotlib.pyplot.close("all")


def test_without_matplotlib_plot_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        PLAIN.plot()


def test_the_summary_names_correlations_that_amount_to_more_than_critics_find():
    few = dataclasses.replace(PLAIN, mi=0.01, correlations=Correlations(0.08, 0.01, 0.005))
    assert "about 0.010 nats (correlations amount to 0.080)" in few.summary
    same = dataclasses.replace(few, mi=0.07)
    assert "correlations" not in same.summary


def test_the_summary_names_groups_that_are_too_few():
    few = dataclasses.replace(PLAIN, epsilon=0.05, verdict="not settled", groups=80)
    assert few.summary.startswith("80 groups are too few, so the target of 0.05 nats")
    assert dataclasses.replace(few, groups=500).summary.startswith(
        "More samples may raise the estimate, so"
    )


def test_labels_that_are_recognised_by_chance_are_not_in_the_summary():
    of_chance = dataclasses.replace(
        PLAIN,
        classes=2,
        label_balanced_accuracy=0.56,
        label_balanced_accuracy_interval=(0.49, 0.62),
    )
    assert "recognised" not in of_chance.summary
    sure = dataclasses.replace(of_chance, label_balanced_accuracy_interval=(0.52, 0.60))
    assert "recognised in 56 %" in sure.summary
