"""The audit: it finds what is there, certifies no more than that, and never lets a sample judge what learnt from it."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mi_tasks import gaussian, labels, xor

import mireg
from mireg.auditing.audit import _of_marginal
from mireg.auditing.betting import betting_bound, block_means, log_wealth
from mireg.auditing.certificate import Block, code_bound, label_bound, pair_values
from mireg.auditing.command import main
from mireg.auditing.evaluation import Evidence, swap_index
from mireg.auditing.features import NormalScores, Standardize, with_radius
from mireg.auditing.inputs import make_folds, read_inputs
from mireg.auditing.posterior import bound_from_above


def drawn(task, n, seed=0):
    return task.sample(n, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def report():
    """An audit of one nat in 3 + 3 dimensions, and its truth."""
    return mireg.audit(*drawn(gaussian(3, 1.0), 2000), epsilon=0.5, folds=3)


# --- what it finds ----------------------------------------------------------


@pytest.mark.slow
def test_gaussian_information_is_found(report):
    assert abs(report.mi - 1.0) < 0.1
    assert 0.4 < report.lower_bound <= 1.0
    assert abs(report.log_z) < 0.1
    assert report.p_value < 0.05
    assert report.accuracy > 0.6
    assert report.verdict == "above"


@pytest.mark.slow
def test_independent_codes_are_cleared():
    random = np.random.default_rng(1)
    found = mireg.audit(
        *(random.standard_normal((1500, d)) for d in (4, 6)), epsilon=0.125, folds=2
    )
    assert abs(found.mi) < 0.03
    assert found.lower_bound == 0
    assert found.verdict == "below"


@pytest.mark.slow
def test_dependence_that_no_pair_of_coordinates_shows_is_found():
    found = mireg.audit(*drawn(xor(), 2500), folds=2)
    assert found.mi > 0.7 * math.log(2)
    assert found.lower_bound > 0.4 * math.log(2)


@pytest.mark.usefixtures("short_audits")
def test_labels_are_audited_with_their_accuracy():
    task = labels(4, 0.8)
    x, y = drawn(task, 2000)
    found = mireg.audit(x, np.array([7, 11, 40, -3])[y], folds=3)
    assert found.classes == 4
    assert abs(found.mi - task.mi) < 0.1
    assert abs(found.label_accuracy - 0.8) < 0.04
    assert found.label_chance < 0.3
    assert "accuracy" in str(found)
    # Of more than two labels the other logits are needed for these.
    assert found.label_auc is None or found.label_auc > 0.85


@pytest.mark.slow
def test_what_hides_at_a_fine_scale_is_found():
    random = np.random.default_rng(2)
    label = random.integers(2, size=4000)
    stripe = random.integers(-12, 12, size=4000)
    x = (2 * stripe + label + random.uniform(0.1, 0.9, 4000)) / 20
    found = mireg.audit(x, label, folds=2)
    assert found.mi > 0.8 * math.log(2)


@pytest.mark.slow
def test_groups_are_not_recognised_across_the_split():
    """Codes that are random for each group tell nothing; they look like evidence where groups are split."""
    random = np.random.default_rng(3)
    group = np.repeat(np.arange(300), 5)
    pi, alpha = (random.standard_normal((300, 4))[group] for _ in range(2))
    pi = pi + 0.1 * random.standard_normal(pi.shape)
    known = mireg.audit(pi, alpha, groups=group, folds=2)
    assert known.mi < 0.05
    assert known.lower_bound == 0
    assert known.groups == 300
    assert mireg.audit(pi, alpha, folds=2).mi > 0.5


def test_the_bound_of_categories_is_their_information():
    """Two independent ones of four, and a half of the rows that is known."""
    p = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]]).repeat(50, 1)
    both = torch.distributions.Independent(
        torch.distributions.OneHotCategorical(probs=torch.stack((p, p), 1)), 1
    )
    of_one = (p[:2] * (p[:2] / p[:2].mean(0)).log()).sum(1).mean()
    assert bound_from_above(both) == pytest.approx(2 * of_one)
    assert bound_from_above(both, torch.arange(100) % 2 == 0) == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_a_posterior_gives_the_bound_from_above():
    mean = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    posterior = mireg.diagonal_gaussian(mean, torch.zeros(600, 2))
    pi = mean + torch.randn(600, 2, generator=torch.Generator().manual_seed(1))
    found = mireg.audit(pi, mean, posterior=posterior, folds=2)
    # Means of unit variance under unit noise: half the logarithm of 2 in each coordinate.
    assert abs(found.variational_bound - math.log(2)) < 0.05
    assert found.lower_bound < found.variational_bound
    assert "at most" in str(found)


@pytest.mark.usefixtures("short_audits")
def test_an_empty_code_and_a_target_that_every_code_meets_are_mentioned():
    labels = torch.arange(600) % 2
    pi = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    empty = mireg.diagonal_gaussian(torch.zeros(600, 2), torch.zeros(600, 2))
    found = mireg.audit(pi, labels, epsilon=0.7, posterior=empty, folds=2)
    of_target, of_code = (
        [w for w in found.warnings if text in w] for text in ("0.693 nats: every", "nearly empty")
    )
    assert len(of_target) == len(of_code) == 1
    full = mireg.diagonal_gaussian(pi, torch.full((600, 2), -4.0))
    found = mireg.audit(pi, labels, epsilon=0.1, posterior=full, folds=2)
    assert not any("every code" in w or "nearly empty" in w for w in found.warnings)


# --- what it certifies ------------------------------------------------------


@pytest.mark.parametrize("mi", [0.125, 0.5, 2.0, 4.0, 8.0])
@pytest.mark.slow
def test_certified_bound_exceeds_the_truth_no_more_often_than_it_says(mi):
    """With the best critic there is, on 2,000 samples of a Gaussian, 200 times."""
    d, n = 8, 2000
    rho = math.sqrt(1 - math.exp(-2 * mi / d))
    generator = torch.Generator().manual_seed(0)

    def logits():
        x = torch.randn(n, d, generator=generator, dtype=torch.float64)
        y = rho * x + math.sqrt(1 - rho**2) * torch.randn(n, d, generator=generator).double()
        groups = torch.arange(n)

        def ratio(x, y):
            rest = 1 - rho**2
            square = rho / rest * (x * y - rho / 2 * (x**2 + y**2))
            return (square - math.log(rest) / 2).sum(1)

        return ratio(x, y), ratio(x, y[swap_index(groups)]), groups

    bounds = [code_bound([Block(*logits())], [logits()], 0.95) for _ in range(200)]
    assert sum(bound > mi for bound in bounds) <= 10
    # It must not be empty either, where there is something to certify.
    assert np.median(bounds) > (0.3 * mi if 0.5 <= mi <= 4 else -1)


@pytest.mark.parametrize("count", [60, 265])
@pytest.mark.parametrize("share", [0.5, 0.15])
@pytest.mark.slow
def test_label_bound_exceeds_the_truth_no_more_often_than_it_says(count, share):
    """A label of a group, and a bit of each sample that is the label in 90 % of cases, but for groups where it is not in 40 %."""
    generator = torch.Generator().manual_seed(count)
    rate = torch.tensor([0.1, 0.4])

    def draw():
        label = torch.rand(count, generator=generator) < share
        odd = torch.rand(count, generator=generator) < 0.1
        groups = torch.arange(count).repeat_interleave(4)
        wrong = torch.rand(len(groups), generator=generator) < rate[odd.long()][groups]
        y = label[groups].long()
        return y, (y.bool() ^ wrong).long(), groups

    error = float(rate[0] * 0.9 + rate[1] * 0.1)
    prior = torch.tensor([1 - share, share], dtype=torch.float64)
    joint = torch.diag(prior) @ torch.tensor([[1 - error, error], [error, 1 - error]]).double()
    ratio = (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log()
    truth = float((joint * ratio).sum())

    def bound():
        y, bit, groups = draw()
        logits = ratio[y, bit]
        # The folds of an audit overlap: limits and bets are chosen on the same samples here.
        stop = [(logits, logits, groups)]
        return label_bound([Block(logits, logits, groups)], [y], [prior.log()], stop, 0.95)

    bounds = [bound() for _ in range(200)]
    assert sum(bound > truth for bound in bounds) <= 10
    assert np.median(bounds) > (0.4 if count == 265 else -1) * truth


def test_wealth_is_the_product_of_what_each_bet_wins():
    values = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    by_hand = [math.log((1 - bet * 0.4) ** 2 * (1 + bet * 0.6) ** 3) for bet in (0.5, 1.0)]
    assert log_wealth(values, 0.4, torch.tensor([0.5, 1.0])).tolist() == pytest.approx(by_hand)


def test_a_bet_proves_the_mean_that_its_wealth_says():
    """One bet on values that are all 1 wins (1 + λ (1 - m)) each time."""
    values = torch.ones(20, dtype=torch.float64)
    bets = torch.tensor([0.5], dtype=torch.float64)
    bound = betting_bound(lambda m, b: log_wealth(values, m, b), bets, 0.0, 1.0, 0.95)
    assert (1 + 0.5 * (1 - bound)) ** 20 == pytest.approx(20)


def test_blocks_keep_the_mean_of_many_values():
    values = torch.arange(8192.0)
    assert block_means(values).tolist() == [2 * i + 0.5 for i in range(4096)]
    assert block_means(values[:50]).equal(values[:50])


def test_units_are_pairs_of_groups():
    groups = torch.tensor([5, 5, 2, 9, 9, 9, 4])
    index = swap_index(groups)
    assert groups[index].tolist() == [2, 2, 5, 4, 4, 4, 9]
    joint, swapped = torch.arange(7.0) / 10, torch.zeros(7)
    values = pair_values(Block(joint, swapped, groups), (-3.0, 3.0))
    assert values.shape == (1, 2)
    assert values[0].tolist() == pytest.approx([(0.05 + 0.2) / 2, (0.4 + 0.6) / 2])


def test_all_pairs_of_groups_pair_them_in_many_ways():
    """Three groups in six rows, and a logit that is 0 but for samples of the first with those of the last."""
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    partners = torch.stack([(torch.arange(6) + k) % 6 for k in range(1, 6)])
    marginal = torch.zeros(5, 6)
    marginal[(groups == 0) & (groups[partners] == 2)] = math.log(2)
    block = Block(torch.tensor([1.0, 1, 2, 2, 3, 3]), torch.zeros(6), groups, marginal, partners)
    values = pair_values(block, (-5.0, 5.0))
    assert values.shape == (100, 1)
    # The pairs are (0, 1), (1, 2) and (0, 2): the last has e^T of 2 in one of its directions.
    counts = [int((values - value).abs().lt(1e-6).sum()) for value in (1.5, 2.5)]
    assert sum(counts) == 100 and counts[0] > counts[1] > 15


@given(sizes=st.lists(st.integers(1, 4), min_size=20, max_size=40), count=st.integers(2, 6))
def test_no_fold_splits_a_group_and_every_sample_is_judged_once(sizes, count):
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    folds = make_folds(groups, count, torch.Generator().manual_seed(0))
    assert torch.cat(folds.test).sort().values.equal(torch.arange(len(groups)))
    for parts in zip(*folds, strict=True):
        assert sum(len(part) for part in parts) == len(groups)
        names = [set(groups[part].tolist()) for part in parts]
        assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
        assert all(names)


def test_random_pairings_are_many_however_many_samples_there_are():
    """Few shifts of most samples give log Z, and many of some the permutation test."""
    generator = torch.Generator().manual_seed(0)
    marginal = [torch.randn(99, 500, generator=generator), torch.zeros(4, 1500)]
    joint = [torch.full((500,), 0.5), torch.full((1500,), -9.0)]
    log_z, null, p_value, accuracy = _of_marginal(Evidence([], joint, marginal, [], [], [], {}))
    assert log_z == pytest.approx(math.log(0.25 * math.exp(0.5) + 0.75), abs=0.01)
    assert p_value == 1 / 100
    assert 0 < null < 4 / 500**0.5
    assert accuracy == pytest.approx((0.25 + 0.25 * 0.5 + 0.75) / 2, abs=0.01)


# --- its parts --------------------------------------------------------------


def test_normal_scores_do_not_change_under_monotone_maps():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = NormalScores(x)(x)
    torch.testing.assert_close(NormalScores(x.exp())(x.exp()), scores)
    torch.testing.assert_close(NormalScores(x**3)(x**3), scores)
    assert abs(scores.mean()) < 0.01
    assert abs(scores.std() - 1) < 0.02


def test_normal_scores_of_ties_and_of_new_values_are_finite_and_ordered():
    scores = NormalScores(torch.tensor([[0.0], [0.0], [0.0], [1.0], [2.0]]))
    values = scores(torch.tensor([[-9.0], [0.0], [0.5], [1.0], [1.5], [2.0], [9.0]])).squeeze(1)
    assert values.isfinite().all()
    assert (values.diff() > 0).all()


def test_outliers_stay_within_limits():
    x = torch.randn(1000, 2)
    x[0] = 1e9
    assert Standardize(x)(x).abs().max() <= 8
    assert with_radius(Standardize(x)(x)).isfinite().all()


# --- how it behaves ---------------------------------------------------------


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_a_seed_repeats_an_audit_and_the_state_of_torch_stays():
    x, y = drawn(gaussian(2, 0.5), 500)
    before = torch.get_rng_state()
    first, second = (
        mireg.audit(x, torch.tensor(y), seed=3, folds=2),
        mireg.audit(torch.tensor(x), y, seed=3, folds=2),
    )
    assert torch.get_rng_state().equal(before)
    assert first.mi == second.mi
    assert first.lower_bound == second.lower_bound


@pytest.mark.slow
def test_report_serves_people_and_programs(report, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    text = str(report)
    assert "above ε = 0.5" in text
    assert "from below only" in text
    values = json.loads(report.to_json())
    for name in ("mi", "standard_error", "log_z", "dv", "lower_bound", "verdict"):
        assert name in values
    report.save_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "http" not in page
    assert report.plot().get_xlabel() == "I(π, α) in nats"


@pytest.mark.parametrize(
    ("pi", "alpha", "groups", "error", "text"),
    [
        (np.zeros((600, 2)), np.eye(600), None, ValueError, "pi must vary"),
        (
            np.eye(600),
            np.full(600, np.nan),
            None,
            ValueError,
            "alpha must be finite, got NaN or infinity in 600 of 600 rows",
        ),
        (np.eye(600), np.eye(599), None, ValueError, "one row for each sample, got 600 and 599"),
        (
            np.eye(199),
            np.eye(199),
            None,
            ValueError,
            "200 to 1,000,000 samples, got 199: encode more samples",
        ),
        (np.eye(600), np.zeros(600, int), None, ValueError, "at least 2 classes, got only 0"),
        (np.eye(600), np.eye(600), np.arange(600) % 7, ValueError, "at least 20 groups"),
        (np.eye(600), np.eye(600), np.arange(5), ValueError, "and 5 groups"),
        (np.array(["a"] * 600), np.eye(600), None, TypeError, "pi must be an array of numbers"),
        (np.float32(3), np.eye(600), None, ValueError, "got a single number"),
        (np.eye(600), np.eye(600), 0.05, ValueError, "a single number: pass a target as epsilon="),
        (np.eye(600), {"sex": np.eye(600)}, None, TypeError, "got dict: pass one of its values"),
        (
            torch.distributions.Normal(torch.zeros(600, 2), 1.0),
            np.eye(600),
            None,
            TypeError,
            r"pi must be an array, got a distribution: pass its sample\(\)",
        ),
    ],
)
def test_bad_input_is_named(pi, alpha, groups, error, text):
    with pytest.raises(error, match=text):
        mireg.audit(pi, alpha, groups)


def test_options_are_checked():
    codes = np.random.default_rng(0).standard_normal((600, 2))
    with pytest.raises(ValueError, match="confidence must be in"):
        mireg.audit(codes, codes, confidence=95)
    with pytest.raises(ValueError, match="folds must be from 2 to 20, got 1"):
        mireg.audit(codes, codes, folds=1)
    with pytest.raises(ValueError, match="epsilon"):
        mireg.audit(codes, codes, epsilon=-1)


def test_odd_input_is_mentioned():
    random = np.random.default_rng(0)
    x = np.repeat(random.standard_normal((300, 3)), 2, axis=0)
    x[:, 1] = 5
    found = read_inputs(x, random.integers(2, size=600))
    assert any("columns of pi are constant" in text for text in found.warnings)
    assert any("rows of pi repeat others" in text for text in found.warnings)
    assert found.pi.shape == (600, 2)
    assert not any("only" in text for text in found.warnings)
    found = read_inputs(random.standard_normal((600, 2)), x)
    assert any("300 of 600 rows of alpha repeat others" in text for text in found.warnings)
    ages = random.integers(18, 90, size=(600, 2))
    assert read_inputs(random.standard_normal((600, 2)), ages).warnings == ()
    few = read_inputs(x, random.integers(2, size=600), np.arange(600) % 100)
    assert any("only 100 groups" in text for text in few.warnings)


# --- the command ------------------------------------------------------------


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_command_audits_a_file(tmp_path, capsys):
    x, y = drawn(gaussian(2, 1.0), 600)
    path, page, values = (tmp_path / name for name in ("codes.npz", "report.html", "report.json"))
    np.savez(path, pi=x, alpha=y, mean=x, log_var=np.zeros_like(x))
    arguments = ["audit", str(path), "--epsilon", "0.1", "--html", str(page), "--json", str(values)]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "above ε = 0.1" in shown.out
    assert "100%" in shown.err
    assert page.is_file()
    assert json.loads(values.read_text(encoding="utf-8"))["variational_bound"] > 0


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (None, "there is no file"),
        (
            {"pi": np.eye(600)},
            "must contain pi and alpha, got pi: write it with numpy.savez('codes.npz', pi=...",
        ),
        ({"pi": np.eye(3), "alpha": np.eye(3), "person": np.eye(3)}, "person in codes.npz is not"),
        ({"pi": np.eye(3), "alpha": np.eye(3), "mean": np.eye(3)}, "mean in codes.npz is not used"),
        ({"pi": np.eye(3), "alpha": np.eye(3)}, "200 to 1,000,000"),
    ],
)
def test_command_explains_what_is_wrong(arrays, text, tmp_path, capsys):
    path = tmp_path / "codes.npz"
    if arrays is not None:
        np.savez(path, **arrays)
    assert main(["audit", str(path), "--quiet"]) == 2
    assert text in capsys.readouterr().err
