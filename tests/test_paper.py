"""The published recipe: γ, λ, averages and loss against a reference written by hand, and the columns of Table 1."""

import copy

import numpy as np
import pytest
import torch
from problems import ALPHA, PI, codes, no_encoder

import mireg
from mireg import weights as w

STEPS = 200


def towers():
    return mireg.SeparableCritic(PI, PI, width=32, depth=1)


def stream(step):
    """Gives codes that depend on each other less and less, so that both weights rise and fall."""
    generator = torch.Generator().manual_seed(step)
    alpha, noise = torch.randn(2, 32, PI, generator=generator)
    share = max(0.0, 1 - step / 150)
    return (share * alpha + 0.1 * noise).requires_grad_(), alpha


class ByHand:
    """The recipe in numpy, from the logits of joint pairs alone."""

    def __init__(self, epsilon=0.125, mu=0.1, rate=0.01, bias=0.01, decay=0.99, gamma=1.0):
        self.epsilon, self.mu, self.rate, self.bias, self.decay = epsilon, mu, rate, bias, decay
        self.gamma, self.multiplier, self.weight = gamma, 0.0, 0.0
        self.averages = np.zeros(2)

    def loss(self, mi, kl):
        violation, multiplier = mi - self.epsilon, self.multiplier
        if violation >= -multiplier / self.mu:
            lagrangian = multiplier * violation + self.mu / 2 * violation**2
        else:
            lagrangian = -(multiplier**2) / (2 * self.mu)
        return self.gamma * kl + lagrangian

    def update(self, mi, mi_shadow):
        self.averages = self.decay * self.averages + (1 - self.decay) * np.array([mi, mi_shadow])
        self.weight = self.decay * self.weight + 1 - self.decay
        average, shadow = self.averages / self.weight
        self.gamma = max(0.0, self.gamma + self.rate * (shadow - average - self.bias))
        self.multiplier = max(0.0, self.multiplier + self.mu * (mi - self.epsilon))


@no_encoder
def test_the_paper_matches_a_reference_by_hand_over_200_steps():
    torch.manual_seed(0)
    constraint = mireg.RobustMIConstraint.paper(PI, PI, critic=towers)
    critic, shadow = constraint.critics.critics
    optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-2, betas=(0.5, 0.9))
    hand, multipliers = ByHand(), []
    for step in range(STEPS):
        pi, alpha = stream(step)
        posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
        optimizer.zero_grad()
        constraint.critic_loss(pi, alpha).backward()
        optimizer.step()
        penalty = constraint(pi, alpha, posterior)

        with torch.no_grad():
            mi, mi_shadow = (
                network(pi, alpha).double().mean().item() for network in (critic, shadow)
            )
            kl = 0.5 * pi.double().square().sum(1).mean().item()
        assert penalty.loss.item() == pytest.approx(hand.loss(mi, kl), rel=1e-4, abs=1e-5)
        assert penalty.metrics["mi"].item() == pytest.approx(mi, rel=1e-4, abs=1e-5)
        assert penalty.metrics["mi_shadow"].item() == pytest.approx(mi_shadow, rel=1e-4, abs=1e-5)
        constraint.update(penalty)
        hand.update(mi, mi_shadow)

        averages = [average.value.item() for average in constraint.averages]
        assert averages == pytest.approx(list(hand.averages / hand.weight), abs=1e-5)
        assert constraint.gamma.value.item() == pytest.approx(hand.gamma, abs=1e-5)
        assert constraint.multiplier.value.item() == pytest.approx(hand.multiplier, abs=1e-4)
        multipliers.append(hand.multiplier)
    assert max(multipliers) > 0.2 and multipliers[-1] < max(multipliers)
    assert hand.gamma != 1.0


def test_the_loss_is_the_sum_of_eqs_21_and_22():
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA, gamma=w.RobustGamma(initial=2.0))
    constraint.multiplier.state.fill_(50.0)
    mean, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    kl, mi = penalty.metrics["kl"], constraint.critics.critics[0](pi, alpha).mean()
    violation = mi - 0.125
    expected = 2 * kl + 50 * violation + 0.05 * violation**2
    torch.testing.assert_close(penalty.loss, expected)
    # Eq. (19): the encoder of pi sees all of it.
    whole = 2 * constraint.bound.kl(pi, posterior) + 50 * violation + 0.05 * violation**2
    gradients = (torch.autograd.grad(x, mean, retain_graph=True)[0] for x in (penalty.loss, whole))
    torch.testing.assert_close(*gradients)


