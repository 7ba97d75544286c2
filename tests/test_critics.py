"""Critics: one logit a pair, and the same whichever way pairs are asked for."""

import numpy as np
import pytest
import torch
from problems import optimizer_of, train_on

import mireg
from mireg.critics import as_critic
from mireg.layers import Octaves
from mireg.pairs import AllNegatives, ShiftedNegatives

N = 6


def vectors():
    return torch.randn(N, 3), torch.randn(N, 5)


class Bilinear(mireg.Critic):
    """A critic as users write them."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 5)

    def of_pi(self, pi):
        return self.layer(pi)

    def of_alpha(self, alpha):
        return alpha

    def compare(self, u, v):
        return (u * v).sum(-1)


class Plain(torch.nn.Module):
    """Any module of (pi, alpha)."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Bilinear(3, 5, 1)

    def forward(self, pi, alpha):
        return self.layer(pi, alpha).squeeze(1)


CRITICS = {
    "concatenated": (lambda: mireg.ConcatenatedCritic(3, 5), vectors),
    "concatenated, deep": (lambda: mireg.ConcatenatedCritic(3, 5, width=16, depth=3), vectors),
    "concatenated, octaves": (lambda: mireg.ConcatenatedCritic(3, 5, octaves=4), vectors),
    "concatenated, tokens": (
        lambda: mireg.ConcatenatedCritic((4, 3), 5),
        lambda: (torch.randn(N, 4, 3), torch.randn(N, 5)),
    ),
    "separable": (lambda: mireg.SeparableCritic(3, 5), vectors),
    "separable, maps": (
        lambda: mireg.SeparableCritic((3, 4, 4), (5, 7, 6), width=16),
        lambda: (torch.randn(N, 3, 4, 4), torch.randn(N, 5, 7, 6)),
    ),
    "separable, one row of a map": (
        lambda: mireg.SeparableCritic((3, 1, 4), (2, 3), width=16),
        lambda: (torch.randn(N, 3, 1, 4), torch.randn(N, 2, 3)),
    ),
    "sum": (
        lambda: mireg.SumCritic(mireg.ConcatenatedCritic(3, 5), mireg.SeparableCritic(3, 5)),
        vectors,
    ),
    "labels": (
        lambda: mireg.LabelCritic(3, classes=4),
        lambda: (torch.randn(N, 3), torch.randint(4, (N,))),
    ),
    "of a user": (Bilinear, vectors),
    "any module": (lambda: as_critic(Plain()), vectors),
    "a sum with any module": (lambda: mireg.SumCritic(Bilinear(), Plain()), vectors),
}


@pytest.fixture(params=CRITICS)
def case(request):
    make, draw = CRITICS[request.param]
    return make(), *draw()


def test_logits_have_one_entry_a_pair(case):
    critic, pi, alpha = case
    assert critic(pi, alpha).shape == (N,)


