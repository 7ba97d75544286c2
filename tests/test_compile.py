"""Compiled steps: one graph each, compiled once."""

import copy
import shutil
import sys

import pytest
import torch
from problems import ALPHA, CLASSES, PI, REGULARIZERS, copied, small

import mireg

STEPS = 50
OF_ALL = ("robust", "paper", "sum", "given a label", "given a code", "two attributes")
COMPILABLE = {
    **{name: REGULARIZERS[name] for name in OF_ALL},
    "labels": lambda: mireg.RobustMIConstraint(PI, classes=CLASSES),
    "no memory": lambda: mireg.ClassifierMI(PI, ALPHA, critic=small(), rows=0),
}
"""With all that the others are made of: compiling takes seconds."""


def draw(name, step):
    generator = torch.Generator().manual_seed(step)
    mean, noise = torch.randn(2, 8, PI, generator=generator)
    alpha = torch.randn(8, ALPHA, generator=generator)
    # Of what is to be found there is something, so that the weights move.
    alpha[:, :PI] += mean
    return mean.requires_grad_(), noise, (alpha[:, 0] > 0).long() if name == "labels" else alpha


def step_of(regularizer, mean, noise, alpha):
    """All of mireg in a step, but for the backward pass."""
    pi = mean + noise
    posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
    penalty = regularizer(pi, alpha, posterior)
    regularizer.update(penalty)
    return penalty


def compared(name, make, compiled, steps):
    """Trains with a compiled step and with a plain one, and compares all that they give."""
    torch.manual_seed(0)
    regularizer = make()
    twin = copy.deepcopy(regularizer)
    spare = torch.nn.Parameter(torch.zeros(()))
    optimizers = [torch.optim.SGD([*r.parameters(), spare], lr=0.01) for r in (regularizer, twin)]
    start = copied(regularizer)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for step in range(steps):
            results = []
            for run, r, optimizer in zip(
                (compiled, step_of), (regularizer, twin), optimizers, strict=True
            ):
                mean, noise, alpha = draw(name, step)
                optimizer.zero_grad()
                penalty = run(r, mean, noise, alpha)
                (penalty.loss + penalty.critic_loss).backward()
                optimizer.step()
                losses = penalty.loss.detach(), penalty.critic_loss.detach()
                results.append((*losses, mean.grad, *penalty.metrics.values()))
            torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(copied(regularizer), copied(twin), rtol=1e-4, atol=1e-5)
    return regularizer, start


@pytest.mark.parametrize("name", COMPILABLE)
@pytest.mark.slow
def test_a_step_compiles_once_without_a_graph_break(name):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # The backend traces gradients too, and needs no C++ compiler.
    compiled = torch.compile(step_of, fullgraph=True, backend="aot_eager")
    compared(name, COMPILABLE[name], compiled, 4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_the_loss_of_the_critics_alone_compiles_too():
    torch._dynamo.reset()
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    mean, _, alpha = draw("", 0)
    compiled = torch.compile(
        lambda pi, alpha: constraint.critic_loss(pi, alpha), fullgraph=True, backend="aot_eager"
    )
    loss = compiled(mean, alpha)
    torch.testing.assert_close(loss, constraint.critic_loss(mean, alpha))
    loss.backward()
    assert mean.grad is None


COMPILERS = ("cl",) if sys.platform == "win32" else ("g++", "clang++")


@pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)), reason="inductor on the CPU needs a C++ compiler"
)
@pytest.mark.filterwarnings("ignore")  # inductor warns of its own insides
def test_inductor_compiles_a_whole_step_once_without_a_graph_break():
    """One graph of penalty and update, over 50 steps in which weights, memory, moments and temperatures move."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    def make():
        def critic():
            return mireg.SeparableCritic(PI, ALPHA, width=8, depth=1)

        return mireg.RobustMIConstraint(PI, ALPHA, critic=critic, rows=16)

    with torch._inductor.config.patch(compile_threads=1):
        compiled = torch.compile(step_of, fullgraph=True)
        constraint, start = compared("", make, compiled, STEPS)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    # The multiplier, the memory, the moments and the temperatures: all of it moved.
    state = constraint.state_dict()
    still = {name for name, value in start.items() if value.equal(state[name])}
    constant = {f"critics.estimators.{i}.factors" for i in range(2)}
    # γ of the bound is a constant, no codes are held out, and none are labels that could be alike.
    constant |= {"bound.gamma.state", "held_out.0.state", "held_out.1.state", "critics.alike.state"}
    assert not still - {"gamma.state"} - constant, still
    assert constraint.critics.memory.count == 8 * STEPS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
def test_a_step_is_captured_as_a_cuda_graph():
    constraint = mireg.RobustMIConstraint(PI, ALPHA).cuda()
    optimizer = torch.optim.Adam(constraint.parameters(), lr=1e-3, capturable=True)
    mean = torch.randn(8, PI, device="cuda", requires_grad=True)
    alpha = torch.randn(8, ALPHA, device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        mean.grad = None
        penalty = constraint(mean, alpha, mireg.diagonal_gaussian(mean, torch.zeros_like(mean)))
        (penalty.loss + penalty.critic_loss).backward()
        optimizer.step()
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
    before = constraint.multiplier.value.item()
    count = constraint.critics.memory.count.item()
    for _ in range(5):
        graph.replay()
    assert constraint.multiplier.value.item() != before
    assert constraint.critics.memory.count.item() == count + 5 * 8
    assert mean.grad.isfinite().all()


@pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs an Apple GPU")
@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_step_runs_on_mps(name):
    regularizer = REGULARIZERS[name]().to("mps")
    mean = torch.randn(8, PI, device="mps", requires_grad=True)
    alpha = torch.randn(8, ALPHA, device="mps")
    penalty = regularizer(mean, alpha, mireg.diagonal_gaussian(mean, torch.zeros_like(mean)))
    (penalty.loss + penalty.critic_loss).backward()
    regularizer.update(penalty)
    assert mean.grad.isfinite().all()
