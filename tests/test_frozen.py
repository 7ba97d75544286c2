"""Critics of any make: what is inside of them works, and the second pass of a penalty leaves it alone."""

import copy
from functools import partial

import pytest
import torch
from problems import ALPHA, PI, codes, copied, optimizer_of, train_step
from torch import nn
from torch.utils.checkpoint import checkpoint

import mireg
from mireg._frozen import call_frozen


class Plain(nn.Module):
    """A perceptron on concatenated codes, whose middle may be wrapped."""

    def __init__(self, layer=None, run=None):
        super().__init__()
        self.first = nn.Linear(PI + ALPHA, 8)
        self.middle = layer or nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 8))
        self.last = nn.Linear(8, 1)
        self.run = run or (lambda module, x: module(x))

    def forward(self, pi, alpha):
        hidden = self.first(torch.cat((pi, alpha), dim=1))
        return self.last(self.run(self.middle, hidden)).squeeze(1)


class Tied(Plain):
    """One layer, used twice under two names."""

    def __init__(self):
        super().__init__()
        layer = nn.Linear(8, 8)
        self.middle = nn.Sequential(layer, nn.Tanh(), layer)


CRITICS = {
    "plain": Plain,
    "checkpoint": lambda: Plain(run=partial(checkpoint, use_reentrant=False)),
    "checkpoint, reentrant": lambda: Plain(run=partial(checkpoint, use_reentrant=True)),
    "spectral norm": lambda: Plain(
        nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)),
    ),
    "spectral norm, by hooks": lambda: Plain(nn.utils.spectral_norm(nn.Linear(8, 8))),
    "weight norm": lambda: Plain(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))),
    "batch norm": lambda: Plain(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))),
    "one layer twice": Tied,
}
# torch 2.13 deprecates the hooks, and people still have them.
pytestmark = pytest.mark.filterwarnings("ignore:.*spectral_norm.*")


@pytest.fixture(params=CRITICS)
def make(request):
    return CRITICS[request.param]


def constraint_of(make):
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA, critic=make)
    constraint.multiplier.state.fill_(5.0)
    return constraint


def test_both_sides_get_their_gradients_through_any_critic(make):
    constraint = constraint_of(make)
    mean, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    (penalty.loss + penalty.critic_loss).backward()
    assert mean.grad.abs().sum() > 0
    assert all(p.grad is not None for p in constraint.critic_parameters())


def test_a_penalty_never_trains_any_critic(make):
    constraint = constraint_of(make)
    mean, pi, alpha, posterior = codes()
    constraint(pi, alpha, posterior).loss.backward()
    assert all(p.grad is None for p in constraint.critic_parameters())
    assert mean.grad.abs().sum() > 0


def test_the_gradient_for_encoders_is_that_of_the_critic_itself(make):
    constraint = constraint_of(make).eval()
    mean, pi, alpha, posterior = codes()
    constraint.critics.critics[0](pi, alpha).mean().backward(retain_graph=True)
    got, mean.grad = mean.grad, None
    mi = constraint(pi, alpha, posterior).loss - constraint(pi, alpha, posterior).metrics[
        "gamma"
    ] * constraint.bound.kl(pi, posterior)
    mi.backward()
    # The loss is a function of the estimate: its gradient has the direction of the estimate's.
    torch.testing.assert_close(mean.grad / mean.grad.norm(), got / got.norm(), rtol=1e-4, atol=1e-5)


def test_the_second_pass_of_a_penalty_touches_no_buffer(make):
    """A call on codes with gradients leaves what a call on codes without leaves, which makes one pass only."""
    constraint = constraint_of(make)
    twin = copy.deepcopy(constraint)
    _, pi, alpha, posterior = codes()
    constraint(pi, alpha, posterior)
    twin(pi.detach(), alpha, posterior)
    torch.testing.assert_close(copied(constraint), copied(twin), rtol=0, atol=0)


def test_evaluation_touches_no_buffer_at_all(make):
    constraint = constraint_of(make).eval()
    before = copied(constraint)
    constraint(*codes()[1:])
    torch.testing.assert_close(copied(constraint), before, rtol=0, atol=0)


def test_any_critic_learns_over_steps(make):
    constraint = constraint_of(make)
    optimizer = optimizer_of(constraint)
    before = [p.clone() for p in constraint.critic_parameters()]
    for seed in range(3):
        assert train_step(constraint, optimizer, seed).loss.isfinite()
    moved = zip(before, constraint.critic_parameters(), strict=True)
    assert all(not p.equal(q) for p, q in moved)


def test_a_reading_keeps_the_buffers_that_the_critic_learns_by():
    """The first pass is that of a training step: batch norm follows the codes."""
    constraint = constraint_of(CRITICS["batch norm"])
    norm = constraint.critics.critics[0].module.middle[1]
    constraint(*codes()[1:])
    assert norm.num_batches_tracked == 1 and norm.running_mean.abs().sum() > 0


@pytest.mark.parametrize("trained", [False, True])
def test_func_grad_over_a_penalty_is_its_gradient(trained):
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    optimizer = optimizer_of(constraint)
    for seed in range(3 * trained):
        train_step(constraint, optimizer, seed)
    mean, _, alpha, _ = codes()
    noise = torch.randn(16, PI)

    def loss(mean):
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        return constraint(mean + noise, alpha, posterior).loss

    (expected,) = torch.autograd.grad(loss(mean), mean)
    torch.testing.assert_close(torch.func.grad(loss)(mean.detach()), expected)
    # Nothing of the transform is left behind.
    train_step(copy.deepcopy(constraint), optimizer, 9)


def test_func_grad_goes_over_labels_and_over_critics_too():
    constraint = mireg.RobustMIConstraint(PI, classes=3, rows=0)
    mean = codes()[0].detach()
    labels = torch.arange(16) % 3

    def loss(mean, labels):
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        return constraint(mean, labels, posterior).loss

    assert torch.func.grad(loss)(mean, labels).abs().sum() > 0

    name, weight = next(constraint.named_parameters())

    def critic_loss(parameter):
        state = {name: parameter}
        return torch.func.functional_call(
            constraint, state, (mean, labels, mireg.diagonal_gaussian(mean, torch.zeros(16, PI)))
        ).critic_loss

    assert torch.func.grad(critic_loss)(weight.detach()).abs().sum() > 0


def test_a_frozen_call_is_the_call_with_constants():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    x = torch.randn(8, 3, requires_grad=True)
    before = copied(module)
    frozen = call_frozen(module, x)
    assert before.keys() == module.state_dict().keys()
    torch.testing.assert_close(copied(module), before, rtol=0, atol=0)
    torch.testing.assert_close(frozen, module(x))
    frozen.sum().backward()
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert x.grad.shape == x.shape
