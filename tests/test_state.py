"""State: what is saved, copied, cast, moved and shared, over all regularizers."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
from problems import (
    ALPHA,
    CLASSES,
    PI,
    REGULARIZERS,
    codes,
    controllers_of,
    copied,
    optimizer_of,
    small,
    tensors,
    train_step,
)
from torch.distributions import Independent, Normal
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import mireg
from mireg import weights
from mireg.layers import Octaves


@pytest.fixture(params=REGULARIZERS)
def make(request):
    return REGULARIZERS[request.param]


@pytest.fixture
def alone_in_a_group(tmp_path):
    """A process group of one rank, which cannot be pickled."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield dist.group.WORLD
    dist.destroy_process_group()


def trained(regularizer, steps=3):
    optimizer = optimizer_of(regularizer)
    for seed in range(steps):
        train_step(regularizer, optimizer, seed)
    return regularizer


def test_resuming_equals_never_having_stopped(make, tmp_path):
    regularizer = make()
    optimizer = optimizer_of(regularizer)
    for seed in range(5):
        train_step(regularizer, optimizer, seed)
    state = {"regularizer": regularizer.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "state.pt")
    for seed in range(5, 10):
        expected = train_step(regularizer, optimizer, seed)
    moved = controllers_of(regularizer, weights.LogMultiplier, weights.Multiplier)
    assert all(m.value not in (0, 1) for m in moved)

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = _rebuilt(regularizer)
    resumed.load_state_dict(state["regularizer"])
    optimizer = optimizer_of(resumed)
    optimizer.load_state_dict(state["optimizer"])
    for seed in range(5, 10):
        got = train_step(resumed, optimizer, seed)
    torch.testing.assert_close(tensors(got), tensors(expected), rtol=0, atol=0)
    torch.testing.assert_close(copied(resumed), copied(regularizer), rtol=0, atol=0)


def test_copies_and_pickles_give_the_same_penalty(make, tmp_path):
    regularizer = trained(make())
    expected = tensors(regularizer(*codes()[1:]))
    torch.save(regularizer, tmp_path / "whole.pt")
    for twin in (
        copy.deepcopy(regularizer),
        pickle.loads(pickle.dumps(regularizer)),
        torch.load(tmp_path / "whole.pt", weights_only=False),
    ):
        torch.testing.assert_close(tensors(twin(*codes()[1:])), expected, rtol=0, atol=0)
        trained(twin, 1)


