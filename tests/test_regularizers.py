"""The promises of the regularizers, each over all that make it."""

import copy
import pickle

import pytest
import torch
from problems import ALPHA, CLASSES, PI, REGULARIZERS, WITH_CRITICS, NoSync, codes, train_step
from torch.distributions import Independent, Laplace, Normal

import mireg


@pytest.fixture(params=REGULARIZERS)
def regularizer(request):
    return REGULARIZERS[request.param]()


@pytest.fixture(params=WITH_CRITICS)
def with_critics(request):
    return REGULARIZERS[request.param]()


def test_critic_losses_never_reach_an_encoder(with_critics):
    mean, pi, alpha, _ = codes()
    with_critics.critic_loss(pi, alpha).backward()
    assert mean.grad is None and alpha.grad is None
    assert all(p.grad is not None for p in with_critics.critic_parameters())


def test_critic_training_never_moves_an_encoder(with_critics):
    encoder = torch.nn.Linear(3, PI)
    before = copy.deepcopy(encoder.state_dict())
    optimizer = torch.optim.Adam([*with_critics.critic_parameters(), *encoder.parameters()])
    with_critics.critic_loss(encoder(torch.randn(8, 3)), torch.randn(8, ALPHA)).backward()
    optimizer.step()
    assert all(before[name].equal(value) for name, value in encoder.state_dict().items())


def test_a_penalty_never_trains_a_critic(regularizer):
    mean, pi, alpha, posterior = codes()
    penalty = _violated(regularizer)(pi, alpha, posterior)
    penalty.loss.backward()
    assert all(p.grad is None for p in regularizer.critic_parameters())
    assert mean.grad.abs().sum() > 0


def test_a_penalty_leaves_critics_trainable(with_critics):
    _, pi, alpha, posterior = codes()
    with_critics(pi, alpha, posterior)
    assert all(p.requires_grad for p in with_critics.critic_parameters())


def test_the_shadow_never_sends_a_gradient_to_an_encoder():
    # The penalty must not depend on the shadow at all: another shadow, the same loss and the same gradient.
    constraint = _violated(mireg.RobustMIConstraint(PI, ALPHA, pairs="all"))
    results = []
    for scale in (1.0, 100.0):
        with torch.no_grad():
            for p in constraint.shadow.parameters():
                p.mul_(scale)
        mean, pi, alpha, posterior = codes()
        penalty = constraint(pi, alpha, posterior)
        assert not penalty.metrics["mi_shadow"].requires_grad
        penalty.loss.backward()
        results.append((penalty.loss.detach(), mean.grad, penalty.metrics["mi_shadow"]))
    (loss, gradient, seen), (other_loss, other_gradient, other_seen) = results
    assert loss.equal(other_loss) and gradient.equal(other_gradient)
    assert not seen.equal(other_seen)


def test_what_the_shadow_sees_beyond_the_critic_counts_as_violation():
    """λ goes by the greater of the two averages; in the paper by T alone."""
    _, pi, alpha, posterior = codes()
    for seen, counted in ((0.3, 0.2), (0.05, 0.0)):
        for published in (False, True):
            make = mireg.RobustMIConstraint.paper if published else mireg.RobustMIConstraint
            constraint = make(PI, ALPHA)
            constraint.mi_average.update(torch.tensor(0.1))
            constraint.mi_shadow_average.update(torch.tensor(seen))
            metrics = constraint(pi, alpha, posterior).metrics
            expected = metrics["mi"] - constraint.epsilon + (0.0 if published else counted)
            torch.testing.assert_close(metrics["violation"], expected)


def test_the_shadow_is_trained_by_its_own_loss_alone():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    _, pi, alpha, posterior = codes()
    _violated(constraint)(pi, alpha, posterior).loss.backward()
    assert all(p.grad is None for p in constraint.shadow.parameters())
    constraint.critic_loss(pi, alpha).backward()
    assert all(p.grad.abs().sum() > 0 for p in constraint.shadow.parameters())


def test_critic_and_shadow_start_apart():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    pairs = zip(
        constraint.classifier.critic.parameters(), constraint.shadow.parameters(), strict=True
    )
    assert not any(p.equal(q) for p, q in pairs)


