"""What the regularizers return for any codes, alone and composed, and what an update takes."""

import copy

import pytest
import torch
from problems import (
    ALPHA,
    CLASSES,
    PI,
    NoSync,
    after_steps,
    codes,
    copied,
    mi_of,
    optimizer_of,
    pulling,
    small,
    train_on,
    train_step,
)
from torch.distributions import Independent, Laplace

import mireg
from mireg import weights

# --- what a penalty says ----------------------------------------------------


def test_estimates_are_what_critics_said_before_they_learnt_from_the_batch(with_critics):
    after_steps(with_critics)
    batch = codes()[1:]
    before = mi_of(copy.deepcopy(with_critics)(*batch))
    penalty = with_critics(*batch)
    optimizer = optimizer_of(with_critics, 0.1)
    penalty.critic_loss.backward()
    optimizer.step()
    assert mi_of(penalty) == before
    assert mi_of(with_critics(*batch)) != before


def test_the_gradient_of_a_penalty_is_that_of_the_critic_as_it_was_asked():
    """Steps of the critics between the call and the backward pass are allowed, and change no gradient."""
    constraint = pulling(mireg.ClassifierMI(PI, ALPHA))
    mean, pi, alpha, _ = codes()
    penalty = constraint(pi, alpha)
    (expected,) = torch.autograd.grad(penalty.loss, mean, retain_graph=True)
    constraint.update(penalty)
    (got,) = torch.autograd.grad(penalty.loss, mean)
    assert got.equal(expected) and got.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_update_before_the_backward_pass_is_allowed(dtype):
    constraint = pulling(mireg.RobustMIConstraint(PI, ALPHA)).to(dtype)
    pi = torch.randn(8, PI, dtype=dtype, requires_grad=True)
    posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
    penalty = constraint(pi, torch.randn(8, ALPHA, dtype=dtype), posterior)
    constraint.update(penalty)
    (penalty.loss + penalty.critic_loss).backward()
    assert pi.grad.abs().sum() > 0


def test_metrics_are_detached_scalars_with_stable_names(regularizer):
    _, pi, alpha, posterior = codes()
    first = regularizer(pi, alpha, posterior)
    copies = {name: value.clone() for name, value in first.metrics.items()}
    regularizer.update(first)
    second = regularizer(pi, alpha, posterior)
    assert first.metrics.keys() == second.metrics.keys()
    for name, value in first.metrics.items():
        assert value.ndim == 0 and not value.requires_grad
        assert value.equal(copies[name]), f"{name} changed after the fact"
    held = {**second.observed, **second.codes}
    assert not any(value.requires_grad for value in held.values())


def test_metrics_tell_how_well_the_critics_tell_pairs_apart():
    class Says(torch.nn.Module):
        def __init__(self, judge):
            super().__init__()
            self.judge = judge
            self.spare = torch.nn.Parameter(torch.zeros(()))

        def forward(self, pi, alpha):
            return self.judge(pi, alpha) + 0 * self.spare

    judges = iter(
        [
            lambda pi, alpha: (pi == alpha).all(1).float() - 0.5,
            lambda pi, alpha: torch.ones(len(pi)),
        ]
    )
    constraint = mireg.RobustMIConstraint.paper(PI, PI, critic=lambda: Says(next(judges)))
    _, pi, other, posterior = codes(alpha=PI)
    metrics = constraint(pi, pi, posterior).metrics
    assert (metrics["accuracy"], metrics["shadow_accuracy"]) == (1, 0.5)
    assert constraint(pi, other, posterior).metrics["accuracy"] == 0.5


def test_a_critic_without_parameters_is_a_critic_too():
    class Product(torch.nn.Module):
        def forward(self, pi, alpha):
            return pi[:, 0] * alpha[:, 0]

    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=Product)
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    constraint.update(penalty)
    assert penalty.loss.isfinite()


def test_repr_tells_the_target_and_the_weights():
    text = repr(mireg.RobustMIConstraint(PI, ALPHA, epsilon=0.2, gamma=weights.FixedGamma(3.5)))
    assert "epsilon=0.2" in text and "value=3.5" in text


