"""ε is the only number to set: the same codes leak the same, in whatever unit the loss of the task is."""

import math

import pytest
import torch

import mireg

EPSILON = 0.125


class Encoder(torch.nn.Module):
    """A linear encoder of two numbers with noise, whose information about the first is known in closed form."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Linear(2, 2, bias=False)
        self.log_var = torch.nn.Parameter(torch.full((2,), -2.0))

    def forward(self, x):
        return mireg.diagonal_gaussian(self.mean(x), self.log_var.expand(len(x), 2))

    def leak(self):
        """Returns I(pi; x[0]) in nats."""
        with torch.no_grad():
            noise = torch.diag(self.log_var.exp().double())
            a, b = self.mean.weight.double().unbind(1)
            given = noise + torch.outer(b, b)
            return 0.5 * float(torch.logdet(given + torch.outer(a, a)) - torch.logdet(given))


def trained(factor, steps=700):
    """Trains on a task that wants both numbers, and returns the leak of the first and the loss of the task."""
    torch.manual_seed(0)
    encoder, decoder = Encoder(), torch.nn.Linear(2, 2)
    constraint = mireg.RobustMIConstraint(
        2, 1, epsilon=EPSILON, critic=lambda: mireg.SeparableCritic(2, 1, width=32, depth=2), rows=0
    )
    optimizer = torch.optim.Adam(
        [
            {"params": [*encoder.parameters(), *decoder.parameters()], "lr": 1e-2},
            {"params": constraint.parameters(), "lr": 1e-2},
        ]
    )
    leaks, losses = [], []
    for step in range(steps):
        x = torch.randn(128, 2)
        posterior = encoder(x)
        pi = posterior.rsample()
        penalty = constraint(pi, x[:, :1], posterior)
        task = (decoder(pi) - x).square().sum(1).mean()
        optimizer.zero_grad()
        (factor * task + penalty.loss + penalty.critic_loss).backward()
        optimizer.step()
        constraint.update(penalty)
        if step >= steps - 200:
            leaks.append(encoder.leak())
            losses.append(task.item())
    return sum(leaks) / len(leaks), sum(losses) / len(losses), constraint.multiplier.value.item()


@pytest.fixture(scope="module")
def runs():
    return {factor: trained(factor) for factor in (0.01, 1.0, 100.0)}


def test_a_hundredth_or_a_hundred_of_the_loss_leaves_the_same_leak(runs):
    leaks = [leak for leak, _, _ in runs.values()]
    assert all(0.3 * EPSILON < leak < 1.5 * EPSILON for leak in leaks), leaks
    assert max(leaks) - min(leaks) < 0.5 * EPSILON, leaks


def test_the_task_keeps_what_it_may_know_at_any_scale(runs):
    """The second number is nobody's secret: without either, the loss is 2; without the first alone, 1."""
    losses = [loss for _, loss, _ in runs.values()]
    assert all(loss < 1.2 for loss in losses), losses
    assert max(losses) < 1.1 * min(losses), losses


def test_the_price_of_a_nat_is_in_the_unit_of_the_loss(runs):
    prices = [math.log(price / factor) for factor, (_, _, price) in runs.items()]
    assert max(prices) - min(prices) < math.log(4), prices
