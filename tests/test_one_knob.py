"""ε is the only number to set: the same codes leak the same, in whatever unit the loss of the task is."""

import math
import warnings

import pytest
import torch

import mireg
from mireg import weights

EPSILON = 0.125
STEPS = {0.01: 1200, 1.0: 400, 100.0: 400}
"""Factors of the loss, and how long λ takes to find its place: from above it goes through a time in which the codes tell nothing."""


LAST = 150
"""Over how many of the last steps numbers are averaged."""


class Encoder(torch.nn.Module):
    """A linear encoder of two numbers with noise, of which all is known in closed form."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Linear(2, 2, bias=False)
        self.log_var = torch.nn.Parameter(torch.full((2,), -1.0))

    def forward(self, x):
        return mireg.diagonal_gaussian(self.mean(x), self.log_var.expand(len(x), 2))

    @torch.no_grad()
    def covariances(self):
        """Returns the covariance of pi for one value of x[0], that for all, and the slope of its mean in x[0]."""
        a, b = self.mean.weight.unbind(1)
        given = torch.diag(self.log_var.exp()) + torch.outer(b, b)
        return given, given + torch.outer(a, a), a

    def leak(self):
        """Returns I(pi; x[0]) in nats."""
        given, total, _ = self.covariances()
        return 0.5 * float(torch.logdet(total) - torch.logdet(given))


class Optimal(torch.nn.Module):
    """The critic that is never wrong: the logarithm of the ratio of the densities."""

    def __init__(self, encoder):
        super().__init__()
        # In a tuple it is no part of the critic.
        self.encoder = (encoder,)

    def forward(self, pi, alpha):
        given, total, slope = self.encoder[0].covariances()
        rest = pi - alpha * slope
        squares = (pi @ total.inverse() * pi).sum(1) - (rest @ given.inverse() * rest).sum(1)
        return squares / 2 + self.encoder[0].leak()


def trained(factor, steps):
    """Trains on a task that wants both numbers, and returns the leak of the first, the loss, and the price of a nat."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(), torch.nn.Linear(2, 2)
    # Without units or temperatures to learn: what is left are the weights of the class.
    constraint = mireg.RobustMIConstraint.paper(
        2,
        1,
        epsilon=EPSILON,
        critic=lambda: Optimal(encoder),
        multiplier=weights.LogMultiplier(),
        gamma=weights.RelativeGamma(),
        estimator=mireg.estimators.MeanLogit(),
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-2)
    leaks, losses = [], []
    for step in range(steps):
        x = torch.randn(256, 2)
        posterior = encoder(x)
        pi = posterior.rsample()
        penalty = constraint(pi, x[:, :1], posterior)
        task = (decoder(pi) - x).square().sum(1).mean()
        optimizer.zero_grad()
        (factor * task + penalty.loss).backward()
        optimizer.step()
        constraint.update(penalty)
        if step >= steps - LAST:
            leaks.append(encoder.leak())
            losses.append(task.item())
    leak, loss = (sum(x) / LAST for x in (leaks, losses))
    return leak, loss, constraint.multiplier.value.item()


@pytest.fixture(scope="module")
def runs():
    with warnings.catch_warnings():
        # While λ falls to the scale of a small loss, the code is nearly empty.
        warnings.filterwarnings("ignore", ".*nearly empty.*While λ still falls, wait")
        return {factor: trained(factor, steps) for factor, steps in STEPS.items()}


@pytest.mark.slow
def test_a_hundredth_or_a_hundred_of_the_loss_leaves_the_same_leak(runs):
    leaks = [leak for leak, _, _ in runs.values()]
    assert leaks == pytest.approx([EPSILON] * len(STEPS), rel=0.15)


def test_the_task_keeps_what_it_may_know_at_any_scale(runs):
    """Without either number the loss is 2, and without the first alone 1: the second is nobody's secret."""
    losses = [loss for _, loss, _ in runs.values()]
    assert all(loss < 1 for loss in losses), losses
    assert max(losses) < 1.1 * min(losses), losses


def test_the_price_of_a_nat_is_in_the_unit_of_the_loss(runs):
    prices = [math.log(price / factor) for factor, (_, _, price) in runs.items()]
    assert max(prices) - min(prices) < math.log(1.3), prices
