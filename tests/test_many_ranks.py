"""Many ranks: they agree with each other, and with one process on the joined batch."""

import pytest
import torch
from problems import ALPHA, CLASSES, PI
from processes import on_ranks
from torch.nn.parallel import DistributedDataParallel

import mireg
from mireg import estimators, pairs, weights

JOINED, STEPS = 16, 6


class Between(estimators.Estimator):
    """An estimate that is linear in expectations over pairs, and says nothing of ranks."""

    def value(self, logits):
        return (mireg.functional.nwj(*logits) + mireg.functional.mean_logit(*logits)) / 2


class Geometric(estimators.Estimator):
    """An estimate that is not linear: a mean over ranks of its values would be another number."""

    def forward(self, logits, ranks):
        bound = estimators.DonskerVaradhan()(logits, ranks)
        return bound - ranks.average(mireg.functional.mean_logit(*logits)) / 2


SCENARIOS = {
    "default": {},
    "default, with identities": {"identities": 5},
    "memory that is not needed": {"rows": 2},
    "shifted, with identities": {"negatives": lambda: pairs.ShiftedNegatives(3), "identities": 5},
    "one negative, mean logit": {
        "negatives": lambda: pairs.ShiftedNegatives(1),
        "estimator": estimators.MeanLogit,
    },
    "all, SMILE, with identities": {"estimator": estimators.SMILE, "identities": 5},
    "all, NWJ": {"estimator": estimators.NWJ},
    "labels, some unknown, with identities": {"labels": True, "identities": 5},
    "given a label, with identities": {"given_classes": 2, "identities": 5},
    "given a label, shifted": {
        "given_classes": 2,
        "negatives": lambda: pairs.ShiftedNegatives(3),
    },
    "labels, given a label": {"given_classes": 2, "labels": True},
    "given a code": {"given_features": 3},
    "labels, given a code": {"given_features": 3, "labels": True},
    "paper": {"paper": True},
    "an estimate of one's own": {"estimator": lambda: Between()},
    "one that averages over ranks itself": {"estimator": lambda: Geometric()},
}
"""Constraints for which many ranks are to equal one process."""


def batch_at(step):
    """Gives the encoder's inputs, the noise and alpha of the whole batch; alpha depends on what the encoder sees."""
    generator = mireg.ranks.generator_at(7, step)
    x, noise, alpha = (torch.randn(JOINED, n, generator=generator) for n in (3, PI, ALPHA))
    alpha[:, :3] += x
    return x, noise, alpha, torch.arange(JOINED)


def constraint_of(gather, paper=False, labels=False, **settings):
    makes = mireg.RobustMIConstraint.paper if paper else mireg.RobustMIConstraint
    alpha = None if labels else ALPHA
    seen = PI + settings.get("given_classes", 0) + settings.get("given_features", 0)

    def critic():
        if labels:
            return mireg.LabelCritic(seen, CLASSES, width=16)
        return mireg.SeparableCritic(seen, ALPHA, width=16, depth=1)

    faster = {"gamma": weights.RobustGamma(rate=0.1)} if paper else {"rows": 0}
    made = {name: part() if callable(part) else part for name, part in settings.items()}
    parts = {**faster, **made, "ranks": mireg.Ranks(gather=gather), "critic": critic}
    if labels:
        parts["classes"] = CLASSES
    return makes(PI, alpha, **parts)