def test_alpha_gets_no_gradient_unless_asked_for(with_critics):
    _, pi, alpha, posterior = codes()
    _violated(with_critics)(pi, alpha, posterior).loss.backward()
    assert alpha.grad is None


@pytest.mark.parametrize("make", [mireg.ClassifierMI, mireg.RobustMIConstraint])
def test_alpha_gets_a_gradient_where_asked_for(make):
    _, pi, alpha, posterior = codes()
    _violated(make(PI, ALPHA, alpha_gradient=True))(pi, alpha, posterior).loss.backward()
    assert alpha.grad.abs().sum() > 0


def test_resuming_equals_never_having_stopped(regularizer, tmp_path):
    def optimizer_of(regularizer):
        parameters = list(regularizer.critic_parameters())
        return torch.optim.Adam(parameters) if parameters else None

    optimizer = optimizer_of(regularizer)
    for seed in range(5):
        train_step(regularizer, optimizer, seed)
    state = {
        "regularizer": regularizer.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
    }
    torch.save(state, tmp_path / "state.pt")
    for seed in range(5, 10):
        expected = train_step(regularizer, optimizer, seed)
    assert all(
        m.value not in (0, 1) for m in regularizer.modules() if isinstance(m, mireg.Multiplier)
    )

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = _rebuilt(regularizer)
    resumed.load_state_dict(state["regularizer"])
    optimizer = optimizer_of(resumed)
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    for seed in range(5, 10):
        got = train_step(resumed, optimizer, seed)
    assert got.loss.equal(expected.loss)
    assert all(got.metrics[name].equal(value) for name, value in expected.metrics.items())
    for name, value in regularizer.state_dict().items():
        assert value.equal(resumed.state_dict()[name]), name


def test_copies_and_pickles_give_the_same_penalty(regularizer):
    _, pi, alpha, posterior = codes()
    torch.manual_seed(3)
    expected = regularizer(pi, alpha, posterior).loss
    for twin in (copy.deepcopy(regularizer), pickle.loads(pickle.dumps(regularizer))):
        torch.manual_seed(3)
        assert twin(pi, alpha, posterior).loss.equal(expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_regularizers_follow_a_cast(regularizer, dtype):
    regularizer.to(dtype)
    pi, alpha = torch.randn(8, PI).to(dtype), torch.randn(8, ALPHA).to(dtype)
    posterior = Independent(Normal(pi, torch.ones_like(pi)), 1)
    regularizer.critic_loss(pi, alpha).backward()
    penalty = regularizer(pi, alpha, posterior)
    regularizer.update(penalty)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert penalty.loss.dtype == wide
    assert penalty.loss.isfinite()


def test_estimates_stay_in_float32_under_bfloat16_autocast(regularizer):
    encoder = torch.nn.Linear(PI, 2 * PI)
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean, log_var = encoder(torch.randn(8, PI)).chunk(2, dim=1)
            assert mean.dtype == torch.bfloat16
            posterior = mireg.diagonal_gaussian(mean, log_var)
            loss = regularizer.critic_loss(posterior.rsample(), torch.randn(8, ALPHA))
            penalty = regularizer(posterior.rsample(), torch.randn(8, ALPHA), posterior)
        loss.backward()
        penalty.loss.backward()
        regularizer.update(penalty)
        for value in (loss, penalty.loss, *penalty.metrics.values()):
            assert value.dtype == torch.float32 and value.isfinite()
    assert encoder.weight.grad.isfinite().all()


def test_nothing_in_a_step_waits_for_the_device(regularizer):
    groups = torch.arange(16) // 2
    parameters = list(regularizer.critic_parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1) if parameters else None
    with NoSync():
        _, pi, alpha, posterior = codes()
        regularizer.critic_loss(pi, alpha, groups=groups).backward()
        if optimizer is not None:
            optimizer.step()
        penalty = regularizer(pi, alpha, posterior, groups=groups)
        penalty.loss.backward()
        regularizer.update(penalty)


def test_waiting_for_the_device_is_noticed():
    with pytest.raises(AssertionError, match="waits for the device"), NoSync():
        torch.ones(()).item()


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


def test_repr_tells_the_target_and_the_weights():
    text = repr(mireg.RobustMIConstraint(PI, ALPHA, epsilon=0.2, initial_gamma=3.5))
    assert "epsilon=0.2" in text and "value=3.5" in text


def test_warm_up_rests_the_classifier_and_both_weights():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, warmup_steps=3, initial_multiplier=1.0)
    optimizer = torch.optim.Adam(constraint.critic_parameters())
    for seed in range(3):
        penalty = train_step(constraint, optimizer, seed)
        assert penalty.loss.equal(penalty.metrics["kl"])
        assert constraint.gamma == 1 and constraint.multiplier == 1
    penalty = train_step(constraint, optimizer, 3)
    assert not penalty.loss.equal(penalty.metrics["kl"])
    assert constraint.gamma != 1 and constraint.multiplier != 1


