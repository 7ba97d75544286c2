"""The weights γ and λ: they follow their formulas, stay at 0 or above, and survive casts and bad batches."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import controllers_of, no_encoder

import mireg
from mireg import weights
from mireg.weights import Estimates

EPSILON = 0.125
WEIGHTS = {
    "robust": lambda: weights.RobustGamma(),
    "variational": lambda: weights.VariationalGamma(),
    "fixed": lambda: weights.FixedGamma(2.0),
    "relative": lambda: weights.RelativeGamma(),
    "multiplier": lambda: weights.Multiplier(),
    "logarithmic": lambda: weights.LogMultiplier(),
    "fixed multiplier": lambda: weights.FixedMultiplier(0.5),
}
anything = st.lists(st.tuples(*[st.floats(width=32)] * 2), max_size=8)


def seen(mi, mi_shadow, epsilon=EPSILON, averages=None):
    """Returns estimates whose averages are those of the batch."""
    values = (mi, mi_shadow, *(averages or (mi, mi_shadow)))
    return Estimates(*(torch.tensor(float(x)) for x in values), epsilon)


@given(anything)
def test_weights_stay_finite_and_at_zero_or_above_for_any_input(estimates):
    moved, average = [make() for make in WEIGHTS.values()], weights.MovingAverage()
    for mi, mi_shadow in estimates:
        average.update(torch.tensor(mi))
        for weight in moved:
            weight.update(seen(mi, mi_shadow))
    for weight in moved:
        assert weight.value >= 0
        assert weight.value.isfinite()
        assert weight.weight(torch.float32).isfinite()
    assert average.value.isfinite()


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_not_accepted_moves_no_weight(name):
    weight = WEIGHTS[name]()
    before = weight.state.clone()
    weight.update(seen(9.0, 9.0), torch.tensor(False))
    for bad in (math.nan, math.inf, -math.inf):
        weight.update(seen(bad, bad), torch.tensor(False))
    assert weight.state.equal(before)


@pytest.mark.filterwarnings("ignore:.*critics have not learnt")
@no_encoder
def test_log_multiplier_follows_its_formula_over_200_steps():
    constraint = mireg.RobustMIConstraint(
        2, 3, epsilon=0.1, estimator=mireg.estimators.MeanLogit(decay=0.9)
    )
    rng = np.random.default_rng(0)
    log_multiplier, average, shadow, weight = 0.0, 0.0, 0.0, 0.0
    highest = lowest = 0.0
    for step in range(200):
        # Far above the target, then T alone meets it and T' does not, then far below it.
        mi = rng.normal(0.5 if step < 50 else -0.2, 0.1)
        mi_shadow = mi if step < 50 else rng.normal(0.25 if step < 80 else -0.1, 0.05)
        constraint.update(penalty_of(constraint, mi, mi_shadow))
        average, shadow = 0.9 * average + 0.1 * mi, 0.9 * shadow + 0.1 * mi_shadow
        weight = 0.9 * weight + 0.1
        ratio = max(average, 2 * shadow - max(average, 0)) / weight / 0.1
        log_multiplier += 0.02 * min(max(ratio - 1, -1), 1)
        highest, lowest = max(highest, log_multiplier), min(lowest, log_multiplier)
        value = constraint.multiplier.value.item()
        assert value == pytest.approx(math.exp(log_multiplier), rel=1e-5)
    assert highest > 1.5 and log_multiplier < highest - 1


def test_log_multiplier_has_the_slope_of_its_formula():
    """λ Î/ε with what T' still misses and T's estimate of this batch, and 0 if nothing leaks."""
    cases = [
        # Averages of T and T', T on this batch, slope.
        ((0.1, 0.15), 0.1, 3 * 1.6),
        ((0.1, 0.15), 0.2, 3 * 2.4),
        ((0.1, 0.15), 0.05, 3 * 1.2),
        ((0.1, 0.15), -0.2, 0.0),
        ((0.15, 0.1), 0.15, 3 * 1.2),
        ((-9.0, 0.1), -9.0, 3 * 1.6),
        ((-0.1, -0.2), -0.1, 0.0),
        ((9.0, 0.0), 9.0, 3 * 5.0),
    ]
    for averages, now, slope in cases:
        multiplier = weights.LogMultiplier(initial=3.0)
        mi = torch.tensor(now, requires_grad=True)
        loss = multiplier(mi, seen(now, 0.3, averages=averages))
        loss.backward()
        assert mi.grad.item() == pytest.approx(slope, abs=1e-5)
        assert loss.item() == pytest.approx(slope * now, abs=1e-5)


def test_the_slope_is_that_of_the_augmented_lagrangian():
    """Eq. (22) with μ = λ/ε, as long as T and T' agree."""
    for now in (-0.1, 0.0, 0.05, 0.125, 0.3):
        mi = torch.tensor(now, requires_grad=True)
        mu = 2.0 / EPSILON
        published = mireg.functional.augmented_lagrangian(mi - EPSILON, torch.tensor(2.0), mu)
        (wanted,) = torch.autograd.grad(published, mi)
        loss = weights.LogMultiplier(initial=2.0)(mi, seen(now, 0.0, averages=(0.1, 0.1)))
        (slope,) = torch.autograd.grad(loss, mi)
        assert slope.item() == pytest.approx(wanted.item(), abs=1e-5)