def train(rank, ranks, settings, gather=True):
    """Trains an encoder under the constraint on a rank's part of each batch, and gives all state."""
    torch.manual_seed(0)
    own = slice(rank * JOINED // ranks, (rank + 1) * JOINED // ranks)
    settings = dict(settings)
    identities = settings.pop("identities", None)
    encoder = torch.nn.Linear(3, PI)
    constraint = constraint_of(gather, **settings)
    if rank:
        # Whatever a rank starts with, the first rank's state is what counts.
        with torch.no_grad():
            for p in constraint.parameters():
                p.zero_()
    mireg.ranks.broadcast(constraint)
    wrapped = DistributedDataParallel(encoder) if ranks > 1 else encoder
    # Without the scales of Adam, which would hide a gradient of half its length.
    groups = [(encoder.parameters(), 0.05), (constraint.parameters(), 0.1)]
    optimizer = torch.optim.SGD([{"params": p, "lr": lr} for p, lr in groups])
    for step in range(STEPS):
        x, noise, alpha, identity = (t[own] for t in batch_at(step))
        if settings.get("labels"):
            alpha = (alpha[:, 0] * 2).long().clamp(-2, CLASSES - 1)
        mean = wrapped(x)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        identity = None if identities is None else identity % identities
        given = x if "given_features" in settings else None
        if "given_classes" in settings:
            given = (x[:, 0] > 0).long()
        penalty = constraint(mean + noise, alpha, posterior, groups=identity, given=given)
        optimizer.zero_grad()
        (penalty.loss + penalty.critic_loss).backward()
        mireg.ranks.average_gradients(constraint.parameters())
        optimizer.step()
        constraint.update(penalty)
    metrics = {name: value.item() for name, value in penalty.metrics.items()}
    state = {**encoder.state_dict(), **constraint.state_dict()}
    # A memory holds the codes of its own rank.
    kept = {name: value.tolist() for name, value in state.items() if ".memory." not in name}
    return kept, metrics


def scenarios_on(rank, ranks):
    results = {name: train(rank, ranks, settings) for name, settings in SCENARIOS.items()}
    # With partners of the own rank only, or codes that a rank remembers, there is no one process to equal.
    results["local"] = train(rank, ranks, {}, gather=False)
    results["local, with a memory"] = train(rank, ranks, {"rows": 64}, gather=False)
    results["with a memory"] = train(rank, ranks, {"rows": 64})
    results["unequal batches"] = unequal(rank)
    results["missing gradients"] = missing_gradients(rank)
    return results


def unequal(rank):
    """Gives what is said of batches of unequal size, by what was called."""
    shared = mireg.Ranks(gather=True)
    calls = {
        "robust": lambda n: constraint_of(gather=True)(*batch_of(n)),
        "memory": lambda n: mireg.RobustMIConstraint(PI, ALPHA, ranks=shared)(*batch_of(n)),
        "labels": lambda n: constraint_of(gather=True, labels=True)(
            batch_of(n)[0], torch.arange(n) % CLASSES, batch_of(n)[2]
        ),
        "sum": lambda n: (
            mireg.VariationalBound(ranks=shared) + mireg.ClassifierMI(PI, ALPHA, ranks=shared)
        )(*batch_of(n)),
        "critic_loss": lambda n: constraint_of(gather=True).critic_loss(*batch_of(n)),
        "gather": lambda n: mireg.ranks.gather(torch.zeros(n)),
    }
    said = {}
    for name, call in calls.items():
        # The second is too small for itself: it must not leave the other ranks alone either.
        for n in (5, 1):
            try:
                call(n if rank == 0 else 4)
            except ValueError as error:
                said[f"{name}, {n}"] = str(error)
            else:
                said[f"{name}, {n}"] = ""
    return said


def batch_of(n):
    """Gives codes and their posterior."""
    pi = torch.randn(n, PI)
    return pi, torch.randn(n, ALPHA), mireg.diagonal_gaussian(pi, torch.zeros_like(pi))


def missing_gradients(rank):
    """Gives the averaged gradients of two parameters: of the first all ranks but one have one, of the second none."""
    layer = torch.nn.Linear(1, 1)
    if rank:
        layer.weight.grad = torch.full_like(layer.weight, 6.0)
    mireg.ranks.average_gradients(layer.parameters())
    return layer.weight.grad.item(), layer.bias.grad


@pytest.fixture(scope="module", params=[2, 4])
def trained(request, tmp_path_factory):
    """What each rank ends with in each scenario."""
    return on_ranks(request.param, tmp_path_factory.mktemp("ranks"), scenarios_on, request.param)


@pytest.fixture(scope="module")
def alone():
    """What one process ends with on the joined batches."""
    return {name: train(0, 1, settings) for name, settings in SCENARIOS.items()}


@pytest.mark.slow
def test_ranks_agree_on_critics_weights_and_metrics(trained):
    for name in (*SCENARIOS, "local", "local, with a memory", "with a memory"):
        for rank in trained[1:]:
            assert rank[name] == trained[0][name], name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ranks_equal_one_process_on_the_joined_batch(trained, alone, scenario):
    (state, metrics), (expected, expected_metrics) = trained[0][scenario], alone[scenario]
    for name, value in expected.items():
        torch.testing.assert_close(
            torch.tensor(state[name]), torch.tensor(value), rtol=1e-4, atol=1e-5, msg=name
        )
    assert metrics == pytest.approx(expected_metrics, rel=1e-4, abs=1e-5)
    assert state["multiplier.state"] != [0.0]
    if scenario == "paper":
        assert state["gamma.state"] != [1.0]


def test_ranks_that_gather_need_batches_of_equal_size(trained):
    """All ranks say so in words, and none is left waiting until its backend aborts."""
    for rank in trained:
        for name, said in rank["unequal batches"].items():
            assert "of equal size, got [" in said and "drop_last=True" in said, name


def test_a_gradient_that_a_rank_lacks_counts_as_zero(trained):
    expected = 6 * (len(trained) - 1) / len(trained)
    assert [rank["missing gradients"] for rank in trained] == [(expected, None)] * len(trained)


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
        constraint = mireg.RobustMIConstraint(PI, ALPHA, rows=0, ranks=mireg.Ranks(gather=True))
        if mesh is not None:
            fully_shard(encoder[0], mesh=mesh)
            fully_shard(encoder, mesh=mesh)
            fully_shard(decoder, mesh=mesh)
            mireg.ranks.broadcast(constraint)
        model = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        critic_optimizer = torch.optim.Adam(constraint.parameters(), lr=1e-3, eps=1e-4)
        return model, constraint, optimizer, critic_optimizer

    def train_step(parts, step):
        model, constraint, optimizer, critic_optimizer = parts
        x, noise, alpha, _ = (t[own] for t in batch_at(step))
        mean = model["encoder"](x)
        posterior = mireg.diagonal_gaussian(mean, torch.zeros_like(mean))
        pi = mean + noise
        penalty = constraint(pi, alpha, posterior)
        error = (model["decoder"](torch.cat((pi, alpha), dim=1)) - x).square().mean()
        optimizer.zero_grad()
        critic_optimizer.zero_grad()
        (error + penalty.loss + penalty.critic_loss).backward()
        mireg.ranks.average_gradients(constraint.parameters())
        optimizer.step()
        critic_optimizer.step()
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