def test_the_loss_is_the_sum_of_eqs_21_and_22():
    constraint = _violated(mireg.RobustMIConstraint.paper(PI, ALPHA, initial_gamma=2.0))
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    kl, mi = penalty.metrics["kl"], constraint.classifier.critic.critic(pi, alpha).mean()
    violation, multiplier = mi - 0.125, constraint.multiplier.float()
    expected = 2 * kl + multiplier * violation + 0.05 * violation**2
    torch.testing.assert_close(penalty.loss, expected)
    torch.testing.assert_close(penalty.metrics["violation"], violation.detach())


def test_without_the_lagrangian_only_the_bound_is_left():
    constraint = _violated(
        mireg.RobustMIConstraint(PI, ALPHA, gamma="variational", lagrangian=False)
    )
    _, pi, alpha, posterior = codes()
    penalty = constraint(pi, alpha, posterior)
    assert penalty.loss.equal(penalty.metrics["kl"])


def test_labels_can_be_removed():
    constraint = _violated(mireg.RobustMIConstraint(PI, classes=CLASSES))
    mean, pi, _, posterior = codes()
    labels = torch.arange(16) % CLASSES
    constraint.critic_loss(pi, labels).backward()
    constraint(pi, labels, posterior).loss.backward()
    assert mean.grad.abs().sum() > 0


def test_maps_and_tokens_are_codes_too():
    for shape in ((3, 4, 4), (6, 3)):
        mean = torch.randn(8, *shape, requires_grad=True)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        constraint = _violated(mireg.RobustMIConstraint(shape, shape))
        alpha = torch.randn(8, *shape)
        constraint.critic_loss(posterior.rsample(), alpha).backward()
        constraint(posterior.rsample(), alpha, posterior).loss.backward()
        assert mean.grad.abs().sum() > 0


def test_any_module_can_be_a_critic():
    critic, shadow = torch.nn.Bilinear(PI, ALPHA, 1), torch.nn.Bilinear(PI, ALPHA, 1)

    class Squeezed(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, pi, alpha):
            return self.inner(pi, alpha).squeeze(1)

    constraint = mireg.RobustMIConstraint(
        PI, ALPHA, critic=Squeezed(critic), shadow=Squeezed(shadow), pairs="all"
    )
    _, pi, alpha, posterior = codes()
    constraint.critic_loss(pi, alpha).backward()
    assert critic.weight.grad is not None and shadow.weight.grad is not None
    constraint(pi, alpha, posterior).loss.backward()


def test_a_sum_is_the_sum_of_its_terms_and_moves_each():
    bound, classifier = mireg.VariationalBound(gamma=2.0), _violated(mireg.ClassifierMI(PI, ALPHA))
    total = sum([0.5 * bound, classifier * 3])
    _, pi, alpha, posterior = codes()
    penalty = total(pi, alpha, posterior)
    expected = 0.5 * bound(pi, alpha, posterior).loss + 3 * classifier(pi, alpha).loss
    torch.testing.assert_close(penalty.loss, expected)
    before = classifier.multiplier.item()
    total.update(penalty)
    assert classifier.multiplier.item() != before
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