def test_log_multiplier_takes_a_few_hundred_steps_for_three_decades_either_way():
    multiplier = weights.LogMultiplier()
    for mi, goal in ((1.0, 1e3), (0.0, 1e0)):
        steps = 0
        while (multiplier.value < goal) == (mi > 0) and steps < 1000:
            multiplier.update(seen(mi, mi))
            steps += 1
        assert 150 <= steps <= 400


def test_log_multiplier_stays_within_its_limits():
    multiplier = weights.LogMultiplier(rate=1.0)
    for mi, limit in ((9.0, multiplier.HIGHEST), (-9.0, multiplier.LOWEST)):
        for _ in range(50):
            multiplier.update(seen(mi, mi))
        assert multiplier.state.item() == limit and multiplier.value.isfinite()


def test_a_target_of_zero_nats_is_a_target():
    multiplier = weights.LogMultiplier()
    for mi in (0.1, 0.0, -0.1):
        multiplier.update(seen(mi, mi, epsilon=0.0))
        assert multiplier.value.isfinite()
        assert multiplier(torch.tensor(mi), seen(mi, mi, epsilon=0.0)).isfinite()


def test_relative_gamma_is_a_fraction_of_lambda():
    gamma = weights.RelativeGamma(0.02)
    for multiplier in (1e-3, 1.0, 1e4):
        assert gamma(torch.tensor(multiplier)).item() == pytest.approx(0.02 * multiplier)


def test_the_fraction_moves_by_the_gap_in_units_of_the_target():
    gamma = weights.RelativeGamma(0.02, rate=0.1, bias=0.25)
    log_fraction = math.log(0.02)
    for gap in (0.5, 0.25, 0.0, 3.0, -0.5):
        gamma.update(seen((1 - gap) * EPSILON, EPSILON))
        log_fraction += 0.1 * min(max(gap - 0.25, -0.3), 1)
        assert gamma.value.item() == pytest.approx(math.exp(log_fraction), rel=1e-5)
    for gap, limit in ((9.0, gamma.HIGHEST), (-0.5, gamma.LOWEST)):
        for _ in range(700):
            gamma.update(seen((1 - gap) * EPSILON, EPSILON))
        assert gamma.state.item() == pytest.approx(limit)
    far = weights.RelativeGamma(0.02)
    for times in (0.4, 2.1):
        # The codes are not near the target: that T' is not ahead shows nothing.
        far.update(seen(times * EPSILON, times * EPSILON))
        assert far.value.item() == pytest.approx(0.02)
    high = weights.RelativeGamma(0.5)
    high.update(seen(0.0, 9.0))
    assert high.value.item() == pytest.approx(0.5)
    still = weights.RelativeGamma(0.02, rate=0)
    still.update(seen(0.0, 9.0))
    assert still.value.item() == pytest.approx(0.02)


def test_fixed_weights_never_move():
    for weight in (weights.FixedGamma(0.7), weights.FixedMultiplier(0.7)):
        weight.update(seen(9.0, 9.0))
        assert weight.value.item() == 0.7
    mi = torch.tensor(0.4)
    assert weights.FixedMultiplier(0.5)(mi, seen(0.4, 0.4)).item() == pytest.approx(0.2)


def penalty_of(constraint, mi, mi_shadow):
    """Returns a penalty of a constraint that saw these estimates."""
    alpha = torch.randn(4, *constraint.critics.alpha_shape)
    pi = torch.randn(4, *constraint.critics.pi_shape)
    posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
    with torch.no_grad():
        penalty = constraint(pi, alpha, posterior)
    metrics = {"mi": torch.tensor(mi), "mi_shadow": torch.tensor(mi_shadow)}
    return penalty._replace(metrics={**penalty.metrics, **metrics})


@pytest.mark.filterwarnings("ignore:.*critics have not learnt")
@no_encoder
def test_gamma_and_multiplier_match_a_reference_by_hand_over_200_steps():
    constraint = mireg.RobustMIConstraint.paper(
        2, 3, gamma=weights.RobustGamma(rate=0.1), multiplier=weights.Multiplier(mu=0.2)
    )
    rng = np.random.default_rng(0)
    gamma, multiplier, average, shadow, weight = 1.0, 0.0, 0.0, 0.0, 0.0
    history = []
    for step in range(200):
        # The shadow sees more for a while, then less: both weights rise, and fall to 0.
        mi = rng.normal(0.3 if step < 80 else -0.2, 0.1)
        mi_shadow = mi + (0.2 if step < 100 else -0.9)
        constraint.update(penalty_of(constraint, mi, mi_shadow))

        average, shadow = 0.99 * average + 0.01 * mi, 0.99 * shadow + 0.01 * mi_shadow
        weight = 0.99 * weight + 0.01
        gamma = max(0.0, gamma + 0.1 * (shadow / weight - average / weight - 0.01))
        multiplier = max(0.0, multiplier + 0.2 * (mi - 0.125))
        history.append((gamma, multiplier))
        assert constraint.gamma.value.item() == pytest.approx(gamma, abs=1e-6)
        assert constraint.multiplier.value.item() == pytest.approx(multiplier, abs=1e-6)
    assert max(history)[0] > 1.5 and min(history)[0] == 0 and history[-1][1] == 0


