"""No gradient crosses between critics and encoders, for any sum of terms."""

import copy

import pytest
import torch
from problems import (
    ALPHA,
    PI,
    after_steps,
    codes,
    copied,
    pulling,
)

import mireg


def test_critic_losses_never_reach_an_encoder(with_critics):
    mean, pi, alpha, posterior = codes()
    for loss in (
        with_critics(pi, alpha, posterior).critic_loss,
        with_critics.critic_loss(pi, alpha),
    ):
        with_critics.zero_grad()
        loss.backward()
        assert mean.grad is None and alpha.grad is None
        assert all(p.grad is not None for p in with_critics.critic_parameters())


def test_a_penalty_never_trains_a_critic(regularizer):
    mean, pi, alpha, posterior = codes()
    pulling(regularizer)(pi, alpha, posterior).loss.backward()
    assert all(p.grad is None for p in regularizer.critic_parameters())
    assert mean.grad.abs().sum() > 0
    assert alpha.grad is None


@pytest.mark.parametrize("how", ["a compiled part", "compiled in place"])
def test_a_penalty_never_trains_a_compiled_critic(how):
    """A compiled module calls its original, and so would a copy with constant parameters."""

    class Inner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(PI + ALPHA, 1)
            if how == "a compiled part":
                self.net = torch.compile(self.net, backend="eager")

        def forward(self, pi, alpha):
            return self.net(torch.cat((pi, alpha), 1)).squeeze(1)

    def make():
        critic = Inner()
        if how == "compiled in place":
            critic.compile(backend="eager")
        return critic

    multiplier = mireg.weights.FixedMultiplier(1.0)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=make, multiplier=multiplier)
    mean, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    penalty.loss.backward()
    assert all(p.grad is None for p in constraint.critic_parameters())
    assert mean.grad.abs().sum() > 0
    penalty.critic_loss.backward()
    assert all(p.grad is not None for p in constraint.critic_parameters())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script. is deprecated")
def test_a_scripted_critic_is_refused():
    with pytest.raises(TypeError, match="one that is scripted.*without torch.jit.script"):
        mireg.ClassifierMI(PI, ALPHA, critic=lambda: torch.jit.script(torch.nn.Linear(2, 1)))


@pytest.mark.parametrize("detached", [True, False], ids=["one backward", "two"])
def test_the_sum_of_both_losses_gives_each_side_its_own_gradient(with_critics, detached):
    """One backward pass for all is the same as one for the encoders and one for the critics."""
    results = []
    for together in (True, False):
        with_critics.zero_grad()
        mean, pi, alpha, posterior = codes()
        penalty = pulling(with_critics)(pi, alpha, posterior)
        if together:
            (penalty.loss + penalty.critic_loss).backward()
        elif detached:
            penalty.critic_loss.backward()
            penalty.loss.backward()
        else:
            penalty.loss.backward()
            penalty.critic_loss.backward()
        results.append([mean.grad, *(p.grad for p in with_critics.critic_parameters())])
    torch.testing.assert_close(*results)


def test_any_sum_of_terms_keeps_both_sides_apart():
    first, second = mireg.ClassifierMI(PI, ALPHA), mireg.RobustMIConstraint(PI, ALPHA)
    total = pulling(0.5 * (first + 2 * second) + mireg.VariationalBound())
    mean, pi, alpha, posterior = codes()
    penalty = total(pi, alpha, posterior)
    penalty.loss.backward(retain_graph=True)
    assert all(p.grad is None for p in total.critic_parameters())
    of_encoder = mean.grad.clone()
    penalty.critic_loss.backward()
    assert mean.grad.equal(of_encoder)
    assert all(p.grad.abs().sum() > 0 for p in total.critic_parameters())


def test_the_critic_loss_of_a_penalty_is_that_of_the_critics_alone(with_critics):
    after_steps(with_critics)
    _, pi, alpha, posterior = codes()
    alone = with_critics.critic_loss(pi, alpha)
    torch.testing.assert_close(with_critics(pi, alpha, posterior).critic_loss, alone)


def test_a_factor_scales_the_penalty_and_not_the_critics(with_critics):
    _, pi, alpha, posterior = codes()
    plain, half = with_critics(pi, alpha, posterior), (0.5 * with_critics)(pi, alpha, posterior)
    torch.testing.assert_close(half.loss, 0.5 * plain.loss)
    assert half.critic_loss.equal(plain.critic_loss)


def test_the_shadow_never_sends_a_gradient_to_an_encoder():
    # The penalty must not depend on the shadow at all: another shadow, the same loss and the same gradient.
    constraint = pulling(mireg.RobustMIConstraint(PI, ALPHA))
    results = []
    for scale in (1.0, 100.0):
        with torch.no_grad():
            for p in constraint.critics.critics[1].parameters():
                p.mul_(scale)
        mean, pi, alpha, posterior = codes()
        penalty = constraint(pi, alpha, posterior)
        assert not penalty.metrics["mi_shadow"].requires_grad
        penalty.loss.backward()
        results.append((penalty.loss.detach(), mean.grad, penalty.metrics["mi_shadow"]))
    (loss, gradient, seen), (other_loss, other_gradient, other_seen) = results
    assert loss.equal(other_loss) and gradient.equal(other_gradient)
    assert not seen.equal(other_seen)


def test_the_shadow_is_trained_by_its_own_loss_alone():
    constraint = pulling(mireg.RobustMIConstraint(PI, ALPHA))
    shadow = constraint.critics.critics[1]
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    penalty.loss.backward()
    assert all(p.grad is None for p in shadow.parameters())
    penalty.critic_loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in shadow.parameters())


def test_critic_and_shadow_start_apart():
    critic, shadow = mireg.RobustMIConstraint(PI, ALPHA).critics.critics
    assert not any(
        p.equal(q) for p, q in zip(critic.parameters(), shadow.parameters(), strict=True)
    )


def ask(encoder, constraint, x, alpha, seed):
    torch.manual_seed(seed)
    posterior = mireg.diagonal_gaussian(encoder(x), torch.zeros(len(x), PI))
    return constraint(posterior.rsample(), alpha, posterior)


def test_one_optimizer_with_two_groups_and_two_optimizers_train_alike():
    torch.manual_seed(0)
    encoder = torch.nn.Linear(3, PI)
    constraint = pulling(mireg.RobustMIConstraint(PI, ALPHA))
    twin_encoder, twin = copy.deepcopy(encoder), copy.deepcopy(constraint)
    rates = {encoder: 1e-3, constraint: 3e-3}
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in rates.items()]
    one = torch.optim.Adam(groups)
    of_encoder = torch.optim.Adam(twin_encoder.parameters(), lr=1e-3)
    of_critics = torch.optim.Adam(twin.parameters(), lr=3e-3)
    for seed in range(5):
        x, alpha = torch.randn(16, 3), torch.randn(16, ALPHA)
        penalty = ask(encoder, constraint, x, alpha, seed)
        one.zero_grad()
        (penalty.loss + penalty.critic_loss).backward()
        one.step()
        constraint.update(penalty)

        penalty = ask(twin_encoder, twin, x, alpha, seed)
        for optimizer, loss in ((of_encoder, penalty.loss), (of_critics, penalty.critic_loss)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        twin.update(penalty)
    assert encoder.weight.equal(twin_encoder.weight)
    torch.testing.assert_close(copied(constraint), copied(twin), rtol=0, atol=0)
    assert {id(p) for p in constraint.parameters()} == {
        id(p) for p in constraint.critic_parameters()
    }