def test_metrics_tell_noise_gap_and_whether_the_penalty_pulls():
    regularizer = mireg.RobustMIConstraint(PI, ALPHA, epsilon=0.125)
    _, pi, alpha, posterior = codes(64)
    metrics = regularizer(pi, alpha, posterior).metrics
    joint = regularizer.classifier.critic(pi, alpha).joint
    torch.testing.assert_close(metrics["mi_standard_error"], joint.detach().std() / 8)
    torch.testing.assert_close(metrics["shadow_gap"], metrics["mi_shadow"] - metrics["mi"])
    # Untrained critics see less than ε, and λ is 0: nothing pulls. With λ it does.
    assert metrics["active"] == 0
    regularizer.multiplier.fill_(1.0)
    assert regularizer(pi, alpha, posterior).metrics["active"] == 1


def _learn(regularizer, pi, alpha, steps=1):
    optimizer = torch.optim.Adam(regularizer.critic_parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        regularizer.critic_loss(pi, alpha).backward()
        optimizer.step()


@pytest.mark.parametrize("make", [mireg.ClassifierMI, mireg.RobustMIConstraint])
def test_estimates_are_what_critics_said_before_they_learnt_from_the_batch(make):
    regularizer = make(PI, ALPHA, pairs="all")
    _, pi, alpha, posterior = codes()
    before = regularizer(pi, alpha, posterior).metrics
    # Batches of a replay may follow that of the step.
    _learn(regularizer, pi, alpha)
    _learn(regularizer, *codes(seed=1)[1:3], steps=3)
    tested = regularizer(pi, alpha, posterior).metrics
    after = regularizer(pi, alpha, posterior).metrics
    for name in before.keys() & {"mi", "mi_shadow", "violation"}:
        torch.testing.assert_close(tested[name], before[name])
        assert (after[name] - before[name]).abs() > 1e-3


def test_what_a_critic_said_of_one_batch_is_given_for_no_other():
    regularizer = mireg.ClassifierMI(PI, ALPHA)
    (_, pi, alpha, _), (_, other, others, _) = codes(), codes(seed=1)
    _learn(regularizer, pi, alpha, steps=3)
    expected = regularizer.critic.critic(other, others).mean()
    torch.testing.assert_close(regularizer(other, others).metrics["mi"], expected.detach())


def test_what_is_not_finite_is_not_read():
    class Switch(torch.nn.Module):
        said = 1.0

        def forward(self, pi, alpha):
            return pi.sum(1) * 0 + self.said

    regularizer = mireg.ClassifierMI(PI, ALPHA, critic=Switch())
    _, pi, alpha, _ = codes()
    for said, read in ((1.0, 1.0), (float("nan"), 3.0)):
        regularizer.critic.critic.said = said
        regularizer.critic_loss(pi, alpha)
        regularizer.critic.critic.said = 3.0
        assert regularizer(pi, alpha).metrics["mi"] == read


def test_the_gradient_of_a_reading_is_that_of_the_critic_as_it_is():
    tested, paper = (
        _violated(mireg.ClassifierMI(PI, ALPHA, test_then_train=choice)) for choice in (True, False)
    )
    _, pi, alpha, _ = codes()
    paper.load_state_dict(tested.state_dict())
    gradients = []
    for regularizer in (tested, paper):
        torch.manual_seed(0)
        _learn(regularizer, pi, alpha)
        (gradient,) = torch.autograd.grad(regularizer(pi, alpha).loss, pi, retain_graph=True)
        gradients.append(gradient / gradient.norm())
    torch.testing.assert_close(*gradients)


def test_the_recipe_of_the_paper_asks_critics_after_their_step():
    regularizer = mireg.RobustMIConstraint.paper(PI, ALPHA)
    _, pi, alpha, posterior = codes()
    _learn(regularizer, pi, alpha)
    for _ in range(2):
        metrics = regularizer(pi, alpha, posterior).metrics
        now = regularizer.classifier.critic.critic(pi, alpha).mean()
        torch.testing.assert_close(metrics["mi"], now.detach())
    assert regularizer.classifier.critic.pairs == "roll"
    assert regularizer.classifier.multiplier_controller.mu == 0.1
    assert regularizer.bound.gamma_controller.minimum == 0


def test_metrics_tell_how_well_the_critics_tell_pairs_apart():
    def judge(pi, alpha):
        return (pi == alpha).all(1).float() - 0.5

    class Judge(torch.nn.Module):
        def forward(self, pi, alpha):
            return judge(pi, alpha)

    class Blind(torch.nn.Module):
        def forward(self, pi, alpha):
            return torch.ones(len(pi))

    regularizer = mireg.RobustMIConstraint(PI, PI, critic=Judge(), shadow=Blind())
    _, pi, _, posterior = codes(16)
    assert regularizer(pi, pi, posterior).metrics["accuracy"] == 0.5
    regularizer.critic_loss(pi, pi)
    metrics = regularizer(pi, pi, posterior).metrics
    assert (metrics["accuracy"], metrics["shadow_accuracy"]) == (1, 0.5)


@pytest.mark.parametrize("test_then_train", [True, False])
def test_accuracy_is_that_of_the_newest_batch(test_then_train):
    class Equal(torch.nn.Module):
        def forward(self, pi, alpha):
            return (pi == alpha).all(1).float() - 0.5

    regularizer = mireg.ClassifierMI(PI, PI, critic=Equal(), test_then_train=test_then_train)
    _, pi, other, _ = codes(16, alpha=PI)
    for alpha, accuracy in ((pi, 1.0), (other, 0.5)):
        regularizer.critic_loss(pi, alpha)
        assert regularizer(pi, alpha).metrics["accuracy"] == accuracy


def test_the_violation_rate_tells_how_often_the_estimate_was_too_high():
    regularizer = mireg.ClassifierMI(PI, ALPHA)
    _, pi, alpha, _ = codes()
    penalty = regularizer(pi, alpha)
    for violation in (1.0, -1.0, float("nan"), 1.0, 1.0):
        metrics = {**penalty.metrics, "violation": torch.tensor(violation)}
        regularizer.update(penalty._replace(metrics=metrics))
    rate = regularizer(pi, alpha).metrics["violation_rate"].item()
    assert rate == pytest.approx(0.75, abs=0.01)


def test_parameters_of_learnable_priors_are_found_in_compositions():
    prior = mireg.LearnableGaussian(PI)
    total = 0.5 * mireg.VariationalBound(prior) + mireg.ClassifierMI(PI, ALPHA)
    assert list(total.prior_parameters()) == list(prior.parameters())
    assert not list(mireg.RobustMIConstraint(PI, ALPHA).prior_parameters())


def _violated(regularizer):
    """Sets multipliers so high that every classifier's penalty is active."""
    for module in regularizer.modules():
        if isinstance(module, mireg.Multiplier):
            module.value.fill_(50.0)
    return regularizer


def _rebuilt(regularizer):
    """Gives a regularizer of the same make with other parameters."""
    twin = copy.deepcopy(regularizer)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.add_(1)
    return twin


def test_a_penalty_leaves_the_buffers_of_a_critic():
    class Normalised(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(PI)

        def forward(self, pi, alpha):
            return self.norm(pi).sum(1) * alpha[:, 0]

    regularizer = mireg.ClassifierMI(PI, ALPHA, critic=Normalised())
    before = copy.deepcopy(regularizer.state_dict())
    _, pi, alpha, _ = codes()
    regularizer(pi, alpha)
    assert all(before[name].equal(value) for name, value in regularizer.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_update_before_the_backward_pass_is_allowed(dtype):
    regularizer = _violated(mireg.ClassifierMI(PI, ALPHA)).to(dtype)
    pi = torch.randn(8, PI, dtype=dtype, requires_grad=True)
    penalty = regularizer(pi, torch.randn(8, ALPHA, dtype=dtype))
    regularizer.update(penalty)
    penalty.loss.backward()
    assert pi.grad.abs().sum() > 0


@pytest.mark.parametrize("pairs", ["roll", "all"])
def test_a_batch_of_one_identity_teaches_no_critic(pairs):
    regularizer = mireg.RobustMIConstraint(PI, ALPHA, pairs=pairs)
    _, pi, alpha, _ = codes()
    regularizer.critic_loss(pi, alpha, groups=torch.zeros(16)).backward()
    assert all(not p.grad.any() for p in regularizer.critic_parameters())