def test_variational_gamma_follows_eq_24():
    gamma = weights.VariationalGamma(initial=1.0, rate=0.1)
    gamma.update(seen(9.0, 0.625))
    assert gamma.value.item() == pytest.approx(1.05)


def test_a_moving_average_is_unbiased_from_the_first_value():
    average = weights.MovingAverage(0.9)
    assert average.value == 0
    average.update(torch.tensor(2.0))
    assert average.value.item() == pytest.approx(2.0)
    average.update(torch.tensor(4.0))
    assert average.value.item() == pytest.approx((0.9 * 2 + 4) / 1.9)
    assert average.weight(torch.float32).item() == pytest.approx(average.value.item())


def test_a_loss_keeps_the_weight_that_it_was_made_with():
    for make in WEIGHTS.values():
        weight = make()
        held = weight.weight(torch.float32)
        before = held.clone()
        weight.state.add_(1)
        assert held.equal(before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_cast_of_the_model_leaves_weights_exact(dtype):
    constraint = mireg.RobustMIConstraint(2, 3, gamma=weights.FixedGamma(7.123456789))
    constraint.to(dtype)
    assert constraint.gamma.value.dtype == torch.float64
    assert constraint.gamma.value.item() == 7.123456789
    assert next(constraint.critic_parameters()).dtype == dtype
    assert copy.deepcopy(constraint).gamma.value == constraint.gamma.value


def test_weights_move_to_another_device():
    constraint = mireg.RobustMIConstraint(2, 3).to("meta")
    assert all(x.device.type == "meta" for x in (*constraint.buffers(), *constraint.parameters()))
    assert "unknown" in repr(constraint)
    constraint.to_empty(device="cpu")
    assert all(
        m.state.dtype == torch.float64 for m in controllers_of(constraint, weights.Controller)
    )


def test_weights_move_to_a_device_without_double_precision():
    def refuse_double(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return tensor

    constraint = mireg.RobustMIConstraint(2, 3, gamma=weights.FixedGamma(7.123456789))
    constraint._apply(refuse_double)
    assert constraint.gamma.value.item() == 7.123456789


@pytest.mark.parametrize(
    "make",
    [
        weights.MovingAverage,
        weights.Multiplier,
        weights.LogMultiplier,
        weights.FixedGamma,
        lambda: weights.FixedMultiplier(1.0),
        weights.RobustGamma,
        weights.VariationalGamma,
    ],
)
def test_repr_tells_the_current_value(make):
    controller = make()
    controller.state.fill_(0.25)
    assert f"value={controller.value.item():.4g}" in repr(controller)


NAN = math.nan


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: weights.MovingAverage(1.0), r"in \[0, 1\), got 1.0"),
        (lambda: weights.MovingAverage(NAN), r"in \[0, 1\), got nan"),
        (lambda: weights.Multiplier(mu=0), "mu must be above 0, got 0"),
        (lambda: weights.Multiplier(mu=NAN), "mu must be above 0, got nan"),
        (lambda: weights.Multiplier(initial=-1), "0 or above, got -1"),
        (lambda: weights.LogMultiplier(initial=0), "above 0, got 0"),
        (lambda: weights.LogMultiplier(initial=NAN), "above 0, got nan"),
        (
            lambda: weights.LogMultiplier(initial=1e-6),
            "λ must be from 6.1e-06 to 8.9e.06, got 1e-06",
        ),
        (
            lambda: weights.LogMultiplier(initial=1e8),
            "λ must be from 6.1e-06 to 8.9e.06, got 1e.08",
        ),
        (lambda: weights.LogMultiplier(rate=0), "the rate of λ must be above 0, got 0"),
        (lambda: weights.LogMultiplier(rate=NAN), "the rate of λ must be above 0, got nan"),
        (lambda: weights.FixedMultiplier(-1), "0 or above, got -1"),
        (lambda: weights.FixedGamma(-0.5), "0 or above, got -0.5"),
        (lambda: weights.FixedGamma(NAN), "0 or above, got nan"),
        (lambda: weights.RobustGamma(rate=-1), "the rate of γ must be 0 or above, got -1"),
        (lambda: weights.RobustGamma(bias=NAN), "the bias of γ must be finite, got nan"),
        (lambda: weights.VariationalGamma(rate=NAN), "the rate of γ must be 0 or above, got nan"),
        (lambda: weights.RelativeGamma(0), "the fraction ρ must be above 0, got 0"),
        (lambda: weights.RelativeGamma(NAN), "the fraction ρ must be above 0, got nan"),
        (lambda: weights.RelativeGamma(rate=-1), "the rate of ρ must be 0 or above, got -1"),
        (lambda: weights.RelativeGamma(bias=NAN), "the bias of ρ must be finite, got nan"),
    ],
)
def test_impossible_settings_of_weights_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
