"""The eraser: what it erases, what it keeps, and that it behaves as scikit-learn's own transformers do."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator

import mireg
from mireg.auditing import AuditReport
from mireg.auditing.correlations import Correlations
from mireg.auditing.curve import LearningCurve, Recognition
from mireg.auditing.report import Stratum
from mireg.erasing import eraser as module
from mireg.erasing.inputs import labels_of, read_known
from mireg.erasing.network import Cells, information, linear_eraser
from mireg.erasing.training import Task, by_chance, merge_cells, place_cells

QUICK = {"steps": 150, "batch_size": 512, "width": 64}
N = 3000


def planted(n=N, seed=0):
    """Features of which the first tells s, the next two tell it together only, and three tell nothing; and s."""
    random = np.random.default_rng(seed)
    s, bit = random.integers(2, size=n), random.integers(2, size=n)
    x = random.normal(size=(n, 6)).astype(np.float32)
    x[:, 0] += 2 * s
    x[:, 1] += 2 * (2 * bit - 1)
    x[:, 2] += 2 * (2 * (bit ^ s) - 1)
    return x, s


def nats(train, test, s_train, s_test):
    """What boosting finds of a label, in nats."""
    judge = HistGradientBoostingClassifier(max_iter=30).fit(train, s_train)
    return np.log(2) - log_loss(s_test, judge.predict_proba(test))


@pytest.fixture(scope="module")
def data():
    return planted()


@pytest.fixture(scope="module")
def fitted(data):
    x, s = data
    return mireg.Eraser(0.05, report=False, **QUICK).fit(x, np.array(["m", "f"])[s])


def test_a_planted_label_is_erased_also_where_only_two_features_together_tell_it(fitted, data):
    x, s = data
    fresh, of_fresh = planted(seed=1)
    assert nats(x, fresh, s, of_fresh) > 0.5
    assert nats(fitted.transform(x), fitted.transform(fresh), s, of_fresh) < 0.06


def test_features_that_tell_nothing_are_kept(fitted, data):
    left = fitted.transform(data[0])
    for i in (3, 4, 5):
        assert np.corrcoef(left[:, i], data[0][:, i])[0, 1] > 0.5


def test_the_counts_of_the_cells_bound_what_is_left(fitted):
    x, s = planted(20_000, seed=2)
    with torch.no_grad():
        cells = fitted.network_.cells(torch.from_numpy(x).double())
    assert len(np.unique(fitted.transform(x), axis=0)) <= len(fitted.network_.points)
    assert mireg.certify(cells, s).upper < 0.08


def test_what_is_named_is_kept(data):
    x, s = data
    y = np.where(x[:, 3] > 0, "up", "down")
    left = mireg.Eraser(0.05, report=False, **QUICK).fit_transform(x, s, y)
    right = LogisticRegression().fit(left[:2000], y[:2000]).score(left[2000:], y[2000:])
    assert right > 0.85
    of_numbers = mireg.Eraser(0.05, report=False, **QUICK).fit_transform(x, s, x[:, 3])
    assert np.corrcoef(of_numbers[:, 3], x[:, 3])[0, 1] > 0.9


def test_a_number_is_erased(data):
    x = data[0]
    number = x[:, 3] + 0.3 * np.random.default_rng(0).normal(size=N)
    eraser = mireg.Eraser(0.05, report=False, cells=16, **QUICK).fit(x, number)
    assert abs(np.corrcoef(eraser.transform(x)[:, 3], number)[0, 1]) < 0.35


def test_rows_of_unknown_concept_take_no_part(data):
    x, s = data
    names = np.array(["m", "f"], dtype=object)[s]
    names[::3] = None
    known = np.arange(N) % 3 != 0
    settings = {"report": False, "steps": 5, "width": 8}
    a = mireg.Eraser(unknown=None, **settings).fit(x, names, s)
    b = mireg.Eraser(**settings).fit(x[known], names[known], s[known])
    np.testing.assert_array_equal(a.transform(x), b.transform(x))


def test_the_report_is_of_rows_that_took_no_part(data, monkeypatch):
    x, s = data
    seen = {}

    def audit(pi, alpha, **settings):
        seen.update(settings, pi=pi, alpha=alpha)
        return AuditReport(0.31, 0.02, 0.01, 0.30, 0.22, 0.95, 4.2, 0.01, 0.02, 0.66, 450, 450)

    monkeypatch.setattr(module, "audit", audit)
    used = []
    train = module.train
    monkeypatch.setattr(
        module,
        "train",
        lambda network, task, *rest: [used.append(task), train(network, task, *rest)],
    )
    eraser = mireg.Eraser(0.07, steps=5, width=8).fit(x, s)
    assert len(seen["pi"]) == len(seen["alpha"]) == 450 and len(used[0].x) == N - 450
    assert seen["epsilon"] == 0.07
    assert eraser.report_.samples == 450 and eraser.certificate_.samples == 450


def test_too_few_rows_for_a_report_are_said(data):
    x, s = data
    with pytest.warns(UserWarning, match="too few to hold 200 out"):
        eraser = mireg.Eraser(steps=2, width=8).fit(x[:300], s[:300])
    assert eraser.report_ is None and eraser.certificate_ is None


def test_asked_twice_it_says_the_same(fitted, data):
    x, s = data
    np.testing.assert_array_equal(fitted.transform(x), fitted.transform(x))
    # One by one as well as together.
    np.testing.assert_array_equal(
        fitted.transform(x[:7]), np.vstack([fitted.transform(x[i : i + 1]) for i in range(7)])
    )
    settings = {"report": False, "steps": 5, "width": 8}
    one, two, other = (
        mireg.Eraser(random_state=seed, **settings).fit_transform(x, s) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_random_states_stay_as_they_are(data):
    x, s = data
    before, of_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    eraser = mireg.Eraser(report=False, steps=2, width=8).fit(x, s)
    eraser.transform(x)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(of_numpy, np.random.get_state()[1])


def test_it_learns_where_gradients_are_switched_off(data):
    x, s = data
    settings = {"report": False, "steps": 5, "width": 8}
    with torch.no_grad():
        off = mireg.Eraser(**settings).fit_transform(x, s)
    np.testing.assert_array_equal(off, mireg.Eraser(**settings).fit_transform(x, s))


def test_a_file_holds_all(fitted, data, tmp_path):
    x = data[0]
    path = tmp_path / "eraser.pt"
    fitted.report_ = AuditReport(
        *(0.3, 0.02, 0.0, 0.3, 0.2, 0.95, 4.2, 0.01, 0.02, 0.6, 500, 500),
        warnings=("few",),
        curve=LearningCurve((1, 2, 4), (1, 2, 4), (0.1, 0.2, 0.3), (0.1, 0.1, 0.1), 0.1, 0.1),
        recognition=Recognition(0.1, 0.01, 0.5, 3),
        correlations=Correlations(0.3, 0.02, 0.01),
        strata=(Stratum("y = 0", 0.5, 0.1, 0.02, 0.05, 250),),
    )
    parts = [
        x for x in vars(fitted.report_).values() if isinstance(x, tuple) and hasattr(x, "_fields")
    ]
    assert len(parts) == 3, "a new part of a report must be in the file too"
    fitted.certificate_ = mireg.certify(np.arange(400) % 4, np.arange(400) // 4 % 2)
    fitted.save(path)
    back = mireg.Eraser.load(path)
    np.testing.assert_array_equal(back.transform(x), fitted.transform(x))
    assert back.report_ == fitted.report_ and back.certificate_ == fitted.certificate_
    assert back.get_params() == fitted.get_params()
    assert [p.name for p in tmp_path.iterdir()] == ["eraser.pt"]
    fitted.report_ = fitted.certificate_ = None


def test_settings_may_be_numbers_of_numpy(data, tmp_path):
    x, s = data
    given = {"epsilon": np.float32(0.5), "random_state": np.int64(3), "unknown": np.array([-1])}
    eraser = mireg.Eraser(**given, report=False, steps=2, width=8).fit(x, s)
    eraser.save(tmp_path / "eraser.pt")
    back = mireg.Eraser.load(tmp_path / "eraser.pt")
    assert (back.epsilon, back.random_state, back.unknown) == (0.5, 3, [-1])
    np.testing.assert_array_equal(back.transform(x), eraser.transform(x))


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("side", [-1, 1], ids=["least", "most"])
def test_a_number_that_is_nearly_always_at_its_end_has_two_labels(columns, side):
    random = np.random.default_rng(0)
    s = side * np.minimum(1.0, 30 * random.random((1500, 1))).repeat(columns, 1)
    known = read_known("s", s, 1500)
    labels, count = labels_of(known, torch.arange(1500), torch.Generator().manual_seed(0))
    assert count >= 2 and labels.unique().tolist() == list(range(count))


def test_a_save_that_fails_leaves_the_former_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "eraser.pt"
    fitted.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        fitted.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_another_file_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"must be a file that Eraser\.save wrote"):
        mireg.Eraser.load(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "settings, x, s, match",
    [
        ({"epsilon": -1}, None, None, "epsilon, a target in nats, must be 0 or above"),
        ({"steps": 0}, None, None, "steps must be an integer of at least 1"),
        ({"cells": 10_000}, None, None, "cells must be at most the number of rows"),
        ({"device": "nowhere"}, None, None, "device must be available to torch"),
        ({}, None, np.zeros(N, int), "at least 2 classes"),
        ({}, None, np.full(N, 0.5), "s must vary"),
        ({}, None, np.arange(N - 1), "one row for each row of X"),
        ({}, np.full((N, 2), np.nan), None, r"finite, got 3000 rows with NaN.*index 0"),
        ({}, np.zeros((N, 2, 2)), None, r"shape \(N, D\)"),
        ({}, np.array([["a"] * 2] * N), None, "array of numbers"),
        ({}, None, np.r_[np.nan, np.random.default_rng(0).normal(size=N - 1)], "unknown="),
    ],
)
def test_what_cannot_be_is_said(settings, x, s, match, data):
    x, s = data[0] if x is None else x, data[1] if s is None else s
    with pytest.raises((ValueError, TypeError), match=match):
        mireg.Eraser(**{"steps": 2, "report": False, **settings}).fit(x, s)


def test_other_widths_and_no_fit_are_said(fitted, data):
    with pytest.raises(ValueError, match="X has 3 features, but Eraser is expecting 6"):
        fitted.transform(data[0][:, :3])
    with pytest.raises(ValueError, match=r"not fitted yet: call fit\(X, s\) first"):
        mireg.Eraser().transform(data[0])
    with pytest.raises(ValueError, match="the concept s is needed"):
        mireg.Eraser().fit(data[0])


def test_progress_is_told_on_request(data):
    x, s = data
    told = []
    eraser = mireg.Eraser(
        report=False, steps=10, width=8, progress=lambda what, share: told.append((what, share))
    )
    eraser.fit(x, s)
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1 and told[0][0] == "training"


def test_types_are_kept_and_tensors_understood(fitted, data):
    x = data[0]
    assert fitted.transform(x).dtype == np.float32
    assert fitted.transform(x.astype(np.float64)).dtype == np.float64
    np.testing.assert_array_equal(fitted.transform(torch.from_numpy(x)), fitted.transform(x))


def test_a_device_may_be_named(data):
    x, s = data
    a, b = (
        mireg.Eraser(report=False, steps=3, width=8, device=device).fit_transform(x, s)
        for device in ("cpu", torch.device("cpu"))
    )
    np.testing.assert_array_equal(a, b)


def test_a_pipeline_gives_the_target_its_place(data):
    x, s = data
    y = x[:, 3] > 0
    quick = {"report": False, "steps": 20, "width": 32}
    pipe = make_pipeline(mireg.Eraser(**quick), LogisticRegression())
    pipe.fit(x, y, eraser__sensitive=s)
    alone = mireg.Eraser(**quick).fit(x, s, y)
    np.testing.assert_array_equal(pipe[0].transform(x), alone.transform(x))
    with pytest.raises(ValueError, match="got y= as well"):
        mireg.Eraser().fit(x, y, y, sensitive=s)


def test_a_clone_has_the_settings_and_nothing_learnt(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "network_")
    assert repr(copy) == "Eraser(steps=150, batch_size=512, width=64, report=False)"
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        copy.set_params(depth=3)


EXPECTED = {
    "check_fit_score_takes_y": "the second argument is the concept, s",
    "check_transformer_general": "it hands the concept over as y",
    "check_transformer_data_not_an_array": "it hands the concept over as y",
}
"""Checks of scikit-learn that do not apply, and why."""


def test_the_checks_of_scikit_learn_pass():
    made, passed = mireg.Eraser(steps=2, width=8), 0
    with warnings.catch_warnings():
        # Of classes that do not derive from its own, and of reports that few rows do not allow.
        warnings.simplefilter("ignore")
        for eraser, check in estimator_checks_generator(made):
            name = getattr(check, "func", check).__name__
            if name not in EXPECTED and name != "check_array_api_input":
                check(eraser)
                passed += 1
    assert passed > 40


def test_the_library_does_not_import_scikit_learn():
    import subprocess
    import sys

    code = (
        "import sys, mireg\n"
        "try: mireg.Eraser().transform([[0.0]])\n"
        "except ValueError: pass\n"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_information_is_that_of_the_table():
    assert information(torch.full((2, 2), 0.25)).item() == pytest.approx(0, abs=1e-6)
    assert information(torch.eye(2) / 2).item() == pytest.approx(np.log(2), abs=1e-6)


def test_chance_adds_to_a_table_what_the_formula_says():
    random = np.random.default_rng(0)
    found = []
    for _ in range(300):
        table = np.zeros((20, 3))
        np.add.at(table, (random.integers(20, size=2000), random.integers(3, size=2000)), 1 / 2000)
        found.append(float(information(torch.from_numpy(table))))
    assert np.mean(found) == pytest.approx(by_chance(20, 3, 2000), rel=0.05)


@pytest.mark.parametrize("slope", [1, 0.45])
def test_new_rows_reveal_at_most_what_was_asked(slope):
    revealed = []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)

        def rows(n, generator=generator):
            x = torch.randn(n, 2, generator=generator)
            return x, (slope * x[:, 0] + torch.randn(n, generator=generator) > 0).long()

        network = Cells(torch.zeros(2), torch.ones(2), torch.zeros(2, 2), 160)
        x, s = rows(20_000)
        task = Task(x, x, s, 2)
        place_cells(network, task, generator, lambda share: None)
        merge_cells(network, task, 0.02)
        x, s = rows(400_000)
        cell = network.cells(x)
        table = (cell * 2 + s).bincount(minlength=320).view(160, 2).double() / len(x)
        revealed.append(float(information(table)))
    assert max(revealed) < 1.15 * 0.02
    assert np.mean(revealed) > 0.75 * 0.02


def test_nothing_linear_is_left_and_what_is_uncorrelated_stays():
    x, s = (torch.from_numpy(part).float() for part in planted())
    x = x - x.mean(0)
    left = x - x @ linear_eraser(x, s[:, None]).T
    assert (left * (s - s.mean())[:, None]).mean(0).abs().max() < 1e-5
    assert (left - x)[:, 3:].square().mean() < 0.01


@pytest.mark.parametrize("kept", ["nothing", "a label", "a number"])
def test_cells_are_merged_until_the_target_holds_and_cheap_ones_first(kept):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 3, generator=generator)
    s = (x[:, 0] + 0.5 * torch.randn(4000, generator=generator) > 0).long()
    y = {"nothing": (None, 0), "a label": ((x[:, 1] > 0).long(), 2), "a number": (x[:, 1:2], 0)}
    outputs = {"nothing": 0, "a label": 2, "a number": 1}[kept]
    network = Cells(torch.zeros(3), torch.ones(3), torch.zeros(3, 3), 32, outputs, outputs == 2)
    task = Task(x, x, s, 2, *y[kept])
    place_cells(network, task, generator, lambda share: None)

    def table(of):
        place = network.cells(x) * 2 + of
        return place.bincount(minlength=64).view(32, 2) / len(x)

    before = [float(information(table(of))) for of in (s, (x[:, 1] > 0).long())]
    merge_cells(network, task, 0.03)
    after = [float(information(table(of))) for of in (s, (x[:, 1] > 0).long())]
    assert before[0] > 0.1 and after[0] <= 0.03
    # Of what is kept less is lost than of what is erased.
    assert after[1] > 0.5 * before[1]
    cell = network.cells(x)
    for j in cell.unique():
        torch.testing.assert_close(network.centres[j], x[cell == j].mean(0), rtol=1e-4, atol=1e-4)