@pytest.mark.filterwarnings("ignore")  # torch's own, of averages
def test_copies_averages_and_saved_modules_work_with_a_process_group(alone_in_a_group, tmp_path):
    ranks = mireg.Ranks(alone_in_a_group, gather=True)
    constraint = trained(mireg.RobustMIConstraint(PI, ALPHA, ranks=ranks))
    expected = tensors(constraint(*codes()[1:]))
    twin = copy.deepcopy(constraint)
    assert twin.critics.ranks.process_group is alone_in_a_group and twin.critics.ranks.gather
    average = AveragedModel(constraint, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(constraint)
    torch.save(constraint, tmp_path / "whole.pt")
    loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert loaded.critics.ranks.gather and loaded.critics.ranks.process_group is None
    for one in (twin, average.module, loaded):
        torch.testing.assert_close(tensors(one(*codes()[1:])), expected, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")  # torch's own, of averages
def test_an_average_of_a_constraint_follows_it(make):
    regularizer = make()
    average = AveragedModel(regularizer, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    optimizer = optimizer_of(regularizer)
    for seed in range(3):
        train_step(regularizer, optimizer, seed)
        average.update_parameters(regularizer)
    assert average(*codes()[1:]).loss.isfinite()


FROM_META = {
    **REGULARIZERS,
    "labels": lambda: mireg.RobustMIConstraint(PI, classes=CLASSES),
    "octaves": lambda: mireg.ClassifierMI(
        PI, ALPHA, critic=lambda: mireg.ConcatenatedCritic(PI, ALPHA, octaves=3)
    ),
}


@pytest.mark.parametrize("name", FROM_META)
def test_from_meta_to_empty_to_a_saved_state_gives_the_same_numbers(name):
    regularizer = FROM_META[name]()
    batch = list(codes()[1:])
    if name == "labels":
        batch[1] = torch.arange(16) % CLASSES
    optimizer = optimizer_of(regularizer)
    for _ in range(2):
        penalty = regularizer(*batch)
        optimizer.zero_grad()
        penalty.critic_loss.backward()
        optimizer.step()
        regularizer.update(penalty)
    with torch.device("meta"):
        empty = FROM_META[name]()
    for twin in (empty, FROM_META[name]().to("meta")):
        twin.to_empty(device="cpu")
        _spoil(twin)
        twin.load_state_dict(regularizer.state_dict())
        got, expected = tensors(twin(*batch)), tensors(regularizer(*batch))
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        for module in controllers_of(twin, weights.Controller):
            assert module.state.dtype == torch.float64


def _spoil(module):
    """Fills what was made empty with what may have been there."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.copy_(torch.full_like(tensor, 7))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_regularizers_follow_a_cast(make, dtype):
    regularizer = make().to(dtype)
    for _ in range(2):
        pi, alpha = torch.randn(8, PI).to(dtype), torch.randn(8, ALPHA).to(dtype)
        pi.requires_grad_()
        posterior = Independent(Normal(pi, torch.ones_like(pi)), 1)
        penalty = regularizer(pi, alpha, posterior)
        (penalty.loss + penalty.critic_loss).backward()
        regularizer.update(penalty)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        assert penalty.loss.dtype == wide
        assert penalty.loss.isfinite() and pi.grad.isfinite().all()


def test_estimates_stay_in_float32_under_bfloat16_autocast(make):
    regularizer, encoder = make(), torch.nn.Linear(PI, 2 * PI)
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean, log_var = encoder(torch.randn(8, PI)).chunk(2, dim=1)
            assert mean.dtype == torch.bfloat16
            posterior = mireg.diagonal_gaussian(mean, log_var)
            penalty = regularizer(posterior.rsample(), torch.randn(8, ALPHA), posterior)
        (penalty.loss + penalty.critic_loss).backward()
        regularizer.update(penalty)
        observed = (value for value in penalty.observed.values() if len(value.shape))
        statistics = (*penalty.metrics.values(), *(value for value in observed if value.numel()))
        for value in (penalty.loss, penalty.critic_loss, *statistics):
            assert value.dtype in (torch.float32, torch.float64) and value.isfinite().all()
    assert encoder.weight.grad.isfinite().all()


@pytest.mark.parametrize("grouped", [False, True])
def test_weights_of_pairs_are_the_same_under_autocast(grouped):
    labels = torch.zeros(600, dtype=torch.int64)
    labels[:9] = 1
    groups = torch.arange(600) // 3 if grouped else None
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            _, pairs = mireg.pairs.ClassNegatives(2)(labels, groups, None, 600, mireg.Ranks())
        results.append(pairs.marginal_weights)
    torch.testing.assert_close(*results, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("optimizers", [1, 2])
def test_half_precision_with_a_scaler(dtype, optimizers):
    """The recipe of the documentation: one scaler, one backward pass, one update of it a step."""
    encoder = torch.nn.Linear(6, 2 * PI)
    constraint = mireg.RobustMIConstraint(PI, ALPHA, critic=small(), rows=0)
    groups = [list(encoder.parameters()), list(constraint.parameters())]
    if optimizers == 1:
        steppers = [torch.optim.Adam([{"params": group} for group in groups], lr=1e-3)]
    else:
        steppers = [torch.optim.Adam(group, lr=1e-3) for group in groups]
    # So high that fp16 overflows at first: the scaler has to leave steps out and find its way.
    scale = 2.0**22 if dtype == torch.float16 else 1.0
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=dtype == torch.float16)
    trained_by_it = [p for group in groups for p in group]
    before = [p.clone() for p in trained_by_it]
    for _ in range(20):
        x, alpha = torch.randn(16, 6), torch.randn(16, ALPHA)
        with torch.autocast("cpu", dtype=dtype):
            posterior = mireg.diagonal_gaussian(*encoder(x).chunk(2, dim=1))
            penalty = constraint(posterior.rsample(), alpha, posterior)
        assert penalty.loss.dtype == penalty.critic_loss.dtype == torch.float32
        for optimizer in steppers:
            optimizer.zero_grad()
        scaler.scale(penalty.loss + penalty.critic_loss).backward()
        for optimizer in steppers:
            scaler.step(optimizer)
        scaler.update()
        constraint.update(penalty)
    after = zip(trained_by_it, before, strict=True)
    assert all(p.isfinite().all() and not p.equal(b) for p, b in after)
    assert constraint.multiplier.value != 1 and constraint.multiplier.value.isfinite()
    if dtype == torch.float16:
        assert scaler.get_scale() < 2.0**22


def test_shared_memory_shares_the_weights(make):
    regularizer = make().share_memory()
    shared = (*regularizer.parameters(), *regularizer.buffers())
    assert all(tensor.is_shared() for tensor in shared)
    for module in controllers_of(regularizer, weights.Controller):
        assert module.state.dtype == torch.float64
    trained(regularizer, 1)
    assert all(tensor.is_shared() for tensor in regularizer.buffers())


def test_octaves_are_right_after_a_cast():
    octaves = Octaves(5).to(torch.float64)
    assert octaves.frequencies.tolist() == [1, 2, 4, 8, 16]


def _rebuilt(regularizer):
    """Gives a regularizer of the same make with other parameters."""
    twin = copy.deepcopy(regularizer)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.add_(1)
    return twin
