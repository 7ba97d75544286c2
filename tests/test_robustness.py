"""Whatever comes in: any shape, type and layout of codes, streams made to break it."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import small, train_on

import mireg
from mireg import estimators, pairs, weights

SMALL = {
    "variational": lambda pi, alpha: mireg.VariationalBound(),
    "classifier": lambda pi, alpha: mireg.ClassifierMI(pi, alpha, critic=small(pi, alpha, 4)),
    "robust": lambda pi, alpha: mireg.RobustMIConstraint(pi, alpha, critic=small(pi, alpha, 4)),
    "robust, all pairs, NWJ": lambda pi, alpha: mireg.RobustMIConstraint(
        pi,
        alpha,
        critic=small(pi, alpha, 4),
        negatives=pairs.AllNegatives(),
        estimator=estimators.NWJ(),
        rows=4,
    ),
    "sum": lambda pi, alpha: (
        0.1 * mireg.VariationalBound()
        + mireg.ClassifierMI(pi, alpha, critic=small(pi, alpha, 4), rows=0)
    ),
}
"""Makers of every kind of regularizer, for codes of any shape, with critics that cost nothing."""

LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "strided": lambda x: torch.stack((x, x + 1), dim=-1).flatten(-2)[..., ::2],
    "every other row": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "offset": lambda x: torch.cat((x[:1], x))[1:],
    "expanded": lambda x: x[..., :1].expand_as(x),
}
"""Ways to lay the same codes out in memory; the last repeats one feature."""


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=15)
@given(data=st.data())
def test_any_shape_type_and_layout_gives_what_plain_codes_give(name, data):
    n = data.draw(st.integers(2, 9), "n")
    shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
    pi_shape, alpha_shape = data.draw(shapes, "pi"), data.draw(shapes, "alpha")
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]), "dtype")
    layouts = st.sampled_from(sorted(LAYOUTS))
    pi_layout, alpha_layout = data.draw(layouts, "pi layout"), data.draw(layouts, "alpha layout")
    grouped = data.draw(st.booleans(), "grouped")

    torch.manual_seed(0)
    regularizer = SMALL[name](pi_shape, alpha_shape).to(dtype)
    mean = LAYOUTS[pi_layout](torch.randn(n, *pi_shape, dtype=dtype))
    alpha = LAYOUTS[alpha_layout](torch.randn(n, *alpha_shape, dtype=dtype))
    groups = torch.arange(2 * n)[::2] // 4 if grouped else None

    def step(mean, alpha, groups):
        mean = mean.detach().requires_grad_()
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        penalty = regularizer(mean, alpha, posterior, groups=groups)
        (penalty.loss + penalty.critic_loss).backward()
        losses = [penalty.loss.detach(), penalty.critic_loss.detach()]
        return [*losses, mean.grad, *penalty.metrics.values(), *penalty.observed.values()]

    given_codes = step(mean, alpha, groups)
    plain = step(
        mean.clone(memory_format=torch.contiguous_format),
        alpha.clone(memory_format=torch.contiguous_format),
        None if groups is None else groups.clone(),
    )
    for got, expected in zip(given_codes, plain, strict=True):
        assert got.isfinite().all()
        torch.testing.assert_close(got, expected)


STREAMS = {
    "constant": lambda x, step: torch.ones_like(x),
    "duplicated": lambda x, step: x[:1].expand_as(x),
    "outliers": lambda x, step: x * torch.tensor([1e6] + [1.0] * (len(x) - 1))[:, None],
    "alternating": lambda x, step: torch.full_like(x, 1e6 if step % 2 else -1e6),
    "huge and tiny": lambda x, step: x * (1e6 if step % 2 else 1e-12),
}
"""Streams of codes made to break critics and weights."""


@pytest.mark.filterwarnings("ignore:RobustMIConstraint")  # it says what is wrong with such codes
@pytest.mark.parametrize("published", [False, True])
@pytest.mark.slow
def test_a_thousand_steps_of_adversarial_streams_stay_finite(published):
    """Half of them by the recipe of the paper."""
    make = mireg.RobustMIConstraint.paper if published else mireg.RobustMIConstraint
    faster = {"gamma": weights.RobustGamma(rate=0.1)} if published else {"rows": 8}
    constraint = make(2, 2, critic=small(2, 2, 4), **faster)
    optimizer = torch.optim.Adam(constraint.parameters(), lr=1e-2)
    streams = itertools.cycle(itertools.product(STREAMS.values(), repeat=2))
    generator = torch.Generator().manual_seed(0)
    for step in range(500):
        if step % 20 == 0:
            of_pi, of_alpha = next(streams)
        x, y = torch.randn(2, 4, 2, generator=generator).unbind()
        pi = of_pi(x, step).clone().requires_grad_()
        posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
        penalty = train_on(constraint, optimizer, pi, of_alpha(y, step), posterior)
        assert pi.grad.isfinite().all(), step
        if step % 20 == 19:
            state = constraint.state_dict()
            assert all(value.isfinite().all() for value in state.values()), step
            assert all(value.isfinite() for value in penalty.metrics.values()), step
    assert constraint.gamma.value >= 0 and constraint.multiplier.value >= 0