def test_the_critics_of_the_paper_minimise_eqs_10_and_11():
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA)
    _, pi, alpha, posterior = codes()
    shift = constraint.critics.negatives.shifts(16).item()
    expected = sum(
        mireg.functional.critic_loss(critic(pi, alpha), critic(pi, alpha.roll(-shift, 0)))
        for critic in constraint.critics.critics
    )
    torch.testing.assert_close(constraint.critic_loss(pi, alpha), expected)
    torch.testing.assert_close(constraint(pi, alpha, posterior).critic_loss, expected)


def test_the_recipe_of_the_paper_asks_critics_after_their_step():
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA)
    optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=0.01)
    _, pi, alpha, posterior = codes()
    readings = []
    for _ in range(3):
        optimizer.zero_grad()
        constraint.critic_loss(pi, alpha).backward()
        optimizer.step()
        metrics = constraint(pi, alpha, posterior).metrics
        now = constraint.critics.critics[0](pi, alpha).mean()
        torch.testing.assert_close(metrics["mi"], now.detach())
        readings.append(metrics["mi"].item())
    assert len(set(readings)) == 3


def test_the_recipe_has_the_published_values():
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA)
    assert constraint.epsilon == 0.125
    assert (constraint.multiplier.mu, constraint.multiplier.value) == (0.1, 0)
    gamma = constraint.gamma
    assert (gamma.rate, gamma.bias, gamma.value) == (0.01, 0.01, 1)
    assert [average.decay for average in constraint.averages] == [0.99, 0.99]
    assert isinstance(constraint.critics.estimators[0], mireg.estimators.MeanLogit)
    assert constraint.critics.negatives.count == 1
    assert constraint.critics.memory is None and not constraint.critics.scales


COLUMNS = {
    "a": lambda: mireg.RobustMIConstraint.paper(
        PI, ALPHA, gamma=w.VariationalGamma(), multiplier=w.FixedMultiplier(0)
    ),
    "b": lambda: mireg.RobustMIConstraint.paper(PI, ALPHA, gamma=w.FixedGamma(0)),
    "c": lambda: mireg.RobustMIConstraint.paper(PI, ALPHA, gamma=w.RobustGamma(bias=0)),
    "d": lambda: mireg.RobustMIConstraint.paper(PI, ALPHA, gamma=w.FixedGamma(1)),
    "e": lambda: mireg.RobustMIConstraint.paper(PI, ALPHA),
}
"""The columns of Table 1."""


def gamma_of_column(column, gamma, mi, mi_shadow, epsilon=0.125):
    """Returns the next γ of a column for estimates that never changed."""
    steps = {"a": mi_shadow - epsilon, "c": mi_shadow - mi, "e": mi_shadow - mi - 0.01}
    return max(0.0, gamma + 0.01 * steps.get(column, 0.0))


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_of_table_1_is_one_line(column):
    constraint = COLUMNS[column]()
    _, pi, alpha, posterior = codes()
    first = constraint(pi, alpha, posterior)
    metrics = {**first.metrics, "mi": torch.tensor(0.3), "mi_shadow": torch.tensor(0.5)}
    gamma, multiplier = (0.0 if column == "b" else 1.0), 0.0
    for _ in range(3):
        constraint.update(first._replace(metrics=metrics))
        gamma = gamma_of_column(column, gamma, 0.3, 0.5)
        multiplier += 0.0 if column == "a" else 0.1 * (0.3 - 0.125)
        assert constraint.gamma.value.item() == pytest.approx(gamma, abs=1e-6)
        assert constraint.multiplier.value.item() == pytest.approx(multiplier, abs=1e-6)
    second = constraint(pi, alpha, posterior)
    violation = second.metrics["mi"] - 0.125
    expected = gamma * second.metrics["kl"]
    if column != "a":
        expected = expected + mireg.functional.augmented_lagrangian(violation, multiplier)
    torch.testing.assert_close(second.loss.detach(), expected.detach(), rtol=1e-4, atol=1e-5)


def test_parts_of_one_constraint_are_not_those_of_another():
    first, second = COLUMNS["e"](), COLUMNS["e"]()
    _, pi, alpha, posterior = codes()
    before = copy.deepcopy(second.state_dict())
    first.update(first(pi, alpha, posterior))
    assert all(x.equal(second.state_dict()[name]) for name, x in before.items())
