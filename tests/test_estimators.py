"""Estimates as parts: their values, how they are averaged, and the calibration."""

import math

import pytest
import torch
from problems import (
    ALPHA,
    PI,
    codes,
    copied,
    correlated_gaussians,
    held_out,
    no_encoder,
    optimizer_of,
    train_on,
)

import mireg
from mireg import estimators, functional
from mireg.estimators import Logits

RANKS = mireg.Ranks()
ESTIMATORS = {
    "mean logit": (estimators.MeanLogit, functional.mean_logit),
    "NWJ": (estimators.NWJ, functional.nwj),
    "Donsker-Varadhan": (estimators.DonskerVaradhan, functional.donsker_varadhan),
    "SMILE": (
        lambda: estimators.SMILE(clip=2.0),
        lambda *logits: functional.smile(*logits, clip=2.0),
    ),
    "calibrated": (estimators.Calibrated, functional.donsker_varadhan),
}


def logits(n=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    joint = 1 + 2 * torch.randn(n, generator=generator)
    marginal = 2 * torch.randn(3, n, generator=generator) - 1
    weights = torch.rand(3, n, generator=generator)
    return Logits(joint, marginal, None, weights / weights.sum())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_gives_what_its_function_gives(name):
    make, function = ESTIMATORS[name]
    torch.testing.assert_close(make()(logits(), RANKS), function(*logits()))
    plain = logits()._replace(marginal_weights=None)
    torch.testing.assert_close(make()(plain, RANKS), function(*plain))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_works_in_any_regularizer(name):
    regularizer = mireg.RobustMIConstraint(PI, ALPHA, estimator=ESTIMATORS[name][0]())
    regularizer.averages[0].update(torch.tensor(0.5))
    mean, pi, alpha, posterior = codes()
    penalty = regularizer(pi, alpha, posterior)
    (penalty.loss + penalty.critic_loss).backward()
    regularizer.update(penalty)
    assert penalty.metrics["mi"].isfinite() and mean.grad.abs().sum() > 0


def test_critic_and_shadow_have_an_estimator_each():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    first, second = constraint.critics.estimators
    assert first is not second
    constraint.update(constraint(*codes()[1:]))
    assert not first.bounds.state.equal(second.bounds.state)


def test_an_estimator_says_how_fast_its_average_moves():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, estimator=estimators.NWJ(decay=0.5))
    assert [average.decay for average in constraint.averages] == [0.5, 0.5]


def test_an_estimator_of_ones_own_has_to_say_its_value_alone():
    class Between(estimators.Estimator):
        def value(self, logits):
            return (functional.nwj(*logits) + functional.donsker_varadhan(*logits)) / 2

    mean, pi, alpha, _ = codes()
    regularizer = mireg.ClassifierMI(PI, ALPHA, estimator=Between())
    regularizer.average.update(torch.tensor(0.5))
    penalty = regularizer(pi, alpha)
    penalty.loss.backward()
    regularizer.update(penalty)
    assert mean.grad.abs().sum() > 0


# --- calibration ------------------------------------------------------------


def bounds_by_hand(said):
    return torch.stack(
        [functional.donsker_varadhan(*said.scaled(a)) for a in estimators.Calibrated.TEMPERATURES]
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_each_temperature_has_the_bound_of_its_scaled_logits(weighted):
    said = logits() if weighted else logits()._replace(marginal_weights=None)
    observed = estimators.Calibrated().observe(said, RANKS)
    torch.testing.assert_close(observed, bounds_by_hand(said))


def test_many_pairs_are_compared_on_some_of_them():
    said = logits(20_000)
    observed = estimators.Calibrated().observe(said, RANKS)
    torch.testing.assert_close(observed, bounds_by_hand(said), atol=0.1, rtol=0.1)


def test_the_temperature_is_that_of_the_largest_bound_of_late():
    calibrated = estimators.Calibrated(rate=0.5)
    assert calibrated.temperature == 1
    scale = torch.tensor(estimators.Calibrated.TEMPERATURES)
    for best, steps in ((0.35, 30), (1.4, 30)):
        for _ in range(steps):
            calibrated.update(-(scale - best).square())
        assert calibrated.temperature.item() == pytest.approx(best)


def test_a_calibration_takes_only_what_is_accepted_and_finite():
    calibrated = estimators.Calibrated(rate=1.0)
    before = copied(calibrated)
    bounds = torch.linspace(1, 2, 9)
    calibrated.update(bounds, torch.tensor(False))
    calibrated.update(torch.full((9,), torch.nan))
    torch.testing.assert_close(copied(calibrated), before, rtol=0, atol=0)
    calibrated.update(bounds)
    assert calibrated.temperature.item() == estimators.Calibrated.TEMPERATURES[-1]


@pytest.mark.parametrize("confidence", [5.0, 1.0, 0.6])
def test_an_overconfident_critic_is_read_for_what_it_knows(confidence):
    """The optimal critic of Gaussians, its logits times a number: calibrated, it tells the information all the same."""
    nats, n = 0.5, 4000
    rho = math.sqrt(1 - math.exp(-2 * nats))
    generator = torch.Generator().manual_seed(0)
    calibrated = estimators.Calibrated()
    for _ in range(60):
        x, y = (v[:, 0] for v in correlated_gaussians(n, nats, 1, generator))

        def critic(x, y):
            quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
            return confidence * (nats - quadratic)

        said = Logits(critic(x, y), critic(x, y.roll(1)))
        calibrated.update(calibrated.observe(said, RANKS))
    raw = functional.donsker_varadhan(*said).item()
    assert calibrated(said, RANKS).item() == pytest.approx(nats, abs=0.06)
    assert confidence < 2 or raw < 0


@no_encoder
def test_a_reading_is_calibrated_in_training():
    """Steps so long that the critic overfits its small batches: its raw bound on fresh ones is far below what it can tell."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    regularizer = mireg.ClassifierMI(2, 2, rows=0)
    x, y = correlated_gaussians(64, 1.0, 2, generator)
    optimizer = optimizer_of(regularizer, 1e-2)
    for step in range(150):
        rows = torch.randint(64, (32,), generator=generator)
        fresh = correlated_gaussians(32, 1.0, 2, generator)
        optimizer.zero_grad()
        regularizer.critic_loss(x[rows], y[rows]).backward()
        optimizer.step()
        if step >= 50:
            regularizer.update(regularizer(*fresh))
    batches = [correlated_gaussians(256, 1.0, 2, generator) for _ in range(8)]
    read = held_out(regularizer, batches)
    regularizer.critics.estimators[0] = estimators.DonskerVaradhan()
    assert read > held_out(regularizer, batches) + 0.2
    assert read > 0.1


@no_encoder
def test_training_without_dependence_reads_nothing():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    regularizer = mireg.ClassifierMI(2, 2)
    optimizer = optimizer_of(regularizer, 1e-3)
    for _ in range(100):
        train_on(regularizer, optimizer, *torch.randn(2, 64, 2, generator=generator))
    assert regularizer.average.value.abs() < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimators.SMILE(clip=0), "threshold of SMILE must be above 0, got 0"),
        (lambda: estimators.SMILE(clip=math.nan), "threshold of SMILE must be above 0, got nan"),
        (lambda: estimators.Calibrated(rate=0), "rate of a calibration must be above 0, got 0"),
        (lambda: estimators.Calibrated(rate=math.nan), "got nan"),
        (lambda: estimators.NWJ(decay=math.nan), "decay.*got nan"),
        (lambda: estimators.MeanLogit(decay=-0.1), "decay.*0 or above, got -0.1"),
    ],
)
def test_impossible_settings_of_estimators_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
