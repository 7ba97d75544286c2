"""One code against several attributes, and several codes that must not know each other."""

import pytest
import torch
from problems import no_encoder
from torch.nn import functional as F

import mireg

ATTRIBUTES = {"sex": torch.zeros(4, dtype=torch.int64), "age": torch.zeros(4)}


def two(**parts):
    return mireg.PerAttribute(
        {
            "sex": mireg.RobustMIConstraint(4, classes=2, epsilon=0.05, **parts),
            "age": mireg.RobustMIConstraint(4, 1, epsilon=0.1, **parts),
        }
    )


def batch(n=16):
    mean = torch.randn(n, 4, requires_grad=True)
    posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
    return mean, {"sex": torch.randint(2, (n,)), "age": torch.randn(n)}, posterior


def test_the_penalty_is_that_of_the_parts_with_one_kl():
    torch.manual_seed(0)
    constraint = two()
    mean, alpha, posterior = batch()
    penalty = constraint(mean, alpha, posterior)
    alone = {name: part(mean, alpha[name], posterior) for name, part in constraint.named().items()}
    kl, gammas = penalty.metrics["kl"], [x.metrics["gamma"] for x in alone.values()]
    assert kl > 0 and penalty.metrics["gamma"] == max(gammas)
    without = sum(x.loss - x.metrics["gamma"] * kl for x in alone.values())
    torch.testing.assert_close(penalty.loss, without + max(gammas) * kl)
    torch.testing.assert_close(penalty.critic_loss, sum(x.critic_loss for x in alone.values()))
    for name, part in alone.items():
        assert penalty.metrics[f"{name}.mi"] == part.metrics["mi"]
    assert "sex.kl" not in penalty.metrics


def test_the_kl_counts_by_the_greatest_weight():
    constraint = two()
    with torch.no_grad():
        constraint.named()["age"].multiplier.state.add_(3)
    shares = constraint.shares()
    assert shares["age"] == 1 and shares["sex"] == 0
    assert two().shares()["age"] == 0.5


@no_encoder
def test_each_attribute_moves_its_own_weights():
    constraint = two(rows=0)
    optimizer = torch.optim.Adam(constraint.parameters(), lr=1e-2)
    for _ in range(100):
        mean, alpha, posterior = batch(64)
        alpha["sex"] = (mean[:, 0] > 0).long()
        penalty = constraint(mean, alpha, posterior)
        optimizer.zero_grad()
        penalty.critic_loss.backward()
        optimizer.step()
        constraint.update(penalty)
    assert penalty.metrics["sex.mi_average"] > 0.3
    assert penalty.metrics["age.mi_average"] < 0.05
    assert penalty.metrics["sex.multiplier"] > 1 > penalty.metrics["age.multiplier"]


@pytest.mark.parametrize("missing", ["sex", "age"])
def test_what_is_unknown_of_one_attribute_still_counts_for_the_other(missing):
    torch.manual_seed(0)
    constraint = mireg.PerAttribute(
        {name: mireg.ClassifierMI(4, classes=3, rows=0) for name in ("sex", "age")}
    )
    pi = torch.randn(12, 4)
    alpha = {"sex": torch.randint(3, (12,)), "age": torch.randint(3, (12,))}
    before = constraint(pi, alpha)
    alpha[missing] = torch.full((12,), -1)
    after = constraint(pi, alpha)
    other = "age" if missing == "sex" else "sex"
    torch.testing.assert_close(after.metrics[f"{other}.mi"], before.metrics[f"{other}.mi"])
    assert after.metrics[f"{missing}.mi"] == 0


def posterior_of(pi):
    return mireg.diagonal_gaussian(pi, torch.full_like(pi, -4.0))


@no_encoder
@pytest.mark.parametrize("kind", [mireg.ClassifierMI, mireg.RobustMIConstraint])
def test_batches_without_a_known_label_move_no_weight(kind):
    """They count as 0 nats otherwise: if most batches are of another data set, λ falls to 0."""
    torch.manual_seed(0)
    constraint = kind(2, classes=2)

    def step(pi, s):
        constraint.update(constraint(pi, s, posterior_of(pi)))
        return {k: x.clone() for k, x in constraint.state_dict().items() if "weights" not in k}

    for _ in range(3):
        s = torch.randint(2, (32,))
        before = step(s[:, None] + 0.1 * torch.randn(32, 2), s)
    for _ in range(3):
        after = step(torch.randn(32, 2), torch.full((32,), -1))
    moved = {k for k, x in after.items() if not x.equal(before[k])}
    of_batches = ("memory", "kl_average", "empty", "alike")
    assert {k for k in moved if not any(name in k for name in of_batches)} == set()
    assert "multiplier.state" in before


@no_encoder
def test_a_micro_batch_without_a_known_label_has_no_part_in_the_mean():
    torch.manual_seed(0)
    constraint = mireg.RobustMIConstraint(2, classes=2)
    pi, s = torch.randn(16, 2), torch.randint(2, (16,))
    known = constraint(pi, s, posterior_of(pi))
    unknown = constraint(pi + 1, torch.full((16,), -1), posterior_of(pi + 1))
    both, none = mireg.Penalty.mean([known, unknown]), mireg.Penalty.mean([unknown, unknown])
    for name in ("mi", "mi_shadow", "accuracy"):
        assert both.metrics[name].equal(known.metrics[name])
    assert both.observed["pi"].equal(known.observed["pi"])
    torch.testing.assert_close(both.loss, (known.loss + unknown.loss) / 2)
    kl = (known.metrics["kl"] + unknown.metrics["kl"]) / 2
    torch.testing.assert_close(both.metrics["kl"], kl)
    assert (both.observed["known"], none.observed["known"]) == (1, 0)


