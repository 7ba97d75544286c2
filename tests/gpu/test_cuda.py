"""The promises of the library on a GPU: `pytest -o addopts= tests/gpu`.

`MIREG_GPU_TESTS_ON=cpu` runs what a CPU can, to see that the tests themselves work.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from problems import NoSync, tensors
from vector_steps import (
    KINDS,
    ONE_PASS,
    Captured,
    Training,
    apart,
    flat,
    losses,
    make_batch,
    twins,
)

HERE = Path(__file__).parent
DEVICE = os.environ.get("MIREG_GPU_TESTS_ON", "cuda")
STEPS = 20

pytestmark = [
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"
    ),
    # The compiler and CUDA graphs warn of their own insides.
    pytest.mark.filterwarnings("default"),
]
needs_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="needs a CUDA device")


@contextmanager
def no_sync():
    """Raises where the host waits for the device."""
    if DEVICE != "cuda":
        with NoSync():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def sgd(parameters):
    # Unlike Adam it moves weights of tiny gradients by little, so that devices stay comparable.
    return torch.optim.SGD(parameters, lr=1e-3)


def trained(kind, steps=5, n=32):
    """Returns a training that has made a few steps."""
    training = Training(kind, DEVICE)
    for seed in range(steps):
        training.step(make_batch(n, seed, DEVICE))
    return training


def asked(training, batch):
    """Returns all that a training says of a batch, and the gradients that follow."""
    parameters = list(training.modules().parameters())
    for parameter in parameters:
        parameter.grad = None
    loss, penalty = losses(training.networks, training.regularizer, batch, training.labelled)
    loss.backward()
    said = {name: x.clone() for name, x in tensors(penalty).items()}
    return said, [None if p.grad is None else p.grad.clone() for p in parameters]


def check_alike(start, expected, got, share):
    """Checks that two trainings moved alike: the weights, and all that the penalties moved."""
    assert apart(start, expected.weights(), got.weights()) < share
    torch.testing.assert_close(got.averages(), expected.averages(), rtol=share, atol=share)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_those_on_the_cpu(kind):
    here, there = (Training(kind, device, make=sgd) for device in ("cpu", DEVICE))
    start = here.weights()
    for seed in range(5):
        batch = make_batch(32, seed)
        expected, got = here.step(batch), there.step(batch.to(DEVICE))
        got = {name: x.cpu() for name, x in tensors(got).items()}
        torch.testing.assert_close(got, tensors(expected), rtol=1e-3, atol=1e-4)
        # In the norm: a unit whose input is 0 but for rounding may be on or off.
        one, two = (flat(p.grad for p in x.modules().parameters()) for x in (here, there))
        assert (one - two).norm() < 1e-3 * one.norm()
    check_alike(start, here, there, 5e-3)
    assert all(x.device.type == DEVICE for x in there.modules().state_dict().values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_never_waits_for_the_device(kind):
    if DEVICE == "cpu" and kind in ("robust, labels", "paper"):
        pytest.skip("labels, and attributes without a gradient, are looked at on the CPU")
    training = trained(kind)
    batches = [make_batch(32, seed, DEVICE) for seed in range(5)]
    with no_sync():
        for batch in batches:
            training.step(batch)


@needs_cuda
@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_step_moves_the_weights_as_an_eager_one_does(kind):
    eager, replayed = twins(kind, DEVICE)
    start = eager.weights()
    batches = [make_batch(32, seed, DEVICE) for seed in range(STEPS)]
    captured = Captured(replayed.step, batches[0], warmup=3)
    for batch in [batches[0]] * 3 + batches:
        eager.step(batch)
    for batch in batches:
        captured(batch)
    torch.cuda.synchronize()
    check_alike(start, eager, replayed, 2e-2)
    memory = replayed.regularizer.critics.memory
    assert memory is None or memory.count == 32 * (3 + STEPS)


@pytest.mark.parametrize("kind", ONE_PASS)
def test_a_step_compiles_once_and_whole(kind):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    eager, compiled = twins(kind, DEVICE)
    start = eager.weights()
    backend = "inductor" if DEVICE == "cuda" else "aot_eager"
    compiled.compile(backend=os.environ.get("MIREG_GPU_TESTS_BACKEND", backend))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for seed in range(STEPS):
            batch = make_batch(32, seed, DEVICE)
            expected, got = eager.step(batch), compiled.step(batch)
            if seed == 0:
                torch.testing.assert_close(tensors(got), tensors(expected), rtol=1e-3, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    check_alike(start, eager, compiled, 2e-2)


@pytest.mark.parametrize("kind", ONE_PASS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_steps_in_half_precision_stay_near_full_precision(kind, dtype):
    training, full = twins(kind, DEVICE)
    batch = make_batch(32, 0, DEVICE)
    expected, _ = asked(full, batch)
    scaler = torch.amp.GradScaler(DEVICE, enabled=dtype == torch.float16)
    tasks = []
    for step in range(STEPS):
        with torch.autocast(DEVICE, dtype):
            loss, penalty = losses(
                training.networks, training.regularizer, batch, training.labelled
            )
        training.optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(training.optimizer)
        scaler.update()
        training.regularizer.update(penalty)
        if step == 0:
            got = {name: x.to(expected[name]) for name, x in tensors(penalty).items()}
            torch.testing.assert_close(got, expected, rtol=5e-2, atol=5e-2)
        task = loss - penalty.loss - penalty.critic_loss
        tasks.append(float(task.detach()))
    assert training.weights().isfinite().all() and tasks[-1] < 0.95 * tasks[0]
    # The scaler may leave out the first steps, until its scale is right.
    taken = training.optimizer.state[next(training.networks.parameters())]["step"]
    assert taken >= STEPS - 10


def test_one_rank_of_a_process_group_changes_nothing():
    root = HERE.parents[1]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    # There may be no network but the loopback.
    environment = {**os.environ, "PYTHONPATH": path, "NCCL_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(HERE / "one_rank.py"), DEVICE]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_returns_from_the_cpu_with_the_same_penalty(kind):
    training, batch = trained(kind), make_batch(32, 99, DEVICE)
    on_cpu = Training(kind, "cpu")
    on_cpu.modules().load_state_dict(training.modules().state_dict())
    back = Training(kind, DEVICE)
    back.modules().load_state_dict(on_cpu.modules().state_dict())
    (expected, _), (got, _) = asked(training, batch), asked(back, batch)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_codes_get_the_same_numbers_twice(kind):
    training, batch = trained(kind), make_batch(32, 99, DEVICE)
    before = flat(training.modules().state_dict().values())
    (first, gradients), (again, others) = (asked(training, batch) for _ in range(2))
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    after = flat(training.modules().state_dict().values())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    for one, two in zip(gradients, others, strict=True):
        # Sums of gradients may be taken in another order.
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