def test_nothing_in_a_step_waits_for_the_device(regularizer):
    if getattr(regularizer, "label", False):
        pytest.skip("labels on the CPU are looked at: the next test has them on another device")
    groups = torch.arange(16) // 2
    optimizer = torch.optim.SGD([*regularizer.parameters(), torch.zeros(())], lr=0.1)
    with NoSync():
        for seed in range(3):
            _, pi, alpha, posterior = codes(seed=seed)
            penalty = regularizer(pi, alpha, posterior, groups=groups)
            (penalty.loss + penalty.critic_loss).backward()
            optimizer.step()
            regularizer.update(penalty)


def test_nothing_in_a_step_on_labels_waits_for_the_device():
    """On a device that has no values to wait for: whatever reads one raises."""
    robust = mireg.RobustMIConstraint(PI, classes=CLASSES, given_classes=CLASSES)
    constraint = mireg.PerAttribute({"one": robust}).to("meta")
    for groups in (None, torch.zeros(16, dtype=torch.int64, device="meta")):
        mean = torch.zeros(16, PI, device="meta", requires_grad=True)
        labels = torch.zeros(16, dtype=torch.int64, device="meta")
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        pi, given = posterior.rsample(), labels
        penalty = constraint(pi, {"one": labels}, posterior, groups=groups, given=given)
        (penalty.loss + penalty.critic_loss).backward()
        constraint.update(penalty)
    assert mean.grad.shape == mean.shape


def test_waiting_for_the_device_is_noticed():
    with pytest.raises(AssertionError, match="waits for the device"), NoSync():
        torch.ones(()).item()


# --- any codes --------------------------------------------------------------


def test_labels_can_be_removed():
    constraint = pulling(mireg.RobustMIConstraint(PI, classes=CLASSES))
    mean, pi, _, posterior = codes()
    penalty = constraint(pi, torch.arange(16) % CLASSES, posterior)
    (penalty.loss + penalty.critic_loss).backward()
    assert mean.grad.abs().sum() > 0
    assert all(p.grad.isfinite().all() for p in constraint.critic_parameters())


@pytest.mark.parametrize("shape", [(3, 4, 4), (6, 3), (2, 2, 2, 2)])
def test_maps_tokens_and_volumes_are_codes_too(shape):
    mean = torch.randn(8, *shape, requires_grad=True)
    posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
    constraint = pulling(mireg.RobustMIConstraint(shape, shape))
    for _ in range(2):
        penalty = constraint(posterior.rsample(), torch.randn(8, *shape), posterior)
        (penalty.loss + penalty.critic_loss).backward()
        constraint.update(penalty)
    assert mean.grad.abs().sum() > 0


def test_any_module_can_be_a_critic():
    class Squeezed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Bilinear(PI, ALPHA, 1)

        def forward(self, pi, alpha):
            return self.inner(pi, alpha).squeeze(1)

    constraint = pulling(mireg.RobustMIConstraint(PI, ALPHA, critic=Squeezed))
    mean, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    (penalty.loss + penalty.critic_loss).backward()
    assert all(p.grad.abs().sum() > 0 for p in constraint.critic_parameters())
    assert mean.grad.abs().sum() > 0


@pytest.mark.parametrize("n", [2, 3, 100, 200, 255, 300, 600])
@pytest.mark.parametrize("negatives", [None, 3])
def test_a_batch_of_any_size_goes_with_any_memory(n, negatives):
    chosen = None if negatives is None else mireg.pairs.ShiftedNegatives(negatives)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small(), negatives=chosen)
    for seed in range(2):
        penalty = train_step(constraint, optimizer_of(constraint), seed, n)
        assert penalty.loss.isfinite() and penalty.critic_loss.isfinite()


def test_a_batch_that_changes_its_size_goes_on():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small())
    for seed, n in enumerate((16, 300, 7, 129, 16)):
        assert train_step(constraint, optimizer_of(constraint), seed, n).loss.isfinite()


@pytest.mark.parametrize("negatives", [None, mireg.pairs.ShiftedNegatives(4)])
def test_a_batch_of_one_identity_teaches_no_critic(negatives):
    constraint = mireg.RobustMIConstraint(PI, ALPHA, negatives=negatives)
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior, groups=torch.zeros(16, dtype=torch.int64))
    (penalty.loss + penalty.critic_loss).backward()
    assert all(not p.grad.any() for p in constraint.critic_parameters())


