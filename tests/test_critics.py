"""Critics: one logit a pair, and all pairs at once with the same values."""

import pytest
import torch

import mireg
from mireg.layers import Octaves

N = 6


def vectors():
    return torch.randn(N, 3), torch.randn(N, 5)


CRITICS = {
    "concatenated": (lambda: mireg.ConcatenatedCritic(3, 5), vectors),
    "concatenated, deep": (lambda: mireg.ConcatenatedCritic(3, 5, width=16, depth=3), vectors),
    "concatenated, octaves": (lambda: mireg.ConcatenatedCritic(3, 5, octaves=4), vectors),
    "concatenated, tokens": (
        lambda: mireg.ConcatenatedCritic((4, 3), 5),
        lambda: (torch.randn(N, 4, 3), torch.randn(N, 5)),
    ),
    "separable": (lambda: mireg.SeparableCritic(3, 5), vectors),
    "sum": (
        lambda: mireg.SumCritic(mireg.ConcatenatedCritic(3, 5), mireg.SeparableCritic(3, 5)),
        vectors,
    ),
    "convolutional": (
        lambda: mireg.ConvolutionalCritic((3, 4, 4), (5, 7, 6), width=16),
        lambda: (torch.randn(N, 3, 4, 4), torch.randn(N, 5, 7, 6)),
    ),
    "convolutional, one map": (
        lambda: mireg.ConvolutionalCritic((3, 1, 4), 5, width=16),
        lambda: (torch.randn(N, 3, 1, 4), torch.randn(N, 5)),
    ),
    "labels": (
        lambda: mireg.LabelCritic(3, classes=4),
        lambda: (torch.randn(N, 3), torch.randint(4, (N,))),
    ),
    "labels, octaves": (
        lambda: mireg.LabelCritic(3, classes=4, octaves=5),
        lambda: (torch.randn(N, 3), torch.randint(4, (N,))),
    ),
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
    rows = torch.arange(N)
    expected = critic(pi[rows.repeat_interleave(N)], alpha[rows.repeat(N)]).view(N, N)
    torch.testing.assert_close(critic.pairwise(pi, alpha), expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(case):
    critic, pi, alpha = case
    mireg.functional.critic_loss(*mireg.CriticEstimator(critic, pairs="all")(pi, alpha)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in critic.parameters())


def test_repr_tells_the_sizes_on_one_line(case):
    text = repr(case[0])
    assert text.startswith(f"{type(case[0]).__name__}(") and "\n" not in text
    assert "width=" in text and "depth=" in text


def test_the_default_critic_suits_the_codes():
    kinds = {
        mireg.SumCritic: mireg.default_critic(3, 5),
        mireg.ConvolutionalCritic: mireg.default_critic((3, 4, 4), 5),
        mireg.LabelCritic: mireg.default_critic(3, classes=4),
    }
    for kind, critic in kinds.items():
        assert isinstance(critic, kind)
    assert isinstance(mireg.default_critic((7, 3), 5), mireg.SumCritic)


def test_a_sum_adds_what_its_critics_say():
    critics = mireg.ConcatenatedCritic(3, 5), mireg.SeparableCritic(3, 5)
    pi, alpha = vectors()
    expected = critics[0](pi, alpha) + critics[1](pi, alpha)
    torch.testing.assert_close(mireg.SumCritic(*critics)(pi, alpha), expected)
    with pytest.raises(ValueError, match="at least one critic, got none"):
        mireg.SumCritic()


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


@pytest.mark.parametrize("features", [0, -1, (), (3, 0), "32"])
def test_impossible_features_are_named(features):
    with pytest.raises(ValueError, match="features must be"):
        mireg.ConcatenatedCritic(features, 5)


def test_one_class_is_no_label():
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        mireg.LabelCritic(3, classes=1)
    with pytest.raises(ValueError, match="either alpha_features"):
        mireg.default_critic(3, 5, classes=4)


def test_a_labels_critic_learns_what_a_code_tells():
    labels = torch.arange(4).repeat(64)
    pi = torch.nn.functional.one_hot(labels, 4).float()
    estimator = mireg.CriticEstimator(mireg.LabelCritic(4, classes=4), pairs="all")
    optimizer = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        estimator.loss(pi, labels, groups=torch.arange(256)).backward()
        optimizer.step()
    assert mireg.functional.donsker_varadhan(*estimator(pi, labels)).item() == pytest.approx(
        torch.log(torch.tensor(4.0)).item(), abs=0.1
    )
