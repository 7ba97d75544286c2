"""Conditional information: the truth, the pairs, unknown conditions, and what is refused."""

import math

import pytest
import torch
from problems import held_out, no_encoder

import mireg
from mireg import pairs

RANKS = mireg.Ranks()


def noise(n, *features):
    return [torch.randn(n, k) for k in features]


def fork(n):
    """A label causes both: all that they share is what it says."""
    y = torch.randint(2, (n,))
    pi, alpha = (x + 1.5 * (2 * y[:, None] - 1) for x in noise(n, 2, 3))
    return pi, alpha, y


def collider(n):
    """Both cause a label: independent, and given the label the sign of one is that of the other."""
    pi, alpha = noise(n, 2, 3)
    return pi, alpha, ((pi[:, 0] > 0) ^ (alpha[:, 0] > 0)).long()


def table(n):
    """A label that another label causes, beside a code that it causes."""
    pi, _, y = fork(n)
    return pi, (torch.rand(n) < 0.2 + 0.6 * y).long(), y


def table_of_signs(n):
    """A label alpha that is the sign of the code in one stratum and chance in the other."""
    (pi,) = noise(n, 2)
    y = torch.randint(2, (n,))
    chance = torch.randint(2, (n,))
    return pi, torch.where(y == 1, (pi[:, 0] > 0).long(), chance), y


def gaussian_fork(n):
    """A number causes both."""
    y, pi, alpha = noise(n, 1, 2, 3)
    return y + 0.7 * pi, y + 0.7 * alpha, y


def gaussian_collider(n):
    """Both cause a number: their partial correlation is -0.8."""
    pi, alpha, e = noise(n, 2, 3, 1)
    return pi, alpha, pi[:, :1] + alpha[:, :1] + 0.5 * e


TRUTH = {
    "fork": (fork, 0.0),
    "collider": (collider, math.log(2)),
    "table": (table, 0.0),
    "table of signs": (table_of_signs, math.log(2) / 2),
    "Gaussian fork": (gaussian_fork, 0.0),
    "Gaussian collider": (gaussian_collider, -math.log(1 - 0.64) / 2),
}


def small(given, of_alpha):
    """Returns a maker of critics that cost little, of codes with a condition beside them."""
    features = 2 + given.get("given_classes", 0) + given.get("given_features", 0)
    if "classes" in of_alpha:
        return lambda: mireg.LabelCritic(features, 2, width=48)
    return lambda: mireg.SeparableCritic(features, 3, width=48, depth=2)


@pytest.mark.parametrize("name", TRUTH)
@no_encoder
@pytest.mark.slow
def test_the_estimate_ends_at_the_conditional_information(name):
    draw, truth = TRUTH[name]
    torch.manual_seed(0)
    of_alpha = {"classes": 2} if name.startswith("table") else {"alpha_features": 3}
    given = {"given_features": 1} if name.startswith("Gaussian") else {"given_classes": 2}
    constraint = mireg.ClassifierMI(2, **of_alpha, **given, critic=small(given, of_alpha), rows=0)
    optimizer = torch.optim.Adam(constraint.parameters(), lr=1e-2)
    steps = 300
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        pi, alpha, y = draw(256)
        penalty = constraint(pi, alpha, given=y)
        optimizer.zero_grad()
        penalty.critic_loss.backward()
        optimizer.step()
        schedule.step()
        constraint.update(penalty)
    estimate = held_out(lambda pi, alpha, y: constraint(pi, alpha, given=y), [draw(1000)] * 1)
    assert estimate == pytest.approx(truth, abs=0.03 + 0.1 * truth)


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.slow
def test_what_the_condition_explains_is_not_removed(label, given):
    """The encoder keeps what it must say of y, which a constraint without the condition would forbid."""
    torch.manual_seed(1)
    of_alpha = {"classes": 2} if label else {"alpha_features": 3}
    condition = {"given_classes": 2} if given else {}
    constraint = mireg.RobustMIConstraint(
        2, **of_alpha, **condition, epsilon=0.05, critic=small(condition, of_alpha), rows=0
    )
    encoder, head = torch.nn.Linear(2, 4), torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    critics = torch.optim.Adam(constraint.parameters(), lr=1e-2)
    losses = []
    for _ in range(300):
        x, alpha, y = (table if label else fork)(128)
        posterior = mireg.diagonal_gaussian(*encoder(x).chunk(2, 1))
        pi = posterior.rsample()
        penalty = constraint(pi, alpha, posterior, **({"given": y} if given else {}))
        task = torch.nn.functional.cross_entropy(head(pi), y)
        optimizer.zero_grad()
        critics.zero_grad()
        (task + penalty.loss + penalty.critic_loss).backward()
        optimizer.step()
        critics.step()
        constraint.update(penalty)
        losses.append(task.item())
    loss = sum(losses[-30:]) / 30
    assert (loss < 0.25) if given else (loss > 0.35)


