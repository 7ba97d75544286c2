"""Failures that look like success: each is said once, in words, and without a wait in ordinary steps."""

import copy
import re
import warnings

import pytest
import torch
from problems import ALPHA, PI, NoSync, codes, copied, optimizer_of, small, train_on

import mireg
from mireg import weights
from mireg.regularizers import _misuse

EVERY = 4
"""How many updates pass before the state is looked at, here."""


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(_misuse, "FIRST_CHECK", EVERY)


def constraint_of(**settings):
    return mireg.RobustMIConstraint(
        PI, None if "classes" in settings else ALPHA, rows=0, **settings
    )


def batch(seed, n=16):
    _, pi, alpha, posterior = codes(n, seed)
    return pi, alpha, posterior


def trains(constraint, seed, make=batch, groups=None):
    pi, alpha, posterior = make(seed)
    train_on(constraint, constraint.optimizer, pi, alpha, posterior, groups)


def never_learns(constraint, seed):
    penalty = constraint(*batch(seed))
    penalty.loss.backward()
    constraint.update(penalty)


def leaves_the_loss_out(constraint, seed):
    penalty = constraint(*batch(seed))
    constraint.optimizer.zero_grad()
    penalty.critic_loss.backward()
    constraint.optimizer.step()
    constraint.update(penalty)


def detaches_the_code(constraint, seed):
    pi, alpha, posterior = batch(seed)
    train_on(constraint, constraint.optimizer, pi.detach(), alpha, posterior)


def asks_without_gradients(constraint, seed):
    constraint.optimizer.zero_grad()
    constraint.critic_loss(*batch(seed)).backward()
    constraint.optimizer.step()
    with torch.no_grad():
        penalty = constraint(*batch(seed))
    constraint.update(penalty)


def draws_without_gradients(constraint, seed):
    _, alpha, posterior = batch(seed)
    mean = posterior.mean.detach().requires_grad_()
    posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
    train_on(constraint, constraint.optimizer, posterior.sample(), alpha, posterior)


def never_updates(constraint, seed):
    penalty = constraint(*batch(seed))
    constraint.optimizer.zero_grad()
    (penalty.loss + penalty.critic_loss).backward()
    constraint.optimizer.step()


def tells_nothing(constraint, seed):
    pi = torch.randn(16, PI, requires_grad=True)
    zeros = torch.zeros(16, PI)
    posterior = mireg.diagonal_gaussian(zeros, zeros)
    train_on(constraint, constraint.optimizer, pi, torch.randn(16, ALPHA), posterior)


def one_group(constraint, seed):
    trains(constraint, seed, groups=torch.zeros(16, dtype=torch.int64))


def constant_alpha(constraint, seed):
    pi, _, posterior = batch(seed)
    train_on(constraint, constraint.optimizer, pi, torch.full((16, ALPHA), 3.25), posterior)


def one_label(constraint, seed):
    pi, _, posterior = batch(seed)
    labels = torch.full((16,), seed % 2)
    train_on(constraint, constraint.optimizer, pi, labels, posterior)


def no_label_known(constraint, seed):
    pi, _, posterior = batch(seed)
    labels = torch.full((16,), -1)
    train_on(constraint, constraint.optimizer, pi, labels, posterior)


def one_label_known(constraint, seed):
    pi, _, posterior = batch(seed)
    labels = torch.where(torch.arange(16) % 3 == 0, -1, 1)
    train_on(constraint, constraint.optimizer, pi, labels, posterior)


def takes_the_mean(constraint, seed):
    _, alpha, posterior = batch(seed)
    train_on(constraint, constraint.optimizer, posterior.mean, alpha, posterior)


def critics_diverge(constraint, seed):
    trains(constraint, seed)
    for average, value in zip(constraint.moving_averages(), (0.1, -0.1), strict=True):
        average.state.copy_(torch.tensor([value, 1.0]))


