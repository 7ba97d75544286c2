"""Codes in any unit: what is read does not change."""

import math
import statistics

import pytest
import torch
from problems import ALPHA, PI, codes, copied, no_encoder, optimizer_of, train_on

import mireg
from mireg.scaling import Standardization

RANKS = mireg.Ranks()
UNITS = {
    "years": (1985.0, 10.0),
    "income": (50_000.0, 30_000.0),
    "seconds": (1.6e9, 1e7),
    "tiny": (0.0, 1e-9),
}


def test_codes_have_zero_mean_and_unit_variance_at_once():
    shapes = {(3,): 0, (3, 5, 5): (0, 2, 3), (6, 3): (0, 1), (3, 2, 5, 5): (0, 2, 3, 4)}
    for shape, over in shapes.items():
        x = 7 + 3 * torch.rand(256, *shape)
        y = Standardization(shape)(x)
        torch.testing.assert_close(y.mean(over), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(y.var(over, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_the_distances_of_outliers_are_logarithmic():
    layer = Standardization(1)
    layer.moments.state.copy_(torch.tensor([1.0, 10.0, 4.0]))
    for distance, expected in (
        (2.9, 2.9),
        (3.0, 3.0),
        (4.0, 3 + math.log(2)),
        (1e6, 3 + math.log(1e6 - 2)),
    ):
        for side in (1, -1):
            x = torch.tensor([[10 + side * 2 * distance]], requires_grad=True)
            y = layer(x)
            assert y.item() == pytest.approx(side * expected, rel=1e-5)
            y.sum().backward()
            slope = 1 / (1 + max(distance - 3, 0))
            assert x.grad.item() == pytest.approx(slope / 2, rel=1e-4)


def estimates_with_an_outlier(seed):
    torch.manual_seed(seed)
    constraint = mireg.RobustMIConstraint(2, 1)
    optimizer = torch.optim.Adam(constraint.parameters(), 3e-3)

    def penalty_of(income):
        mean = torch.cat((income, torch.randn(64, 1)), dim=1).clamp(-3, 3)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros(64, 2))
        return constraint(posterior.rsample(), income, posterior)

    for _ in range(150):
        penalty = penalty_of(torch.randn(64, 1))
        optimizer.zero_grad()
        penalty.critic_loss.backward()
        optimizer.step()
        constraint.update(penalty)
    assert penalty.metrics["mi_average"] > 0.15
    income = torch.randn(64, 1)
    income[0] = 100.0
    penalty = penalty_of(income)
    return [penalty.metrics["mi"].item(), penalty.metrics["mi_shadow"].item()]


@no_encoder
def test_one_outlier_does_not_outweigh_the_batch():
    """With plain distances, this income gives estimates of -29 to -152 nats in these seeds."""
    found = [x for seed in range(5) for x in estimates_with_an_outlier(seed)]
    assert statistics.median(found) > -0.5
    assert min(found) > -5


def test_a_call_writes_nothing():
    layer = Standardization(3)
    before = copied(layer)
    layer(torch.randn(8, 3))
    torch.testing.assert_close(copied(layer), before, rtol=0, atol=0)


def test_running_moments_are_those_of_a_reference_by_hand():
    layer, decay = Standardization(2), 0.99
    weight, mean, variance = 0.0, torch.zeros(2).double(), torch.zeros(2).double()
    for _ in range(50):
        x = torch.tensor([5.0, -3.0]) + torch.randn(16, 2) * torch.tensor([1.0, 4.0])
        centre = mean / weight if weight else x.double().mean(0)
        layer.update(layer.measure(x, RANKS).observed)
        squares = (x - centre).double().square().mean(0)
        weight = decay * weight + 1 - decay
        mean = decay * mean + (1 - decay) * x.double().mean(0)
        variance = decay * variance + (1 - decay) * squares
        expected = torch.cat((torch.tensor([weight]).double(), mean, variance))
        torch.testing.assert_close(layer.moments.state, expected, rtol=1e-4, atol=1e-6)
    unit = layer.measure(x, RANKS)
    torch.testing.assert_close(unit.centre.flatten(), torch.tensor([5.0, -3.0]), atol=0.5, rtol=0.1)
    torch.testing.assert_close(unit.scale.flatten(), torch.tensor([1.0, 4.0]), atol=0.1, rtol=0.2)


def test_moments_follow_codes_that_drift():
    layer = Standardization(1)
    for step in range(600):
        layer.update(layer.measure(0.01 * step + torch.randn(64, 1), RANKS).observed)
    unit = layer.measure(6 + torch.randn(4096, 1), RANKS)
    assert abs(unit.centre.item() - 5) < 0.3 and 1 < unit.scale.item() < 2


def test_a_constant_feature_is_no_reason_for_large_numbers():
    x = torch.tensor([1.0, 1e9]) * torch.ones(8, 2)
    layer = Standardization(2)
    for _ in range(3):
        y = layer(x)
        assert y.isfinite().all() and y.abs().max() < 2
        layer.update(layer.measure(x, RANKS).observed)
    assert layer.constant()
    layer.update(layer.measure(x + torch.randn(8, 2), RANKS).observed)
    assert not layer.constant()


@pytest.mark.parametrize("constant", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("before", [0, 1], ids=["from the start", "of late"])
def test_a_feature_that_does_not_vary_gets_no_gradient(constant, before):
    """A cell that is never drawn would get a gradient times 1e12, which drowns all others."""
    torch.manual_seed(0)
    layer = Standardization(2)
    for step in range(4000):
        x = torch.randn(16, 2)
        x[:, 1] = constant + before * (step < 10) * x[:, 1]
        layer.update(layer.measure(x, RANKS).observed)
    x.requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    assert y[:, 1].eq(0).all() and x.grad[:, 1].eq(0).all()
    assert x.grad[:, 0].ne(0).all()
    # It is back as soon as it varies.
    assert layer(torch.randn(16, 2) + torch.tensor([0, constant + 0.1]))[:, 1].ne(0).all()


@pytest.mark.parametrize("name", UNITS)
def test_a_reading_does_not_depend_on_the_unit(name):
    """Two features in another unit, steps in which critics learn included: pi[0] = .8 z + .6 n, alpha = z."""
    shift, scale = UNITS[name]
    readings, n = [], 32
    for in_unit in (lambda x: x, lambda x: scale * x + shift):
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        constraint = mireg.RobustMIConstraint(PI, 1, rows=2 * n)
        optimizer = optimizer_of(constraint, 3e-3)
        for _ in range(10):
            z, noise = (
                torch.randn(n, generator=generator),
                torch.randn(n, PI, generator=generator),
            )
            pi = noise.clone()
            pi[:, 0] = 0.8 * z + 0.6 * noise[:, 0]
            posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
            penalty = train_on(constraint, optimizer, pi.requires_grad_(), in_unit(z), posterior)
        readings.append([penalty.metrics[m].item() for m in ("mi", "mi_shadow", "accuracy")])
    # Seconds since 1970 in float32 are rounded to 128: a hundred-thousandth of their deviation.
    assert readings[1] == pytest.approx(readings[0], abs=5e-3)


@pytest.mark.parametrize("name", ["years", "income", "tiny"])
def test_pi_may_have_any_unit_too_and_its_gradient_has_it(name):
    shift, scale = UNITS[name]
    gradients = []
    for factor, offset in ((1.0, 0.0), (scale, shift)):
        torch.manual_seed(0)
        classifier = mireg.ClassifierMI(PI, ALPHA)
        classifier.average.update(torch.tensor(0.5))
        pi, alpha = (x.detach().double() for x in codes()[1:3])
        classifier.double()
        pi = (factor * pi + offset).requires_grad_()
        for _ in range(2):
            penalty = classifier(pi, alpha)
            classifier.update(penalty)
        (gradient,) = torch.autograd.grad(classifier(pi, alpha).loss, pi)
        gradients.append(factor * gradient)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_a_batch_that_is_not_finite_moves_no_moment():
    layer = Standardization(3)
    layer.update(layer.measure(torch.randn(8, 3), RANKS).observed)
    before = copied(layer)
    for bad in (torch.nan, torch.inf):
        x = torch.randn(8, 3)
        x[2, 1] = bad
        layer.update(layer.measure(x, RANKS).observed)
    layer.update(layer.measure(torch.randn(8, 3), RANKS).observed, torch.tensor(False))
    torch.testing.assert_close(copied(layer), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_moments_stay_exact_when_the_model_is_cast(dtype):
    layer = Standardization(2)
    layer.update(layer.measure(1985 + 10 * torch.randn(64, 2), RANKS).observed)
    before = copied(layer)
    torch.testing.assert_close(copied(layer.to(dtype)), before, rtol=0, atol=0)


def test_impossible_settings_of_a_scale_are_named():
    with pytest.raises(ValueError, match="features must be a positive int"):
        Standardization(0)
    with pytest.raises(ValueError, match="got nan"):
        Standardization(3, decay=float("nan"))