WAYS = {
    "all": lambda: pairs.AllNegatives(),
    "shifted": lambda: pairs.ShiftedNegatives(4),
    "classes": lambda: pairs.ClassNegatives(3),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("grouped", [False, True])
def test_pairs_are_of_one_stratum_and_each_sample_counts_alike(way, grouped):
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 0])
    groups = torch.arange(10) // 2 if grouped else None
    alpha = torch.arange(10) % 3 if way == "classes" else torch.arange(10.0)[:, None]
    _, chosen = WAYS[way]()(alpha, groups, None, 10, RANKS, strata=y)
    weights, joint = chosen.marginal_weights, chosen.joint_weights
    assert weights.sum() == pytest.approx(1) and joint.sum() == pytest.approx(1)
    of_sample = weights.sum(0 if way == "shifted" else 1)
    torch.testing.assert_close(of_sample, joint)
    # The only sample of its stratum has no partner, and takes no part.
    assert joint[8] == 0 and (joint[joint > 0] == joint.max()).all()
    if way == "all":
        i, j = (weights > 0).nonzero().unbind(1)
        assert (y[i] == y[j]).all() and (i != j).all()
        assert not grouped or (groups[i] != groups[j]).all()
    if way == "shifted":
        partner = chosen.marginal[weights > 0]
        assert (y[partner] == y.expand_as(weights)[weights > 0]).all()
    if way == "classes" and not grouped:
        # Two other samples of stratum 1: one each of the classes 0 and 1 for the sample with class 2.
        assert weights[5].argsort().tolist() != weights[6].argsort().tolist()
        assert (weights[7] > 0).tolist() == [True, False, True]


def test_a_constant_condition_is_no_condition():
    torch.manual_seed(0)
    plain = mireg.ClassifierMI(2, 3, critic=lambda: mireg.SeparableCritic(2, 3, 16, 1))
    given = mireg.ClassifierMI(
        2, 3, critic=lambda: mireg.SeparableCritic(4, 3, 16, 1), given_classes=2
    )
    # The same weights, and none for what says y.
    state = {k: v for k, v in plain.state_dict().items() if "pi_tower" not in k}
    given.load_state_dict(state, strict=False)
    with torch.no_grad():
        for (name, x), (_, y) in zip(
            given.named_parameters(), plain.named_parameters(), strict=True
        ):
            x.zero_()
            x[tuple(map(slice, y.shape))] = y
            assert x.shape == y.shape or "pi_tower" in name
    pi, alpha, y = torch.randn(32, 2), torch.randn(32, 3), torch.zeros(32, dtype=torch.int64)
    expected, got = plain(pi, alpha), given(pi, alpha, given=y)
    torch.testing.assert_close(got.critic_loss, expected.critic_loss)
    torch.testing.assert_close(got.metrics["mi"], expected.metrics["mi"])


@pytest.mark.parametrize("of_alpha", [{"alpha_features": 3}, {"classes": 3}])
def test_samples_of_unknown_condition_take_no_part(of_alpha):
    constraint = mireg.ClassifierMI(2, **of_alpha, given_classes=2, rows=0)
    pi, alpha = torch.randn(40, 2), torch.randn(40, 3)
    alpha = alpha.argmax(1) if "classes" in of_alpha else alpha
    y = torch.randint(2, (40,))
    y[30:] = -1
    torch.manual_seed(0)
    penalty = constraint(pi, alpha, given=y)
    other = alpha.clone()
    other[30:] = other[:10]
    again = constraint(pi, other, given=y)
    if "classes" in of_alpha:
        torch.testing.assert_close(again.critic_loss, penalty.critic_loss)
        torch.testing.assert_close(again.metrics["mi"], penalty.metrics["mi"])
    else:
        # What is left of the unknown is the unit of alpha.
        assert again.critic_loss.item() == pytest.approx(penalty.critic_loss.item(), abs=0.05)


@pytest.mark.parametrize("shape", [(6,), (3, 4, 4), (5, 6), (3, 2, 4, 4)])
@pytest.mark.parametrize("given", ["label", "code"])
def test_vectors_maps_tokens_and_volumes_have_conditions(shape, given):
    parts = {"given_classes": 3} if given == "label" else {"given_features": 2}
    constraint = mireg.RobustMIConstraint(shape, 4, **parts)
    pi = torch.randn(16, *shape, requires_grad=True)
    y = torch.randint(3, (16,)) if given == "label" else torch.randn(16, 2, requires_grad=True)
    posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
    for _ in range(3):
        penalty = constraint(pi, torch.randn(16, 4), posterior, given=y)
        (penalty.loss + penalty.critic_loss).backward()
        constraint.update(penalty)
    assert pi.grad.abs().sum() > 0
    assert given == "label" or y.grad is None


def test_the_memory_remembers_the_condition():
    constraint = mireg.ClassifierMI(2, 3, given_classes=2)
    y = torch.randint(2, (8,))
    penalty = constraint(torch.randn(8, 2), torch.randn(8, 3), given=y)
    constraint.update(penalty)
    assert constraint.critics.memory.given[:8].equal(y)


REFUSED = {
    "no condition": ({"given_classes": 2}, None, TypeError, "pass the condition y"),
    "not conditional": ({}, torch.zeros(8).long(), ValueError, "given_classes= if y is a label"),
    "numbers for labels": ({"given_classes": 2}, torch.zeros(8), ValueError, "integer labels"),
    "labels for numbers": ({"given_features": 1}, torch.zeros(8).long(), ValueError, "floating"),
    "a label too high": ({"given_classes": 2}, torch.full((8,), 2), ValueError, "from 0 to 1"),
    "another width": ({"given_features": 2}, torch.zeros(8, 3), ValueError, r"shape \(8, 2\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_condition_that_does_not_fit_is_refused(case):
    parts, y, error, message = REFUSED[case]
    constraint = mireg.ClassifierMI(2, 3, **parts)
    with pytest.raises(error, match=message):
        constraint(torch.randn(8, 2), torch.randn(8, 3), given=y)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"given_classes": 2, "given_features": 1}, "either given_features"),
        ({"given_classes": 1}, "at least 2"),
        ({"given_features": (3, 4, 4)}, "flatten y"),
    ],
)
def test_conditions_that_are_none_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        mireg.ClassifierMI(2, 3, **parts)