def test_pairwise_gives_the_logits_of_every_pair(case):
    critic, pi, alpha = case
    pool, pairs = AllNegatives()(alpha, None, None, N, mireg.Ranks())
    joint, every = critic(pi, pool, pairs)
    rows = torch.arange(N)
    expected = critic(pi[rows.repeat_interleave(N)], alpha[rows.repeat(N)]).view(N, N)
    torch.testing.assert_close(every, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(joint, expected.diag(), rtol=1e-4, atol=1e-5)


def test_chosen_pairs_have_the_logits_of_those_pairs(case):
    critic, pi, alpha = case
    pool, pairs = ShiftedNegatives(2)(alpha, None, None, N, mireg.Ranks())
    joint, marginal = critic(pi, pool, pairs)
    torch.testing.assert_close(joint, critic(pi, alpha), rtol=1e-4, atol=1e-5)
    assert marginal.shape == (2, N)
    for logits, partners in zip(marginal, pairs.marginal, strict=True):
        torch.testing.assert_close(logits, critic(pi, alpha[partners]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(case):
    critic, pi, alpha = case
    pool, pairs = AllNegatives()(alpha, None, None, N, mireg.Ranks())
    logits = critic(pi, pool, pairs)
    mireg.functional.critic_loss(*logits, *pairs.weights).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in critic.parameters())


def test_repr_tells_the_sizes_on_one_line():
    for name, (make, _) in CRITICS.items():
        if "user" not in name and "module" not in name:
            text = repr(make())
            assert text.startswith(f"{type(make()).__name__}(") and "\n" not in text
            assert "width=" in text and "depth=" in text


def test_the_default_critic_suits_the_codes():
    for shape in (3, (3, 4, 4), (7, 3), (3, 2, 4, 4)):
        assert isinstance(mireg.default_critic(shape, 5), mireg.SeparableCritic)
    assert isinstance(mireg.default_critic(3, classes=4), mireg.LabelCritic)


SIZES = {
    "a map and ten classes": ((2048, 7, 7), dict(classes=10)),
    "tokens and two classes": ((512, 1024), dict(classes=2)),
    "a film and ten classes": ((2048, 4, 7, 7), dict(classes=10)),
    "two maps": ((2048, 7, 7), dict(alpha_features=(1024, 14, 14))),
    "tokens and a vector": ((512, 1024), dict(alpha_features=64)),
    "vectors": (1024, dict(alpha_features=1024)),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_default_critic_has_a_sane_size(name):
    shape, alpha = SIZES[name]
    with torch.device("meta"):
        critic = mireg.default_critic(shape, **alpha)
    assert sum(p.numel() for p in critic.parameters()) < 2_000_000


def test_a_sum_adds_what_its_critics_say():
    critics = mireg.ConcatenatedCritic(3, 5), mireg.SeparableCritic(3, 5)
    pi, alpha = vectors()
    expected = critics[0](pi, alpha) + critics[1](pi, alpha)
    torch.testing.assert_close(mireg.SumCritic(*critics)(pi, alpha), expected)
    with pytest.raises(ValueError, match="at least one critic, got none"):
        mireg.SumCritic()


def test_a_sum_affords_all_pairs_if_each_of_its_critics_does():
    towers, concatenated = mireg.SeparableCritic(3, 5), mireg.ConcatenatedCritic(3, 5)
    assert mireg.SumCritic(towers, mireg.SeparableCritic(3, 5)).all_pairs
    assert not mireg.SumCritic(towers, concatenated).all_pairs
    for critic, kind in (
        (mireg.SeparableCritic, AllNegatives),
        (mireg.ConcatenatedCritic, ShiftedNegatives),
    ):
        regularizer = mireg.ClassifierMI(3, 5, critic=lambda critic=critic: critic(3, 5))
        assert isinstance(regularizer.critics.negatives, kind)


def test_octaves_are_sines_and_cosines_beside_the_code():
    x = torch.randn(N, 2)
    features = [x]
    for wave in (torch.sin, torch.cos):
        columns = [wave(2**k * x[:, i]) for i in range(2) for k in range(3)]
        features.append(torch.stack(columns, dim=1))
    torch.testing.assert_close(Octaves(3)(x), torch.cat(features, dim=1))


def test_a_negative_number_of_octaves_is_refused():
    with pytest.raises(ValueError, match="octaves must be 0 or above, got -1"):
        mireg.ConcatenatedCritic(3, 5, octaves=-1)


@pytest.mark.parametrize("features", [0, -1, (), (3, 0), "32", 3.0, float("nan"), None])
def test_impossible_features_are_named(features):
    with pytest.raises(ValueError, match="features must be"):
        mireg.ConcatenatedCritic(features, 5)


def test_numpy_integers_are_sizes():
    three, shape = np.int64(3), (np.int32(3), np.int64(4), np.uint8(4))
    small = dict(width=np.int64(16), depth=np.int64(1))
    assert mireg.SeparableCritic(three, shape, **small)(
        torch.randn(N, 3), torch.randn(N, 3, 4, 4)
    ).shape == (N,)
    labels = mireg.LabelCritic(three, np.int64(4), **small)
    assert labels(torch.randn(N, 3), torch.arange(N) % 4).shape == (N,)
    octaves = mireg.ConcatenatedCritic(three, three, octaves=np.int64(2), **small)
    assert octaves(torch.randn(N, 3), torch.randn(N, 3)).shape == (N,)


def test_one_class_is_no_label():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        mireg.LabelCritic(3, classes=1)
    with pytest.raises(ValueError, match="either alpha_features"):
        mireg.default_critic(3, 5, classes=4)


@pytest.mark.parametrize("negatives", [AllNegatives(), ShiftedNegatives(2)])
def test_a_critic_with_the_wrong_shape_is_named(negatives):
    class Wrong(torch.nn.Module):
        def forward(self, pi, alpha):
            return pi[:, :1]

    pool, pairs = negatives(torch.randn(N, 5), None, None, N, mireg.Ranks())
    with pytest.raises(ValueError, match="one logit for each pair.*Wrong"):
        as_critic(Wrong())(torch.randn(N, 3), pool, pairs)


def test_what_is_no_module_is_no_critic():
    with pytest.raises(TypeError, match="a critic must be a module.*got function"):
        as_critic(lambda pi, alpha: pi)


def test_a_labels_critic_learns_what_a_code_tells():
    labels = torch.arange(4).repeat(64)
    pi = torch.nn.functional.one_hot(labels, 4).float()
    regularizer = mireg.ClassifierMI(4, classes=4, rows=0, estimator=mireg.estimators.NWJ())
    optimizer = optimizer_of(regularizer, 1e-2)
    for _ in range(100):
        penalty = train_on(regularizer, optimizer, pi.requires_grad_(), labels)
    entropy = torch.log(torch.tensor(4.0)).item()
    assert penalty.metrics["mi"].item() == pytest.approx(entropy, abs=0.1)
    assert penalty.metrics["accuracy"] > 0.85


class NoPairs(mireg.Critic):
    """Says that all pairs are cheap, and takes none."""

    all_pairs = True

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 5)

    def forward(self, pi, alpha):
        return (self.layer(pi) * alpha).sum(-1)


class JointOnly(NoPairs):
    """Takes pairs, and returns the logits of joint ones alone."""

    def forward(self, pi, alpha, pairs=None):
        return super().forward(pi, alpha[: len(pi)])


class Columns(NoPairs):
    """Keeps the dimension that it sums over."""

    forward = mireg.Critic.forward

    def of_pi(self, pi):
        return self.layer(pi)

    def of_alpha(self, alpha):
        return alpha

    def compare(self, u, v):
        return (u * v).sum(-1, keepdim=True)


class Half(Columns):
    """Defines one half of what a critic is."""

    of_alpha = mireg.Critic.of_alpha


@pytest.mark.parametrize("within_a_sum", [False, True], ids=["alone", "in a sum"])
@pytest.mark.parametrize(
    ("critic", "error", "message"),
    [
        (NoPairs, TypeError, "NoPairs.forward takes no pairs.*define of_pi, of_alpha and compare"),
        (JointOnly, ValueError, "define.* of_pi, of_alpha and compare"),
        (Columns, ValueError, "over the last dimension|of a sum must return logits"),
        (Half, NotImplementedError, "Half must define of_alpha"),
    ],
)
def test_a_critic_that_forgets_what_it_declares_is_named(critic, error, message, within_a_sum):
    def make():
        return mireg.SumCritic(critic(), mireg.SeparableCritic(3, 5)) if within_a_sum else critic()

    for negatives in (AllNegatives(), ShiftedNegatives(2)):
        with pytest.raises(error, match=message):
            mireg.ClassifierMI(3, 5, critic=make, negatives=negatives)(
                torch.randn(8, 3), torch.randn(8, 5)
            )
