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
    "rolled, mean logit": {"pairs": "roll", "estimator": "mean_logit"},
    "all, SMILE, with identities": {"pairs": "all", "estimator": "smile", "identities": 5},
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
    critic, shadow = (mireg.ConcatenatedCritic(PI, ALPHA, width=16) for _ in range(2))
    constraint = mireg.RobustMIConstraint(
        PI,
        ALPHA,
        critic=critic,
        shadow=shadow,
        initial_multiplier=1.0,
        gamma_rate=0.1,
        decay=0.5,
        gather=gather,
        **settings,
    )
    if rank:
        # Whatever a rank starts with, the first rank's state is what counts.
        with torch.no_grad():
            for p in constraint.parameters():
                p.zero_()
    mireg.distributed.broadcast(constraint)
    wrapped = DistributedDataParallel(encoder) if ranks > 1 else encoder
    # Without the scales of Adam, which would hide a gradient of half its length.
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.05)
    critic_optimizer = torch.optim.SGD(constraint.critic_parameters(), lr=0.1)
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


def sharded_on(rank, ranks, folder):
    """Trains a sharded model with replicated critics, saves all of it, and goes on from what was saved in a new one."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    mesh = init_device_mesh("cpu", (ranks,)) if ranks > 1 else None
    own = slice(rank * JOINED // ranks, (rank + 1) * JOINED // ranks)

    def build(seed):
        torch.manual_seed(seed)
        encoder = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.SiLU(), torch.nn.Linear(8, PI)
        )
        decoder = torch.nn.Linear(PI + ALPHA, 3)
        constraint = mireg.RobustMIConstraint(PI, ALPHA, initial_multiplier=1.0, gather=True)
        if mesh is not None:
            fully_shard(encoder[0], mesh=mesh)
            fully_shard(encoder, mesh=mesh)
            fully_shard(decoder, mesh=mesh)
            mireg.distributed.broadcast(constraint)
        model = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        critic_optimizer = torch.optim.Adam(constraint.critic_parameters(), lr=1e-3, eps=1e-4)
        return model, constraint, optimizer, critic_optimizer

    def train_step(parts, step):
        model, constraint, optimizer, critic_optimizer = parts
        x, noise, alpha, _ = (t[own] for t in batch_at(step))
        mean = model["encoder"](x)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        pi, shifts = mean + noise, mireg.distributed.generator_at(0, step)
        critic_optimizer.zero_grad()
        constraint.critic_loss(pi, alpha, generator=shifts).backward()
        mireg.distributed.average_gradients(constraint.critic_parameters())
        critic_optimizer.step()
        penalty = constraint(pi, alpha, posterior, generator=shifts)
        error = (model["decoder"](torch.cat((pi, alpha), dim=1)) - x).square().mean()
        optimizer.zero_grad()
        (error + penalty.loss).backward()
        optimizer.step()
        constraint.update(penalty)

    def whole(parts):
        state = {**parts[0].state_dict(), **parts[1].state_dict()}
        full = {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in state.items()}
        return {name: value.tolist() for name, value in full.items()}

    parts = build(seed=0)
    for step in range(4):
        train_step(parts, step)
    if mesh is None:
        return whole(parts), None
    assert isinstance(next(parts[0].parameters()), DTensor)

    def state_of(parts):
        (model, optimizer), (critics, critic_optimizer) = (
            get_state_dict(module, optimizer)
            for module, optimizer in zip(parts[:2], parts[2:], strict=True)
        )
        return {"model": model, "optimizer": optimizer, "critics": critics, "c": critic_optimizer}

    dcp.save(state_of(parts), checkpoint_id=str(folder))
    new = build(seed=1)
    state = state_of(new)
    dcp.load(state, checkpoint_id=str(folder))
    for module, optimizer, names in zip(
        new[:2], new[2:], (("model", "optimizer"), ("critics", "c")), strict=True
    ):
        set_state_dict(
            module,
            optimizer,
            model_state_dict=state[names[0]],
            optim_state_dict=state[names[1]],
        )
    before = whole(parts)
    train_step(parts, 4)
    train_step(new, 4)
    return before, (whole(parts), whole(new))


def test_a_sharded_model_trains_as_a_whole_one_and_all_of_it_is_saved(tmp_path):
    """FSDP2 on encoder and decoder, critics replicated, one distributed checkpoint."""
    pytest.importorskip("torch.distributed.fsdp", reason="needs FSDP2")
    if not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("fully_shard came with torch 2.6")
    # Caches of torch hold the mesh, and so the group, to the end of the process.
    results = on_ranks(2, tmp_path, sharded_on, 2, tmp_path / "saved", ends=False)
    expected, _ = sharded_on(0, 1, None)
    assert results[0] == results[1]
    trained, (went_on, resumed) = results[0]
    for name, value in expected.items():
        torch.testing.assert_close(
            torch.tensor(trained[name]), torch.tensor(value), rtol=1e-5, atol=1e-5, msg=name
        )
    assert went_on == resumed != trained