def test_a_condition_goes_to_all_or_by_name():
    def conditional(**parts):
        return mireg.ClassifierMI(4, classes=2, given_classes=2, **parts)

    pi, y = torch.randn(12, 4), torch.randint(2, (12,))
    alpha = {"sex": torch.randint(2, (12,)), "race": torch.randint(2, (12,))}
    both = mireg.PerAttribute({"sex": conditional(), "race": conditional()})
    all_alike, by_name = both(pi, alpha, given=y), both(pi, alpha, given={"sex": y, "race": y})
    torch.testing.assert_close(all_alike.critic_loss, by_name.critic_loss)
    one = mireg.PerAttribute({"sex": conditional(), "race": mireg.ClassifierMI(4, classes=2)})
    loss = one(pi, alpha, given={"sex": y}).critic_loss
    torch.testing.assert_close(one.critic_loss(pi, alpha, given={"sex": y}), loss)
    with pytest.raises(ValueError, match="given= needs a conditional regularizer"):
        one(pi, alpha, given=y)


def test_forty_labels_that_may_be_true_at_once_are_one_code():
    constraint = mireg.RobustMIConstraint(4, 40)
    mean, _, posterior = batch()
    tags = torch.rand(16, 40) < 0.3
    penalty = constraint(mean, tags.float(), posterior)
    (penalty.loss + penalty.critic_loss).backward()
    assert penalty.loss.isfinite() and mean.grad.isfinite().all()
    with pytest.raises(ValueError, match=r"alpha\.float\(\)"):
        constraint(mean, tags, posterior)


def test_three_codes_become_mutually_independent():
    """I(a; b, c) + I(b; c) is the total correlation of three codes: two constraints make them independent."""
    torch.manual_seed(0)
    encoders = torch.nn.ModuleList(torch.nn.Linear(3, 4) for _ in range(3))
    decoder = torch.nn.Linear(6, 3)

    def constraint(alpha):
        return mireg.RobustMIConstraint(
            2,
            alpha,
            epsilon=0.05,
            critic=lambda: mireg.SeparableCritic(2, alpha, width=32, depth=1),
            rows=0,
        )

    outer, inner = constraint(4), constraint(2)
    optimizer = torch.optim.Adam([*encoders.parameters(), *decoder.parameters()], lr=3e-3)
    critics = torch.optim.Adam([*outer.parameters(), *inner.parameters()], lr=1e-2)
    for _ in range(300):
        x = torch.randn(128, 3)
        of_a, of_b, of_c = (mireg.diagonal_gaussian(*e(x).chunk(2, 1)) for e in encoders)
        a, b, c = of_a.rsample(), of_b.rsample(), of_c.rsample()
        first, second = outer(a, torch.cat((b, c), 1), of_a), inner(b, c, of_b)
        task = F.mse_loss(decoder(torch.cat((a, b, c), 1)), x)
        optimizer.zero_grad()
        critics.zero_grad()
        sum((task, first.loss, first.critic_loss, second.loss, second.critic_loss)).backward()
        optimizer.step()
        critics.step()
        outer.update(first)
        inner.update(second)
    with torch.no_grad():
        x = torch.randn(4000, 3)
        samples = [mireg.diagonal_gaussian(*e(x).chunk(2, 1)).sample() for e in encoders]
    correlation = torch.cat(samples, 1).T.corrcoef()
    for i in range(3):
        correlation[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = 0
    # Gaussian features that share 0.05 nats correlate by 0.31.
    assert correlation.abs().max() < 0.36
    assert task < 0.35


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mireg.PerAttribute({}), ValueError, "at least one attribute"),
        (
            lambda: mireg.PerAttribute([mireg.ClassifierMI(4, 1)]),
            TypeError,
            "by attribute name.*got list",
        ),
        (lambda: mireg.PerAttribute({"sex": torch.nn.Linear(2, 2)}), TypeError, "a regularizer"),
        (
            lambda: mireg.PerAttribute({"a.b": mireg.ClassifierMI(4, 1)}),
            ValueError,
            "without a dot",
        ),
        (
            lambda: mireg.PerAttribute({"sex": 2 * mireg.RobustMIConstraint(4, classes=2)}),
            TypeError,
            "a RobustMIConstraint itself, got a Scaled of one, whose KL would be counted again",
        ),
        (
            lambda: two()(torch.randn(4, 4), ATTRIBUTES, given={"race": torch.zeros(4)}),
            ValueError,
            r"given must have names of \['sex', 'age'\], got \['race'\]",
        ),
        (lambda: two()(torch.randn(4, 4), torch.randn(4)), TypeError, "mapping from names"),
        (lambda: two()(torch.randn(4, 4), {"sex": 0}), ValueError, r"attributes \['sex', 'age'\]"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_any_word_is_a_name():
    one, other = mireg.ClassifierMI(4, 1), mireg.ClassifierMI(4, 1)
    assert [*mireg.PerAttribute({"type": one, "keys": other}).named()] == ["type", "keys"]


def test_a_joint_label_counts_all_combinations():
    sex, race = torch.arange(2).repeat_interleave(5), torch.arange(5).repeat(2)
    assert mireg.joint_label([sex, race], [2, 5]).equal(torch.arange(10))
    with pytest.raises(ValueError, match="from 0 to 1"):
        mireg.joint_label([race], [2])
    with pytest.raises(ValueError, match="integers"):
        mireg.joint_label([race.float()], [5])
    with pytest.raises(ValueError, match="a number of classes for each"):
        mireg.joint_label([race], [5, 2])
