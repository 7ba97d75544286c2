"""Compiled steps: one graph each, compiled once."""

import shutil
import sys

import pytest
import torch
from problems import ALPHA, PI, REGULARIZERS

import mireg

STEPS = 20


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_step_compiles_once_without_a_graph_break(name):
    torch._dynamo.reset()
    regularizer = REGULARIZERS[name]()
    twin = REGULARIZERS[name]()
    twin.load_state_dict(regularizer.state_dict())

    def penalty_of(regularizer, mean, log_var, alpha):
        posterior = mireg.diagonal_gaussian(mean, log_var)
        return regularizer(posterior.rsample(), alpha, posterior)

    # The backend traces gradients too, and needs no C++ compiler.
    options = {"fullgraph": True, "backend": "aot_eager"}
    compiled = torch.compile(penalty_of, **options)
    update = torch.compile(type(regularizer).update, **options)
    critic_loss = torch.compile(type(regularizer).critic_loss, **options)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(STEPS):
            torch.manual_seed(seed)
            mean, log_var = (torch.randn(8, PI).requires_grad_() for _ in range(2))
            alpha = torch.randn(8, ALPHA)
            torch.manual_seed(seed)
            if list(regularizer.critic_parameters()):
                twin.critic_loss(mean, alpha)
            expected = penalty_of(twin, mean, log_var, alpha)
            twin.update(expected)
            torch.manual_seed(seed)
            if list(regularizer.critic_parameters()):
                critic_loss(regularizer, mean, alpha).backward()
            got = compiled(regularizer, mean, log_var, alpha)
            got.loss.backward()
            update(regularizer, got)
            torch.testing.assert_close(got.loss, expected.loss)
    for key, value in twin.state_dict().items():
        # The state is float64, and what moves it float32, by another formula where it is compiled.
        close = {"rtol": 1.3e-6, "atol": 1e-5}
        torch.testing.assert_close(value, regularizer.state_dict()[key], **close)


COMPILERS = ("cl",) if sys.platform == "win32" else ("g++", "clang++")


@pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)), reason="inductor on the CPU needs a C++ compiler"
)
@pytest.mark.filterwarnings("ignore")  # inductor warns of its own insides
def test_inductor_compiles_a_whole_step_once_without_a_graph_break():
    """One graph of critic loss, penalty and update, over 50 steps in which both weights move and the warm-up ends."""
    torch._dynamo.reset()

    def make():
        torch.manual_seed(0)
        small = [mireg.ConcatenatedCritic(PI, ALPHA, width=16, depth=1) for _ in range(2)]
        return mireg.RobustMIConstraint(
            PI,
            ALPHA,
            critic=small[0],
            shadow=small[1],
            pairs="all",
            initial_multiplier=1.0,
            gamma_rate=0.1,
            warmup_steps=25,
        )

    def part_of_mireg(constraint, mean, noise, alpha):
        pi = mean + noise
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        loss = constraint.critic_loss(pi, alpha)
        penalty = constraint(pi, alpha, posterior)
        constraint.update(penalty)
        return loss, penalty

    constraint, twin = make(), make()
    optimizers = [torch.optim.SGD(c.critic_parameters(), lr=0.01) for c in (constraint, twin)]
    torch._dynamo.utils.counters.clear()
    with (
        torch._inductor.config.patch(compile_threads=1),
        torch._dynamo.config.patch(error_on_recompile=True),
    ):
        compiled = torch.compile(part_of_mireg, fullgraph=True)
        gammas = set()
        for _ in range(50):
            x = torch.randn(8, PI).requires_grad_()
            noise, alpha = torch.randn(8, PI), torch.randn(8, ALPHA)
            results = []
            for run, c, optimizer in zip(
                (compiled, part_of_mireg), (constraint, twin), optimizers, strict=True
            ):
                x.grad = None
                optimizer.zero_grad()
                loss, penalty = run(c, x, noise, alpha)
                (loss + penalty.loss).backward()
                optimizer.step()
                results.append((penalty.loss.detach(), x.grad, *penalty.metrics.values()))
            torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
            gammas.add(constraint.gamma.item())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert constraint.multiplier != 1 and len(gammas) > 20
    torch.testing.assert_close(constraint.state_dict(), twin.state_dict(), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
def test_a_step_is_captured_as_a_cuda_graph():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, initial_multiplier=1.0).cuda()
    optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-3, capturable=True)
    mean = torch.randn(8, PI, device="cuda", requires_grad=True)
    alpha = torch.randn(8, ALPHA, device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        constraint.critic_loss(mean, alpha).backward()
        optimizer.step()
        penalty = constraint(mean, alpha, mireg.diagonal_gaussian(mean, torch.zeros_like(mean)))
        mean.grad = None
        penalty.loss.backward()
        constraint.update(penalty)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    before = constraint.multiplier.item()
    for _ in range(5):
        graph.replay()
    assert constraint.multiplier.item() != before
    assert int(constraint.classifier.step) == 8
    assert mean.grad.isfinite().all()


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs an Apple GPU")
@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_step_runs_on_mps(name):
    regularizer = REGULARIZERS[name]().to("mps")
    mean = torch.randn(8, PI, device="mps", requires_grad=True)
    alpha = torch.randn(8, ALPHA, device="mps")
    regularizer.critic_loss(mean, alpha).backward()
    penalty = regularizer(mean, alpha, mireg.diagonal_gaussian(mean, torch.zeros_like(mean)))
    penalty.loss.backward()
    regularizer.update(penalty)
    assert mean.grad.isfinite().all()
