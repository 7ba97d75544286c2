"""The worked examples of the page on auditing come out as the page says."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from audit_examples import TRUTH_OF_INCOME, income, rare

import mireg
from mireg.auditing import command
from mireg.auditing.verdict import decide


@pytest.mark.slow
def test_income_as_integers_is_not_cleared():
    found = mireg.audit(*income(np.random.default_rng(0)), epsilon=0.05, folds=2)
    assert found.classes == 0 and "ordered numbers" in found.title
    assert found.verdict == "above"
    assert abs(found.mi - TRUTH_OF_INCOME) < 0.15


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_income_as_names_is_not_cleared_even_where_it_is_asked_for():
    """As labels nothing is found, and the verdict knows that this shows nothing."""
    found = mireg.audit(*income(np.random.default_rng(0)), epsilon=0.05, folds=2, kind="label")
    assert found.mi < 0.1
    assert found.verdict == "undecided"
    assert any("fewer than 20 samples per label" in text for text in found.warnings)


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_the_auc_reveals_a_rare_label_and_the_accuracy_does_not():
    random = np.random.default_rng(0)
    income(random)
    found = mireg.audit(*rare(random), epsilon=0.02, folds=2)
    assert found.verdict == "above"
    assert found.label_accuracy < mireg.leakage.accuracy_bound(0.02, found.label_chance)
    low, high = found.label_auc_interval
    assert low < 0.933 < high
    assert low > mireg.leakage.auc_bound(0.02, 0.08)
    assert found.label_balanced_accuracy > mireg.leakage.balanced_accuracy_bound(0.02, 0.08)


@pytest.mark.slow
def test_no_number_about_labels_exceeds_their_entropy():
    """The parity of three signs: critics find little in few samples, and much in twice as many."""
    random = np.random.default_rng(0)
    codes = random.standard_normal((1500, 3))
    parity = (codes[:, :3] > 0).sum(1) % 2
    found = mireg.audit(codes, parity, epsilon=0.1, folds=2)
    assert found.curve.expected_rise > 0.1
    assert found.ceiling <= math.log(2)
    assert max(0, found.mi) + found.missed <= math.log(2) + 1e-6


def test_an_estimate_that_still_rises_is_never_below():
    """0.053, with an interval of 0.045 to 0.062, of what more codes show to be 0.214."""
    assert decide(0.053, 0.0043, 0.0, 0.0, 0.07) == "below"
    assert decide(0.053, 0.0043, 0.0, 0.0, 0.07, settled=False) == "not settled"


def test_a_posterior_that_is_not_that_of_the_codes_is_refused_or_mentioned():
    generator = torch.Generator().manual_seed(0)
    mean = 3 * torch.randn(600, 2, generator=generator)
    posterior = mireg.diagonal_gaussian(mean, torch.zeros(600, 2))
    pi = mean + torch.randn(600, 2, generator=generator)
    from mireg.auditing.posterior import check_posterior

    assert check_posterior(posterior, pi) == ()
    assert "closer to the posterior's mean" in check_posterior(posterior, mean)[0]
    assert "in this order" in check_posterior(posterior, pi.flip(0))[0]
    for deviation, text in ((1.0, "not a deviation"), (0.3, "the logarithm of the variance")):
        # A deviation in the place of the logarithm of the variance.
        wrong = mireg.diagonal_gaussian(mean, torch.full((600, 2), deviation))
        codes = mean + deviation * torch.randn(600, 2, generator=generator)
        assert text in check_posterior(wrong, codes)[0]
    for wrong in (mean[:500], mean[:, :1], mean.repeat(1, 2)):
        of_wrong = mireg.diagonal_gaussian(wrong, torch.zeros_like(wrong))
        with pytest.raises(ValueError, match="one row for each row of pi: pi has shape"):
            mireg.audit(pi, mean, posterior=of_wrong)


# --- the command ------------------------------------------------------------

REPORT = mireg.AuditReport(*(0.03, 0.01, 0.0, 0.03, 0.0, 0.95, 4, 0.2, 0.0, 0.5, 600, 600), 0.05)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs the command on a file with an audit in the place of the real one, and returns what it was asked."""
    random = np.random.default_rng(0)
    path = tmp_path / "codes.npz"
    alpha = np.where(np.arange(600) % 3 == 0, "?", "a")
    np.savez(path, pi=random.standard_normal((600, 2)), alpha=alpha, sex=np.arange(600) % 2)
    seen = {}

    def run(verdict, *options):
        def audit(*arguments, **named):
            seen.update(named)
            return dataclasses.replace(REPORT, verdict=verdict)

        monkeypatch.setattr(command, "audit", audit)
        return command.main(["audit", str(path), "--quiet", *options]), seen

    return run


@pytest.mark.parametrize(
    ("verdict", "status", "allowed"),
    [
        ("below", 0, 0),
        ("above", 1, 1),
        ("undecided", 2, 0),
        ("not settled", 2, 0),
        ("not asked", 0, 0),
    ],
)
def test_a_pipeline_stops_unless_the_codes_are_below(asked, verdict, status, allowed):
    assert asked(verdict)[0] == status
    assert asked(verdict, "--allow-undecided")[0] == allowed


def test_command_says_what_alpha_is_and_names_the_file(asked, capsys):
    _, seen = asked(
        "below", "--kind", "label", "--unknown", "?", "--unknown", "-1", "--unknown", "nan"
    )
    assert seen["kind"] == "label" and seen["unknown"][:2] == ["?", -1]
    assert np.isnan(seen["unknown"][2])
    assert seen["given"] is None
    _, seen = asked("below", "--classes", "7", "--given", "sex", "--folds", "2")
    assert seen["classes"] == 7 and seen["folds"] == 2
    assert seen["given"].tolist() == [0, 1] * 300
    assert "codes.npz, 600 samples" in capsys.readouterr().out
    assert asked("below", "--given", "age")[0] == 2
    assert "must contain pi, alpha and age, got pi, alpha, sex" in capsys.readouterr().err


def test_command_refuses_pickled_names_with_the_fix(tmp_path, capsys):
    path = tmp_path / "codes.npz"
    np.savez(path, pi=np.eye(3), alpha=np.array(["a", None, "b"], dtype=object))
    assert command.main(["audit", str(path), "--quiet"]) == 2
    assert "x.astype(str)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["codes.csv", "codes.npy"])
def test_command_refuses_other_files_with_the_fix(name, tmp_path, capsys):
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, np.eye(3))
    else:
        path.write_text("pi,alpha\n0.5,ill\n", encoding="utf-8")
    assert command.main(["audit", str(path), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "must be a file of numpy.savez" in said and "pickle" not in said


@pytest.mark.slow
def test_codes_in_small_clusters_of_one_label_may_need_groups():
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 10)
    pi = random.standard_normal((60, 8))[person] + 0.1 * random.standard_normal((600, 8))
    alpha = random.integers(2, size=60)[person]
    assert any("in small clusters" in text for text in mireg.audit(pi, alpha, folds=2).warnings)
    known = mireg.audit(pi, alpha, person, folds=2)
    assert not any("in small clusters" in text for text in known.warnings)
    assert any(text.startswith("the estimate is negative") for text in known.warnings)