FAULTS = {
    "critics never trained": (never_learns, {}, "critics have not learnt.*penalty.critic_loss"),
    "penalty.loss left out": (
        leaves_the_loss_out,
        {},
        "penalty.loss was never differentiated: add penalty.loss",
    ),
    "the code detached": (detaches_the_code, {}, r"pi has no gradients: draw it with rsample\(\)"),
    "sample for rsample": (
        draws_without_gradients,
        {},
        "the KL alone empties the code, since pi has no gradients: draw it with rsample",
    ),
    "no gradients at all": (
        asks_without_gradients,
        {},
        "called without gradients: call it outside of torch.no_grad",
    ),
    "update never called": (never_updates, {}, "no update.*constraint.update"),
    "KL alone below epsilon": (
        tells_nothing,
        {},
        "the code is nearly empty: its KL of 0 nats is below epsilon=0.125",
    ),
    "groups leave no negatives": (one_group, {}, "leave no negatives"),
    "the mean for a sample": (takes_the_mean, {}, "pi is the mean of the posterior.*rsample"),
    "alpha constant": (constant_alpha, {}, "alpha is constant"),
    "critics diverge": (
        critics_diverge,
        {},
        "T estimates 0.09.* nats and T' -0.09.*Lower the learning",
    ),
    "labels all alike": (one_label, {"classes": 2}, "labels of nearly every batch are all alike"),
    "known labels all alike": (
        one_label_known,
        {"classes": 2},
        "labels of nearly every batch are all alike",
    ),
}


