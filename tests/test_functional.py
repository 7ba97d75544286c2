"""The equations, against references written by hand and against known truths."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import (
    Distribution,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    MultivariateNormal,
    kl_divergence,
)
from torch.func import grad, vmap

import mireg
from mireg import functional

finite = st.floats(-1e3, 1e3)
positive = st.floats(1e-3, 1e3)

ESTIMATES = {
    name: getattr(functional, name) for name in ("mean_logit", "nwj", "donsker_varadhan", "smile")
}


def softplus(x):
    return np.logaddexp(0, x)


def logits(seed=0, n=50):
    rng = np.random.default_rng(seed)
    joint, marginal = rng.normal(1, 2, n), rng.normal(-1, 2, n)
    return joint, marginal, torch.from_numpy(joint), torch.from_numpy(marginal)


def test_critic_loss_is_eq_10():
    joint, marginal, tj, tm = logits()
    expected = softplus(-joint).mean() + softplus(marginal).mean()
    assert functional.critic_loss(tj, tm).item() == pytest.approx(expected)


def test_estimates_match_numpy():
    joint, marginal, tj, tm = logits()
    expected = {
        "mean_logit": joint.mean(),
        "nwj": joint.mean() + 1 - np.exp(marginal).mean(),
        "donsker_varadhan": joint.mean() - np.log(np.exp(marginal).mean()),
        "smile": joint.mean() - np.log(np.exp(np.clip(marginal, -5, 5)).mean()),
    }
    assert set(ESTIMATES) == set(expected)
    for name, estimate in ESTIMATES.items():
        assert estimate(tj, tm).item() == pytest.approx(expected[name]), name


def test_pairs_of_weight_zero_do_not_count():
    _, _, tj, tm = logits()
    counted = torch.arange(50) < 20
    weights = counted / 20
    for function in (functional.critic_loss, *ESTIMATES.values()):
        got = function(*(torch.where(counted, x, 30) for x in (tj, tm)), weights, weights)
        torch.testing.assert_close(got, function(tj[:20], tm[:20]))


def test_weights_say_how_much_a_pair_counts():
    """A pair of twice the weight is that pair twice."""
    _, _, tj, tm = logits()
    times = torch.arange(50) % 3
    weights = times / times.sum()
    for function in (functional.critic_loss, *ESTIMATES.values()):
        twice = tj.repeat_interleave(times), tm.repeat_interleave(times)
        torch.testing.assert_close(function(tj, tm, weights, weights), function(*twice))


@pytest.mark.parametrize("kinds", [(True, False), (False, True), (True, True)])
def test_estimates_stay_finite_without_any_pair_of_a_kind(kinds):
    none = torch.zeros(50)
    for function in (functional.critic_loss, *ESTIMATES.values()):
        tj, tm = (x.requires_grad_() for x in logits()[2:])
        value = function(tj, tm, *(none if empty else None for empty in kinds))
        assert value.isfinite()
        value.backward()
        assert all(x.grad is None or x.grad.isfinite().all() for x in (tj, tm))


@pytest.mark.parametrize("kinds", [(True, False), (False, True)])
def test_pairs_of_one_kind_alone_teach_nothing(kinds):
    tj, tm = (x.requires_grad_() for x in logits()[2:])
    weights = [torch.zeros(50) if empty else torch.full((50,), 0.02) for empty in kinds]
    loss = functional.critic_loss(tj, tm, *weights)
    loss.backward()
    assert loss == 0 and not tj.grad.any() and not tm.grad.any()


def test_estimates_of_the_optimal_critic_are_the_mutual_information():
    nats = 0.5
    rho = math.sqrt(1 - math.exp(-2 * nats))
    x, z = torch.randn(2, 400_000, dtype=torch.float64)
    y = rho * x + math.sqrt(1 - rho**2) * z

    def critic(x, y):
        quadratic = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))
        return nats - quadratic

    joint, marginal = critic(x, y), critic(x, y.roll(1))
    for name, estimate in ESTIMATES.items():
        assert estimate(joint, marginal).item() == pytest.approx(nats, abs=0.02), name


@given(finite, positive, positive)
def test_augmented_lagrangian_is_eq_22(violation, multiplier, mu):
    if violation >= -multiplier / mu:
        expected = multiplier * violation + mu / 2 * violation**2
    else:
        expected = -(multiplier**2) / (2 * mu)
    got = functional.augmented_lagrangian(
        torch.tensor(violation, dtype=torch.float64), multiplier, mu
    )
    assert got.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_gradient_of_the_augmented_lagrangian_is_the_next_multiplier():
    violation = torch.tensor([0.5, -0.1, -3.0], dtype=torch.float64)
    multiplier = torch.full((3,), 0.2, dtype=torch.float64)
    slope = vmap(grad(functional.augmented_lagrangian))(violation, multiplier)
    torch.testing.assert_close(slope, functional.multiplier_step(multiplier, violation))


@given(positive, finite, finite, positive, finite)
def test_steps_of_the_weights_are_eqs_18_23_24(weight, a, b, rate, bias):
    t = [torch.tensor(x, dtype=torch.float64) for x in (weight, a, b)]
    cases = [
        (functional.gamma_robust(*t, rate, bias), max(0, weight + rate * (a - b - bias))),
        (functional.gamma_variational(t[0], t[1], bias, rate), max(0, weight + rate * (a - bias))),
        (functional.multiplier_step(t[0], t[1], rate), max(0, weight + rate * a)),
    ]
    for got, expected in cases:
        assert got.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert got >= 0


def test_variational_penalty_is_eq_21():
    assert functional.variational_penalty(torch.tensor(3.0), torch.tensor(0.5)) == 1.5


def test_variational_bound_is_the_kl_divergence_of_gaussians():
    mean, log_var = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    expected = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
    posterior = mireg.diagonal_gaussian(mean, log_var)
    zeros = torch.zeros(4, dtype=torch.float64)
    got = functional.variational_bound(posterior, mireg.diagonal_gaussian(zeros, zeros, 0))
    torch.testing.assert_close(got, expected)


def test_variational_bound_without_a_closed_form_is_monte_carlo():
    posterior = Independent(LogNormal(torch.zeros(64, 3), torch.ones(64, 3)), 1)
    prior = Independent(Gamma(torch.full((3,), 2.0), torch.ones(3)), 1)
    with pytest.raises(NotImplementedError):
        kl_divergence(posterior, prior)
    got = functional.variational_bound(posterior, prior, samples=4000)
    # E log q - E log r, by hand: log q = -z²/2 - z - log √2π and log r = z - e^z, for z normal.
    expected = 3 * (-0.5 - 0.5 * math.log(2 * math.pi) + math.exp(0.5))
    assert got.item() == pytest.approx(expected, abs=0.05)


def test_monte_carlo_bound_needs_rsample_and_log_prob():
    class Silent(Distribution):
        """Can neither be sampled nor scored."""

        has_rsample = False

    silent = Silent(torch.Size((4,)), torch.Size((2,)), validate_args=False)
    laplace = Independent(Laplace(torch.zeros(4, 2), torch.ones(4, 2)), 1)
    with pytest.raises(TypeError, match="rsample, got Silent"):
        functional.variational_bound(silent, laplace)
    with pytest.raises(TypeError, match="Independent and Silent.*log_prob"):
        functional.variational_bound(laplace, silent)


@pytest.mark.parametrize("name", ESTIMATES)
def test_estimates_map_and_differentiate_over_batches(name):
    joint, marginal = torch.randn(3, 8), torch.randn(3, 8)
    estimate = ESTIMATES[name]
    expected = torch.stack([estimate(j, m) for j, m in zip(joint, marginal, strict=True)])
    torch.testing.assert_close(vmap(estimate)(joint, marginal), expected)
    assert vmap(grad(estimate))(joint, marginal).shape == (3, 8)
    loss = vmap(functional.critic_loss)(joint, marginal)
    assert loss.shape == (3,)


def test_half_precision_logits_are_reduced_in_float32():
    joint, marginal = torch.randn(2, 4096)
    for function in (functional.critic_loss, *ESTIMATES.values()):
        got = function(joint.bfloat16(), marginal.bfloat16())
        assert got.dtype == torch.float32
        expected = function(joint.bfloat16().double(), marginal.bfloat16().double()).float()
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_bound_of_a_full_covariance_posterior_has_a_closed_form():
    tril = torch.eye(3).expand(6, 3, 3) * 0.5
    posterior = MultivariateNormal(torch.ones(6, 3), scale_tril=tril)
    pi = posterior.rsample()
    bound = mireg.VariationalBound()(pi, torch.zeros(6, 2), posterior)
    diagonal = mireg.diagonal_gaussian(torch.ones(6, 3), torch.full((6, 3), math.log(0.25)))
    expected = mireg.VariationalBound()(pi, torch.zeros(6, 2), diagonal)
    torch.testing.assert_close(bound.loss, expected.loss)


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize("masked", [False, True])
def test_huge_logits_give_no_nan_gradient(name, masked):
    joint = torch.zeros(4, requires_grad=True)
    marginal = torch.tensor([0.0, 0.0, 0.0, 200.0], requires_grad=True)
    weights = torch.tensor([1, 1, 1, 0]) / 3 if masked else None
    violation = ESTIMATES[name](joint, marginal, None, weights) - 0.125
    functional.augmented_lagrangian(violation, 0.1).backward()
    assert joint.grad.isfinite().all()
    assert marginal.grad is None or marginal.grad.isfinite().all()
