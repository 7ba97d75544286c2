"""Two ranks: they agree with each other, and with one process on the joined batch."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist
from problems import ALPHA, PI

import mireg

RANKS, BATCH, STEPS = 2, 8, 10


def batch_at(step):
    """Gives the encoder's inputs, the noise and alpha of the whole batch."""
    generator = torch.Generator().manual_seed(step)
    sizes = (3, PI, ALPHA)
    return [torch.randn(RANKS * BATCH, n, generator=generator) for n in sizes]


def train(part, average_gradients):
    """Trains an encoder under the constraint on a part of each batch, and gives all state."""
    torch.manual_seed(0)
    encoder = torch.nn.Linear(3, PI)
    constraint = mireg.RobustMIConstraint(
        PI, ALPHA, pairs="all", initial_multiplier=1.0, gamma_rate=0.1
    )
    if part.start:
        # Whatever a rank starts with, the first rank's state is what counts.
        with torch.no_grad():
            for p in constraint.parameters():
                p.zero_()
    mireg.distributed.broadcast(constraint)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.05)
    critic_optimizer = torch.optim.SGD(constraint.critic_parameters(), lr=0.05)
    for step in range(STEPS):
        x, noise, alpha = (t[part] for t in batch_at(step))
        mean = encoder(x)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        pi = mean + noise
        critic_optimizer.zero_grad()
        # Joint pairs alone: their mean over ranks is that of the joined batch.
        constraint.classifier.critic.critic(pi.detach(), alpha).square().mean().backward()
        constraint.shadow.critic(pi.detach(), alpha).square().mean().backward()
        average_gradients(constraint.critic_parameters())
        critic_optimizer.step()
        penalty = constraint(pi, alpha, posterior)
        optimizer.zero_grad()
        penalty.loss.backward()
        average_gradients(encoder.parameters())
        optimizer.step()
        constraint.update(penalty)
    state = {**encoder.state_dict(), **constraint.state_dict()}
    # Lists travel between processes without shared memory.
    return {name: value.tolist() for name, value in state.items()}


def work(rank, address, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=RANKS)
    part = slice(rank * BATCH, (rank + 1) * BATCH)
    results.put((rank, train(part, mireg.distributed.average_gradients)))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """The state of each rank after training."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    address = f"file://{tmp_path_factory.mktemp('store') / 'store'}"
    processes = [context.Process(target=work, args=(r, address, results)) for r in range(RANKS)]
    for process in processes:
        process.start()
    collected = dict(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
    return collected


def test_ranks_agree(states):
    assert states[0] == states[1]


def test_two_ranks_equal_one_process_on_the_joined_batch(states):
    expected = train(slice(0, RANKS * BATCH), lambda parameters: None)
    for name, value in expected.items():
        torch.testing.assert_close(
            torch.tensor(states[0][name]), torch.tensor(value), rtol=1e-5, atol=1e-6, msg=name
        )
    assert states[0]["bound.gamma_controller.state"] != [1.0]
    assert states[0]["classifier.multiplier_controller.state"] != [1.0]


def test_nothing_happens_without_a_process_group():
    x = torch.randn((), requires_grad=True)
    assert mireg.distributed.average(x) is x
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    mireg.distributed.average_gradients(layer.parameters())
    mireg.distributed.broadcast(layer)
    assert layer.weight.grad.equal(before)