# --- compositions and priors ------------------------------------------------


def test_a_sum_is_the_sum_of_its_terms_and_moves_each():
    bound, classifier = mireg.VariationalBound(gamma=2.0), mireg.ClassifierMI(PI, ALPHA)
    total = sum([0.5 * bound, classifier * 3])
    _, pi, alpha, posterior = codes()
    penalty = pulling(total)(pi, alpha, posterior)
    expected = 0.5 * bound(pi, alpha, posterior).loss + 3 * classifier(pi, alpha).loss
    torch.testing.assert_close(penalty.loss, expected)
    before = classifier.multiplier.value.item()
    total.update(penalty)
    assert classifier.multiplier.value.item() != before
    assert list(total.critic_parameters()) == list(classifier.critic_parameters())


def test_metrics_that_several_terms_have_are_told_apart():
    total = mireg.ClassifierMI(PI, ALPHA) + mireg.ClassifierMI(PI, ALPHA) + mireg.VariationalBound()
    _, pi, alpha, posterior = codes()
    metrics = total(pi, alpha, posterior).metrics
    assert {"0.mi", "1.mi", "kl", "gamma"} <= metrics.keys()


def test_priors_are_learnt_or_given():
    _, pi, alpha, posterior = codes()
    prior = mireg.LearnableGaussian(PI)
    mireg.VariationalBound(prior)(pi, alpha, posterior).loss.backward()
    assert prior.mean.grad.abs().sum() > 0

    given = Independent(Laplace(torch.zeros(PI), torch.ones(PI)), 1)
    kl = mireg.VariationalBound(given, samples=64)(pi, alpha, posterior).metrics["kl"]
    assert kl > 0

    class Lazy(torch.nn.Module):
        def forward(self):
            return given

    assert mireg.VariationalBound(Lazy())(pi, alpha, posterior).metrics["kl"] > 0


def test_parameters_of_learnable_priors_are_found_in_compositions():
    prior = mireg.LearnableGaussian(PI)
    total = 0.5 * mireg.VariationalBound(prior) + mireg.ClassifierMI(PI, ALPHA)
    assert list(total.prior_parameters()) == list(prior.parameters())
    assert not list(mireg.RobustMIConstraint(PI, ALPHA).prior_parameters())


def test_a_learnable_prior_is_trained_by_the_loss_of_the_penalty_alone():
    prior = mireg.LearnableGaussian(PI)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, prior=prior)
    assert {id(p) for p in constraint.parameters()} == {
        id(p) for p in (*constraint.critic_parameters(), *constraint.prior_parameters())
    }
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    penalty.critic_loss.backward(retain_graph=True)
    assert prior.mean.grad is None
    penalty.loss.backward()
    assert prior.mean.grad.abs().sum() > 0


# --- bad batches and foreign penalties --------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("spoilt", ["pi", "alpha"])
def test_an_estimate_that_is_not_finite_moves_no_weight_no_moment_and_no_memory(
    with_critics, bad, spoilt
):
    after_steps(with_critics)
    before = copied(with_critics)
    if getattr(with_critics, "apart", False) and spoilt == "alpha":
        pytest.skip("the other attribute is sound, and moves its weights")
    _, pi, alpha, posterior = codes()
    pi, alpha = pi.detach().clone(), alpha.detach().clone()
    (pi if spoilt == "pi" else alpha)[3, 2] = bad
    # A code of an encoder: an attribute with missing values is an error.
    alpha.requires_grad_()
    penalty = with_critics(pi, alpha, posterior)
    assert not mi_of(penalty).isfinite()
    with_critics.update(penalty)
    for name, value in before.items():
        # Which pairs come next is not what was seen.
        if not name.endswith("negatives.step"):
            assert value.equal(with_critics.state_dict()[name]), name
    with_critics.update(with_critics(*codes(seed=9)[1:]))
    assert all(value.isfinite().all() for value in with_critics.state_dict().values())


def test_a_bad_kl_moves_nothing_either():
    constraint = after_steps(mireg.RobustMIConstraint(PI, ALPHA))
    before = copied(constraint)
    _, pi, alpha, _ = codes()
    posterior = mireg.diagonal_gaussian(torch.full((16, PI), torch.nan), torch.zeros(16, PI))
    constraint.update(constraint(pi, alpha, posterior))
    assert all(x.equal(constraint.state_dict()[name]) for name, x in before.items())


