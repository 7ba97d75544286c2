"""Whatever comes in: any shape, type and layout of codes, parts of a large batch, half precision, streams made to break it."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import ALPHA, PI, REGULARIZERS, codes

import mireg

SMALL = {
    "variational": lambda pi, alpha: mireg.VariationalBound(),
    "classifier": lambda pi, alpha: mireg.ClassifierMI(pi, alpha, critic=small(pi, alpha)),
    "robust": lambda pi, alpha: mireg.RobustMIConstraint(
        pi, alpha, critic=small(pi, alpha), shadow=small(pi, alpha), initial_multiplier=1.0
    ),
    "robust, all pairs, NWJ": lambda pi, alpha: mireg.RobustMIConstraint(
        pi,
        alpha,
        critic=small(pi, alpha),
        shadow=small(pi, alpha),
        pairs="all",
        estimator="nwj",
        initial_multiplier=1.0,
    ),
    "sum": lambda pi, alpha: (
        0.1 * mireg.VariationalBound() + mireg.ClassifierMI(pi, alpha, critic=small(pi, alpha))
    ),
}
"""Makers of every kind of regularizer, for codes of any shape, with critics that cost nothing."""


def small(pi, alpha):
    return mireg.ConcatenatedCritic(pi, alpha, width=4, depth=1)


LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "strided": lambda x: torch.stack((x, x + 1), dim=-1).flatten(-2)[..., ::2],
    "every other row": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "offset": lambda x: torch.cat((x[:1], x))[1:],
    "expanded": lambda x: x[:1].expand_as(x),
}
"""Ways to lay the same codes out in memory; the last repeats one code."""


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=25)
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
        pairing = {"groups": groups, "generator": torch.Generator().manual_seed(1)}
        loss = regularizer.critic_loss(mean, alpha, **pairing)
        penalty = regularizer(mean, alpha, posterior, **pairing)
        penalty.loss.backward()
        return [loss.detach(), penalty.loss.detach(), mean.grad, *penalty.metrics.values()]

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


def test_ten_thousand_steps_of_adversarial_streams_stay_finite():
    constraint = mireg.RobustMIConstraint(
        2, 2, critic=small(2, 2), shadow=small(2, 2), gamma_rate=0.1
    )
    optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-2, fused=True)
    pairs = itertools.cycle(itertools.product(STREAMS.values(), repeat=2))
    generator = torch.Generator().manual_seed(0)
    for step in range(10_000):
        if step % 100 == 0:
            of_pi, of_alpha = next(pairs)
        x, y = torch.randn(2, 4, 2, generator=generator).unbind()
        pi, alpha = of_pi(x, step).requires_grad_(), of_alpha(y, step)
        optimizer.zero_grad()
        constraint.critic_loss(pi, alpha).backward()
        optimizer.step()
        posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
        penalty = constraint(pi, alpha, posterior)
        constraint.update(penalty)
        if step % 100 == 99:
            penalty.loss.backward()
            assert pi.grad.isfinite().all(), step
            state = constraint.state_dict()
            assert all(value.isfinite().all() for value in state.values()), step
            assert all(value.isfinite() for value in penalty.metrics.values()), step
    assert constraint.gamma >= 0 and constraint.multiplier >= 0


@pytest.mark.parametrize("name", ["variational", "classifier", "robust", "sum", "scaled"])
def test_one_update_for_several_parts_is_that_of_the_large_batch(name):
    def robust():
        # The one estimate for which that is so: that of a large batch is the mean of those of its parts.
        return REGULARIZERS["robust"](estimator="mean_logit")

    makers = {**REGULARIZERS, "robust": robust, "scaled": lambda: 0.5 * robust()}
    whole, parts = makers[name](), makers[name]()
    parts.load_state_dict(whole.state_dict())
    for seed in range(3):
        mean, pi, alpha, posterior = codes(n=16, seed=seed)
        whole.update(whole(pi, alpha, posterior))
        penalties = []
        for rows in torch.arange(16).split(4):
            part = mireg.diagonal_gaussian(mean[rows], torch.zeros(4, PI))
            penalties.append(parts(pi[rows], alpha[rows], part))
        parts.update(mireg.Penalty.mean(penalties))
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value)
    moved = [m.value for m in whole.modules() if isinstance(m, mireg.Multiplier)]
    assert all(value != 1 for value in moved)


def test_a_mean_of_penalties_needs_penalties_of_one_regularizer():
    _, pi, alpha, posterior = codes()
    bound, classifier = mireg.VariationalBound(), mireg.ClassifierMI(PI, ALPHA)
    with pytest.raises(ValueError, match="at least one penalty"):
        mireg.Penalty.mean([])
    with pytest.raises(ValueError, match="from one regularizer"):
        mireg.Penalty.mean([bound(pi, alpha, posterior), classifier(pi, alpha)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_with_a_scaler_and_two_optimizers(dtype):
    """The recipe of the documentation: one scaler, one update of it a step."""
    encoder = torch.nn.Linear(6, 2 * PI)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, initial_multiplier=1.0)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    critic_optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-3)
    # So high that fp16 overflows at first: the scaler has to leave steps out and find its way.
    scale = 2.0**30 if dtype == torch.float16 else 1.0
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=dtype == torch.float16)
    before = [p.clone() for p in (*encoder.parameters(), *constraint.critic_parameters())]
    for _ in range(40):
        x, alpha = torch.randn(16, 6), torch.randn(16, ALPHA)
        with torch.autocast("cpu", dtype=dtype):
            posterior = mireg.diagonal_gaussian(*encoder(x).chunk(2, dim=1))
            pi = posterior.rsample()
            critic_loss = constraint.critic_loss(pi, alpha)
        critic_optimizer.zero_grad()
        scaler.scale(critic_loss).backward()
        scaler.step(critic_optimizer)

        with torch.autocast("cpu", dtype=dtype):
            penalty = constraint(pi, alpha, posterior)
        assert penalty.loss.dtype == critic_loss.dtype == torch.float32
        optimizer.zero_grad()
        scaler.scale(penalty.loss).backward()
        scaler.step(optimizer)
        scaler.update()
        constraint.update(penalty)
    after = (*encoder.parameters(), *constraint.critic_parameters())
    assert all(p.isfinite().all() and not p.equal(b) for p, b in zip(after, before, strict=True))
    assert constraint.multiplier != 1 and constraint.multiplier.isfinite()
    if dtype == torch.float16:
        assert scaler.get_scale() < 2.0**30