def caught_of(constraint, step, steps):
    """Returns the warnings of some steps."""
    constraint.optimizer = optimizer_of(constraint, 1e-3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(steps):
            step(constraint, seed)
    return caught


def said(constraint, step, steps):
    """Returns what is warned of over some steps."""
    return [str(warning.message) for warning in caught_of(constraint, step, steps)]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_said_exactly_once(name):
    step, settings, message = FAULTS[name]
    constraint = constraint_of(**settings)
    messages = said(constraint, step, 9 * EVERY)
    assert len(messages) == 1, messages
    with pytest.warns(UserWarning, match=message):
        warnings.warn(messages[0], UserWarning, stacklevel=1)
    assert messages[0].startswith("RobustMIConstraint: ")


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_said_before_a_few_hundred_steps_are_lost(name):
    step, settings, _ = FAULTS[name]
    assert said(constraint_of(**settings), step, (4 if step is critics_diverge else 2) * EVERY)


@pytest.mark.parametrize("name", [x for x in FAULTS if x != "critics diverge"])
def test_each_fault_stays_in_the_faults_of_the_constraint(name):
    step, settings, message = FAULTS[name]
    constraint = constraint_of(**settings)
    assert not constraint.faults()
    said(constraint, step, 2 * EVERY)
    found = constraint.faults()
    assert len(found) == 1 and re.search(message, *found.values())
    alone = mireg.ClassifierMI(PI, classes=2)
    both = mireg.PerAttribute({"sex": constraint, "age": alone})
    assert both.faults() == {f"sex.{fault}": text for fault, text in found.items()}
    assert (constraint + alone).faults() == {f"0.{k}": text for k, text in found.items()}
    assert not alone.faults()


@pytest.mark.parametrize("classes", [None, 2])
def test_a_good_training_is_told_nothing(classes):
    def step(constraint, seed):
        pi, alpha, posterior = batch(seed)
        alpha = alpha if classes is None else torch.arange(16) % 2
        train_on(constraint, constraint.optimizer, pi, alpha, posterior, torch.arange(16) // 2)

    settings = {} if classes is None else {"classes": classes}
    assert not said(constraint_of(**settings), step, 9 * EVERY)


@pytest.mark.parametrize("epsilon, warned", [(0.3, True), (0.15, False)])
def test_a_target_above_the_entropy_of_a_rare_label_is_named(epsilon, warned):
    """A label of one in 16 has 0.234 nats."""
    constraint = mireg.RobustMIConstraint(PI, classes=2, epsilon=epsilon)

    def step(constraint, seed):
        pi, _, posterior = batch(seed)
        labels = torch.where(torch.arange(16) == 0, 1, torch.where(torch.arange(16) == 1, -1, 0))
        train_on(constraint, constraint.optimizer, pi, labels, posterior)

    messages = said(constraint, step, 9 * EVERY)
    assert [m for m in messages if "entropy" in m] == messages and len(messages) == warned
    assert not warned or "not below 0.245 nats, the entropy of the last 6" in messages[0]


def test_that_no_label_is_known_is_said():
    (message,) = said(constraint_of(classes=2), no_label_known, 9 * EVERY)
    assert "whose labels are known (0 or above)" in message


def test_a_target_that_no_code_can_exceed_is_named():
    with pytest.warns(UserWarning, match=r"epsilon=0.7 is not below ln\(classes\) = 0.693 nats"):
        constraint_of(classes=2, epsilon=0.7)
    with pytest.warns(UserWarning, match="ClassifierMI: epsilon=2 is not below"):
        mireg.ClassifierMI(PI, classes=4, epsilon=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constraint_of(classes=2, epsilon=0.69)
        constraint_of(epsilon=5.0)


@pytest.mark.parametrize("make", [mireg.RobustMIConstraint, mireg.ClassifierMI])
def test_a_target_of_zero_is_named(make):
    with pytest.warns(UserWarning, match="epsilon=0 is less than any critic can measure.*0.01"):
        make(PI, ALPHA, epsilon=0)


def test_an_empty_code_is_no_fault_while_a_training_starts():
    constraint = constraint_of()
    said(constraint, tells_nothing, EVERY - 1)
    assert not constraint.faults()
    assert said(constraint, tells_nothing, 1)
    assert constraint.faults().keys() == {"kl"}


def test_a_training_in_evaluation_mode_is_told_what_one_in_training_mode_is():
    constraint = constraint_of().eval()
    assert "critics have not learnt" in said(constraint, never_learns, 2 * EVERY)[0]
    assert "no update" in said(constraint_of().eval(), never_updates, 2 * EVERY)[0]


def test_critics_that_never_learn_in_compiled_calls_are_named():
    constraint = constraint_of()
    eager = constraint.forward
    constraint.forward = torch.compile(eager, backend="eager")
    assert "critics have not learnt" in said(constraint, never_learns, 2 * EVERY)[0]


class OnFrozenFeatures(torch.nn.Module):
    """A critic whose first layer is not trained."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Linear(PI + ALPHA, 8).requires_grad_(False)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, pi, alpha):
        return self.head(self.features(torch.cat((pi, alpha), 1)).relu()).squeeze(1)


def test_a_critic_on_frozen_features_learns():
    assert not said(constraint_of(critic=OnFrozenFeatures), trains, 2 * EVERY)
    messages = said(constraint_of(critic=OnFrozenFeatures), never_learns, 2 * EVERY)
    assert "critics have not learnt" in messages[0]


def test_each_attribute_is_named():
    constraint = mireg.PerAttribute({k: constraint_of(classes=2) for k in ("sex", "race")})

    def step(constraint, seed):
        pi, _, posterior = batch(seed)
        labels = dict.fromkeys(("sex", "race"), torch.ones(16, dtype=torch.int64))
        train_on(constraint, constraint.optimizer, pi, labels, posterior)

    messages = said(constraint, step, 9 * EVERY)
    assert [m.split(":")[0] for m in messages] == [
        "RobustMIConstraint of sex",
        "RobustMIConstraint of race",
    ]


@pytest.mark.parametrize("step", [never_updates, leaves_the_loss_out])
def test_a_warning_points_into_the_loop_of_the_user(step):
    (warning,) = caught_of(constraint_of(), step, 2 * EVERY)
    assert warning.filename == __file__


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_of_torch_func_are_told_nothing(compiled):
    def step(constraint, seed):
        pi, alpha, posterior = (x if i == 2 else x.detach() for i, x in enumerate(batch(seed)))

        def loss(pi):
            penalty = constraint(pi, alpha, posterior)
            return penalty.loss, penalty

        gradient = torch.func.grad(loss, has_aux=True)
        _, penalty = (torch.compile(gradient, backend="eager") if compiled else gradient)(pi)
        constraint.critic_loss(pi, alpha).backward()
        constraint.optimizer.step()
        constraint.update(penalty)

    assert not said(constraint_of(), step, 9 * EVERY)


def test_a_compiled_step_beside_held_out_codes_is_told_nothing():
    constraint = constraint_of()
    compiled = torch.compile(constraint, backend="eager")

    def step(constraint, seed):
        penalty = compiled(*batch(seed))
        constraint.optimizer.zero_grad()
        (penalty.loss + penalty.critic_loss).backward()
        constraint.optimizer.step()
        with torch.no_grad():
            held_out = constraint(*batch(100 + seed))
        constraint.update(penalty, held_out)

    assert not said(constraint, step, 9 * EVERY)


def test_an_evaluation_of_codes_without_gradients_is_told_nothing():
    classifier = mireg.ClassifierMI(PI, ALPHA, critic=small(), rows=0)

    def step(classifier, seed):
        pi, alpha, _ = batch(seed)
        train_on(classifier.eval(), classifier.optimizer, pi.detach(), alpha)

    assert not said(classifier, step, 9 * EVERY)


def test_a_critic_that_ignores_pi_has_no_gradients_to_watch():
    class Ignorant(torch.nn.Module):
        def forward(self, pi, alpha):
            return alpha.sum(-1)

    classifier = mireg.ClassifierMI(PI, ALPHA, critic=Ignorant, rows=0)
    assert not classifier(*batch(0)).loss.requires_grad


def test_a_penalty_can_be_saved_without_a_word(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.save(constraint_of()(*batch(0)).loss, tmp_path / "loss.pt")


def test_a_classifier_says_what_concerns_it():
    classifier = mireg.ClassifierMI(PI, ALPHA, critic=small(), rows=0)
    (message,) = said(classifier, lambda c, seed: never_learns(c, seed), 9 * EVERY)
    assert message.startswith("ClassifierMI: the critics have not learnt")


def test_terms_of_a_sum_say_it_each():
    total = mireg.ClassifierMI(PI, ALPHA, rows=0) + 2 * mireg.ClassifierMI(PI, ALPHA, rows=0)
    assert len(said(total, never_learns, 9 * EVERY)) == 2


def test_evaluation_is_no_step_without_an_update():
    constraint = constraint_of()

    def evaluate(constraint, seed):
        constraint.eval()
        constraint(*batch(seed))
        with torch.no_grad():
            constraint.train()(*batch(seed))

    assert not said(constraint, evaluate, 9 * EVERY)


def test_a_paper_loop_and_a_replay_are_told_nothing():
    constraint = mireg.RobustMIConstraint.paper(PI, ALPHA, gamma=weights.FixedGamma(1.0))

    def step(constraint, seed):
        pi, alpha, posterior = batch(seed)
        for _ in range(2):
            constraint.optimizer.zero_grad()
            constraint.critic_loss(pi, alpha).backward()
            constraint.optimizer.step()
        penalty = constraint(pi, alpha, posterior)
        penalty.loss.backward()
        constraint.update(penalty)

    assert not said(constraint, step, 9 * EVERY)


def test_one_update_for_many_parts_is_no_missing_update():
    def step(constraint, seed):
        penalties = [constraint(*batch(4 * seed + i)) for i in range(4)]
        constraint.optimizer.zero_grad()
        penalty = mireg.Penalty.mean(penalties)
        (penalty.loss + penalty.critic_loss).backward()
        constraint.optimizer.step()
        constraint.update(penalty)

    assert not said(constraint_of(), step, 9 * EVERY)


def test_the_state_is_looked_at_ever_more_rarely():
    """In all other steps nothing waits for the device."""
    constraint = constraint_of()
    constraint.optimizer = torch.optim.SGD(constraint.parameters(), lr=0.01)
    waited = []
    for step in range(1, 9 * EVERY):
        try:
            with NoSync():
                trains(constraint, step)
        except AssertionError:
            waited.append(step)
    assert waited == [EVERY * times for times in (1, 2, 3, 4, 6, 8)]


def test_what_was_said_is_no_state_and_a_copy_goes_on():
    constraint = constraint_of()
    assert said(constraint, never_learns, 2 * EVERY)
    assert not any("misuse" in name for name in copied(constraint))
    assert not said(copy.deepcopy(constraint), never_learns, 9 * EVERY)