FOREIGN = {
    "a bound's": lambda: mireg.VariationalBound(),
    "a classifier's": lambda: mireg.ClassifierMI(PI, ALPHA),
    "a constraint's": lambda: mireg.RobustMIConstraint(PI, ALPHA),
    "the paper's": lambda: mireg.RobustMIConstraint.paper(PI, ALPHA),
    "one of labels": lambda: mireg.RobustMIConstraint(PI, classes=CLASSES),
    "one of other codes": lambda: mireg.RobustMIConstraint(PI + 1, ALPHA),
    "a sum's": lambda: mireg.VariationalBound() + mireg.ClassifierMI(PI, ALPHA),
    "half a bound's": lambda: 0.5 * mireg.VariationalBound(),
}


@pytest.mark.parametrize("owner", FOREIGN)
def test_an_update_with_a_penalty_of_another_regularizer_is_refused(owner):
    _, pi, alpha, posterior = codes()
    if owner == "one of labels":
        alpha = torch.arange(16) % CLASSES
    if owner == "one of other codes":
        _, pi, alpha, posterior = codes(pi=PI + 1)
    penalty = FOREIGN[owner]()(pi, alpha, posterior)
    for name, make in FOREIGN.items():
        if name not in (owner, "a bound's"):
            regularizer = make()
            before = copied(regularizer)
            with pytest.raises(ValueError, match="takes the penalty that it returned"):
                regularizer.update(penalty)
            assert all(x.equal(regularizer.state_dict()[key]) for key, x in before.items())


@pytest.mark.parametrize("given", [None, torch.zeros(()), ()])
def test_an_update_with_something_else_is_refused(regularizer, given):
    if not isinstance(regularizer, mireg.VariationalBound):
        with pytest.raises(ValueError, match="takes the penalty that it returned"):
            regularizer.update(given)


def test_a_mean_of_penalties_needs_penalties_of_one_regularizer():
    _, pi, alpha, posterior = codes()
    bound, classifier = mireg.VariationalBound(), mireg.ClassifierMI(PI, ALPHA)
    with pytest.raises(ValueError, match="at least one penalty"):
        mireg.Penalty.mean([])
    with pytest.raises(ValueError, match="from one regularizer"):
        mireg.Penalty.mean([bound(pi, alpha, posterior), classifier(pi, alpha)])


def test_one_update_for_several_parts_is_that_of_the_large_batch():
    """For estimates that are linear in expectations over pairs, of each sample with one fixed other."""
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA, critic=small())
    after_steps(constraint)
    parts = copy.deepcopy(constraint)
    mean, pi, alpha, posterior = codes()
    constraint.update(constraint(pi, alpha, posterior))
    penalties = []
    for rows in torch.arange(16).split(4):
        part = mireg.diagonal_gaussian(mean[rows], torch.zeros(4, PI))
        penalties.append(parts(pi[rows], alpha[rows], part))
    parts.update(mireg.Penalty.mean(penalties))
    torch.testing.assert_close(copied(constraint), copied(parts))


def test_samples_of_different_parts_are_negatives_of_each_other_in_memory():
    constraint = mireg.ClassifierMI(PI, ALPHA, critic=small())
    parts = [constraint(*codes(seed=seed)[1:3]) for seed in range(4)]
    constraint.update(mireg.Penalty.mean(parts))
    remembered = constraint.critics.memory.groups[:64]
    assert len(remembered.unique()) == 64


def test_train_on_makes_the_calls_of_the_contract():
    """The loop that tests share is that of the documentation."""
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    before = copied(constraint)
    mean, pi, alpha, posterior = codes()
    train_on(constraint, optimizer_of(constraint), pi, alpha, posterior)
    assert mean.grad.abs().sum() > 0
    after = constraint.state_dict()
    assert not after["multiplier.state"].equal(before["multiplier.state"])
    assert not after["critics.critics.0.pi_tower.1.linear.weight"].equal(
        before["critics.critics.0.pi_tower.1.linear.weight"]
    )
