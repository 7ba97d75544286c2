"""Many ranks: they agree with each other, and with one process on the joined batch."""

import pytest
import torch
from problems import ALPHA, PI
from processes import on_ranks
from torch.nn.parallel import DistributedDataParallel

import mireg

JOINED, STEPS = 16, 20

SCENARIOS = {
    "rolled": {"pairs": "roll"},
    "rolled, with identities": {"pairs": "roll", "identities": 5},
    "all, NWJ, with identities": {"pairs": "all", "estimator": "nwj", "identities": 5},
}
"""Constraints for which many ranks are to equal one process."""


def batch_at(step):
    """Gives the encoder's inputs, the noise and alpha of the whole batch; alpha depends on what the encoder sees."""
    generator = mireg.distributed.generator_at(7, step)
    x, noise, alpha = (torch.randn(JOINED, n, generator=generator) for n in (3, PI, ALPHA))
    alpha[:, :3] += x
    return x, noise, alpha, torch.arange(JOINED)


def train(rank, ranks, settings, gather=True):
    """Trains an encoder under the constraint on a rank's part of each batch, and gives all state."""
    torch.manual_seed(0)
    own = slice(rank * JOINED // ranks, (rank + 1) * JOINED // ranks)
    identities = settings.get("identities")
    settings = {name: value for name, value in settings.items() if name != "identities"}
    encoder = torch.nn.Linear(3, PI)
    constraint = mireg.RobustMIConstraint(
        PI, ALPHA, initial_multiplier=1.0, gamma_rate=0.1, decay=0.5, gather=gather, **settings
    )
    if rank:
        # Whatever a rank starts with, the first rank's state is what counts.
        with torch.no_grad():
            for p in constraint.parameters():
                p.zero_()
    mireg.distributed.broadcast(constraint)
    wrapped = DistributedDataParallel(encoder) if ranks > 1 else encoder
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    critic_optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-3, eps=1e-4)
    for step in range(STEPS):
        x, noise, alpha, identity = (t[own] for t in batch_at(step))
        groups = None if identities is None else identity % identities
        mean = wrapped(x)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        pi = mean + noise
        pairing = {"groups": groups, "generator": mireg.distributed.generator_at(0, step)}
        critic_optimizer.zero_grad()
        constraint.critic_loss(pi, alpha, **pairing).backward()
        mireg.distributed.average_gradients(constraint.critic_parameters())
        critic_optimizer.step()
        penalty = constraint(pi, alpha, posterior, **pairing)
        optimizer.zero_grad()
        penalty.loss.backward()
        optimizer.step()
        constraint.update(penalty)
    metrics = {name: value.item() for name, value in penalty.metrics.items()}
    state = {**encoder.state_dict(), **constraint.state_dict()}
    return {name: value.tolist() for name, value in state.items()}, metrics


def scenarios_on(rank, ranks):
    results = {name: train(rank, ranks, settings) for name, settings in SCENARIOS.items()}
    # With partners of the own rank only there is no one process to equal.
    results["local"] = train(rank, ranks, SCENARIOS["rolled"], gather=False)
    return results


@pytest.fixture(scope="module", params=[2, 4])
def trained(request, tmp_path_factory):
    """What each rank ends with in each scenario."""
    return on_ranks(request.param, tmp_path_factory.mktemp("ranks"), scenarios_on, request.param)


@pytest.fixture(scope="module")
def alone():
    """What one process ends with on the joined batches."""
    return {name: train(0, 1, settings) for name, settings in SCENARIOS.items()}


def test_ranks_agree_on_critics_weights_and_metrics(trained):
    for name in (*SCENARIOS, "local"):
        for rank in trained[1:]:
            assert rank[name] == trained[0][name], name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ranks_equal_one_process_on_the_joined_batch(trained, alone, scenario):
    (state, metrics), (expected, expected_metrics) = trained[0][scenario], alone[scenario]
    for name, value in expected.items():
        torch.testing.assert_close(
            torch.tensor(state[name]), torch.tensor(value), rtol=1e-5, atol=1e-5, msg=name
        )
    for name, value in expected_metrics.items():
        # The error over ranks leaves out how far their means are apart.
        tolerance = 0.5 if name == "mi_standard_error" else 1e-4
        assert metrics[name] == pytest.approx(value, rel=tolerance, abs=1e-5), name
    assert state["bound.gamma_controller.state"] != [1.0]
    assert state["classifier.multiplier_controller.state"] != [1.0]
