"""The weights γ and λ: they follow the paper, stay at 0 or above, and survive casts and bad batches."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mireg

CONTROLLERS = {
    "robust": lambda: mireg.RobustGamma(),
    "variational": lambda: mireg.VariationalGamma(0.125),
    "fixed": lambda: mireg.FixedGamma(2.0),
}
anything = st.lists(st.tuples(*[st.floats(width=32)] * 2), max_size=8)


@given(anything)
def test_weights_stay_finite_and_at_zero_or_above_for_any_input(estimates):
    controllers = [make() for make in CONTROLLERS.values()]
    multiplier, average = mireg.Multiplier(), mireg.MovingAverage()
    for mi, mi_shadow in estimates:
        mi, mi_shadow = torch.tensor(mi), torch.tensor(mi_shadow)
        average.update(mi)
        multiplier.update(mi)
        for controller in controllers:
            controller.update(mi, mi_shadow)
    for controller in (*controllers, multiplier):
        assert controller.value >= 0
        assert controller.value.isfinite()
    assert average.value.isfinite()


def test_gamma_and_multiplier_match_a_reference_by_hand_over_200_steps():
    constraint = mireg.RobustMIConstraint.paper(2, 3, gamma_rate=0.1, mu=0.2)
    rng = np.random.default_rng(0)
    gamma, multiplier, average, shadow, weight = 1.0, 0.0, 0.0, 0.0, 0.0
    seen = []
    for step in range(200):
        # The shadow sees more for a while, then less: both weights rise, and fall to 0.
        mi = rng.normal(0.3 if step < 80 else -0.2, 0.1)
        mi_shadow = mi + (0.2 if step < 100 else -0.9)
        metrics = {
            "mi": torch.tensor(mi),
            "violation": torch.tensor(mi - 0.125),
            "mi_shadow": torch.tensor(mi_shadow),
        }
        part = mireg.Penalty(torch.zeros(()), metrics)
        constraint.update(mireg.Penalty(torch.zeros(()), metrics, (part,)))

        average, shadow = 0.99 * average + 0.01 * mi, 0.99 * shadow + 0.01 * mi_shadow
        weight = 0.99 * weight + 0.01
        gamma = max(0.0, gamma + 0.1 * (shadow / weight - average / weight - 0.01))
        multiplier = max(0.0, multiplier + 0.2 * (mi - 0.125))
        seen.append((gamma, multiplier))
        assert constraint.gamma.item() == pytest.approx(gamma, abs=1e-6)
        assert constraint.multiplier.item() == pytest.approx(multiplier, abs=1e-6)
    assert max(seen)[0] > 1.5 and min(seen)[0] == 0 and seen[-1][1] == 0


@given(anything)
def test_gamma_stays_at_its_floor_or_above_for_any_input(estimates):
    controllers = [
        mireg.RobustGamma(minimum=0.02),
        mireg.VariationalGamma(0.125, minimum=0.02),
        mireg.RobustMIConstraint(2, 3, min_gamma=0.02, gamma_rate=1.0).bound.gamma_controller,
    ]
    for mi, mi_shadow in estimates:
        for controller in controllers:
            controller.update(torch.tensor(mi), torch.tensor(mi_shadow))
    assert all(controller.value >= 0.02 for controller in controllers)


def test_gamma_tells_that_it_can_fall_no_further():
    gamma = mireg.RobustGamma(initial=0.021, minimum=0.02, rate=1.0)
    assert not gamma.at_minimum
    gamma.update(torch.tensor(0.5), torch.tensor(0.0))
    assert gamma.at_minimum and gamma.value == 0.02


def test_variational_gamma_follows_eq_24():
    gamma = mireg.VariationalGamma(epsilon=0.125, initial=1.0, rate=0.1)
    gamma.update(torch.tensor(9.0), torch.tensor(0.625))
    assert gamma.value.item() == pytest.approx(1.05)


def test_a_moving_average_is_unbiased_from_the_first_value():
    average = mireg.MovingAverage(0.9)
    assert average.value == 0
    average.update(torch.tensor(2.0))
    assert average.value.item() == pytest.approx(2.0)
    average.update(torch.tensor(4.0))
    assert average.value.item() == pytest.approx((0.9 * 2 + 4) / 1.9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_cast_of_the_model_leaves_weights_exact(dtype):
    constraint = mireg.RobustMIConstraint(2, 3, initial_gamma=7.123456789)
    constraint.to(dtype)
    assert constraint.gamma.dtype == torch.float64
    assert constraint.gamma.item() == 7.123456789
    assert next(constraint.critic_parameters()).dtype == dtype
    assert copy.deepcopy(constraint).gamma == constraint.gamma


def test_weights_move_to_another_device():
    constraint = mireg.RobustMIConstraint(2, 3).to("meta")
    assert all(x.device.type == "meta" for x in (constraint.gamma, constraint.classifier.step))
    constraint.to_empty(device="cpu")
    assert constraint.gamma.dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mireg.MovingAverage(1.0), r"in \[0, 1\), got 1.0"),
        (lambda: mireg.Multiplier(mu=0), "mu must be positive, got 0"),
        (lambda: mireg.Multiplier(initial=-1), "0 or above, got -1"),
        (lambda: mireg.FixedGamma(-0.5), "0 or above, got -0.5"),
        (lambda: mireg.RobustGamma(minimum=-0.1), "0 or above, got -0.1"),
        (lambda: mireg.RobustMIConstraint(2, 3, min_gamma=-1), "0 or above, got -1"),
    ],
)
def test_impossible_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_weights_move_to_a_device_without_double_precision():
    def refuse_double(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError("this device has no float64")
        return tensor

    constraint = mireg.RobustMIConstraint(2, 3, initial_gamma=7.123456789)
    constraint._apply(refuse_double)
    assert constraint.gamma.item() == 7.123456789


@pytest.mark.parametrize("make", [mireg.MovingAverage, mireg.Multiplier, mireg.FixedGamma])
def test_repr_tells_the_current_value(make):
    controller = make()
    controller.state.fill_(0.25)
    assert f"value={controller.value.item():.4g}" in repr(controller)
