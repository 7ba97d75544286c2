"""Marginal pairs: no fixed point, no partner of the same identity, repeatable."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mireg.pairing import all_pairs, pairing, roll_pairs, rolled_index

WAYS = ("roll", 3, "all")


class Recorder(torch.nn.Module):
    """Gives pi - alpha as its logit: 0 for a joint pair of equal codes."""

    def forward(self, pi, alpha):
        return pi[:, 0] - alpha[:, 0]


def numbered(n):
    x = torch.arange(n, dtype=torch.float32)[:, None]
    return x, x.clone()


@given(st.integers(2, 65), st.integers(0, 2**31))
def test_rolling_leaves_no_sample_in_its_place(n, seed):
    index = rolled_index(n, generator=torch.Generator().manual_seed(seed))
    assert (index != torch.arange(n)).all()
    assert index.sort().values.equal(torch.arange(n))


@given(n=st.integers(2, 33), count=st.integers(1, 40))
def test_no_two_shifts_are_the_same(n, count):
    shifts = rolled_index(n, count=count).view(-1, n)
    assert len(shifts) == min(count, n - 1)
    assert len(set(shifts[:, 0].tolist())) == len(shifts)
    assert (shifts != torch.arange(n)).all()


def test_rolling_takes_every_step():
    steps = {rolled_index(5)[0].item() for _ in range(200)}
    assert steps == {1, 2, 3, 4}


@pytest.mark.parametrize("way", WAYS)
@given(n=st.integers(2, 33))
def test_joint_pairs_are_joint_and_marginal_ones_are_not(way, n):
    pairs = pairing(way)(Recorder(), *numbered(n))
    assert pairs.joint.shape == (n,)
    assert (pairs.joint == 0).all()
    counted = pairs.marginal if pairs.mask is None else pairs.marginal[pairs.mask]
    assert len(counted) == n * min(n - 1, {"roll": 1, "all": n}.get(way, way))
    assert (counted != 0).all()


@pytest.mark.parametrize("way", WAYS)
def test_samples_of_one_identity_are_never_negatives(way):
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    for _ in range(20):
        # The code is the identity itself, so that a logit of 0 tells a pair within it.
        code = groups[:, None].float()
        pairs = pairing(way)(Recorder(), code, code, groups)
        assert (pairs.marginal[pairs.mask] != 0).all()
        assert (pairs.marginal[~pairs.mask] == 0).all()


def test_a_generator_makes_pairs_repeatable():
    pi, alpha = torch.randn(2, 9, 3)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.stack(
            [roll_pairs(Recorder(), pi, alpha, generator=generator).marginal for _ in range(5)]
        )

    assert draw(1).equal(draw(1))
    assert not draw(1).equal(draw(2))


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_of_one_has_no_negatives(way):
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        pairing(way)(Recorder(), *numbered(1))


@pytest.mark.parametrize("way", WAYS)
def test_a_critic_with_the_wrong_shape_is_named(way):
    class Wrong(Recorder):
        def forward(self, pi, alpha):
            return super().forward(pi, alpha)[:, None]

    with pytest.raises(ValueError, match="one logit for each pair.*Wrong"):
        pairing(way)(Wrong(), *numbered(4))


def test_all_pairs_of_any_module_are_those_of_pairwise():
    class Fast(Recorder):
        def pairwise(self, pi, alpha):
            return pi - alpha.T

    pi, alpha = torch.randn(2, 6, 1)
    torch.testing.assert_close(
        all_pairs(Fast(), pi, alpha).marginal, all_pairs(Recorder(), pi, alpha).marginal
    )
