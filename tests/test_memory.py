"""A memory of codes: what it holds, which pairs it makes, and what it is for."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    ALPHA,
    PI,
    codes,
    copied,
    correlated_gaussians,
    held_out,
    no_encoder,
    optimizer_of,
    tensors,
    train_on,
    train_step,
)

import mireg
from mireg import pairs
from mireg.memory import Memory, scattered


def filled(capacity, *sizes):
    """Returns a memory that has seen the numbers 1, 2, … in batches of these sizes."""
    memory = Memory((1,), (), capacity)
    for n in sizes:
        write(memory, n)
    return memory


def write(memory, n):
    """Writes the next n numbers."""
    numbers = memory.count + 1 + torch.arange(n)
    memory.remember({"pi": numbers[:, None].float(), "alpha": numbers, "groups": numbers})


@given(capacity=st.integers(4, 40), sizes=st.lists(st.integers(1, 30), max_size=6))
def test_a_memory_holds_the_newest_codes(capacity, sizes):
    memory = filled(capacity, *sizes)
    total = sum(sizes)
    kept = min(total, capacity)
    rows = memory.recall(kept, 0, 1)
    assert rows.written.all()
    assert rows.alpha.tolist() == list(range(total - kept + 1, total + 1))
    assert rows.pi[:, 0].equal(rows.alpha.float()) and rows.groups.equal(rows.alpha)
    assert memory.count == total


@given(
    capacity=st.integers(8, 40),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    newest=st.integers(0, 8),
    blocks=st.integers(0, 3),
    size=st.integers(1, 4),
)
def test_blocks_are_rows_in_the_order_they_were_written(capacity, sizes, newest, blocks, size):
    memory = filled(capacity, *sizes)
    rows = memory.recall(newest, blocks, size)
    assert len(rows.written) == newest + blocks * size
    # A row that is said to be written holds a code that is still remembered.
    total = sum(sizes)
    said = rows.alpha[rows.written]
    assert ((said > max(0, total - capacity)) & (said <= total)).all()
    for block in range(blocks):
        part = slice(newest + block * size, newest + (block + 1) * size)
        seen, written = rows.alpha[part], rows.written[part]
        inside = written[1:] & written[:-1]
        assert (seen.diff()[inside] == 1).all()


def test_an_empty_memory_has_no_written_row():
    assert not filled(8).recall(4, 2, 2).written.any()
    half = filled(8, 3).recall(5, 0, 1)
    assert half.written.tolist() == [False, False, True, True, True]


def test_other_blocks_are_recalled_after_each_batch():
    memory = filled(64, *[16] * 4)
    seen = set()
    for _ in range(8):
        seen |= set(memory.recall(0, 2, 8).alpha.tolist())
        write(memory, 16)
    assert len(seen) > 64


@pytest.mark.parametrize("n", [32, 64, 128, 256])
def test_consecutive_steps_recall_unrelated_blocks(n):
    # Regular places had the same codes nine times in a row, for 128 rows and a memory of 3,906.
    memory = filled(3906, *[n] * (4000 // n))
    places = []
    for _ in range(200):
        places.append(memory.recall(0, 3, 128).alpha.view(3, 128)[:, 0])
        write(memory, n)
    moved = torch.stack(places).diff(dim=0).abs()
    assert (moved < 128).float().mean() < 0.25


def test_a_batch_that_is_not_accepted_is_not_remembered():
    memory = filled(8, 6)
    before = copied(memory)
    batch = {"pi": torch.ones(4, 1), "alpha": torch.ones(4).long(), "groups": torch.ones(4).long()}
    memory.remember(batch, torch.tensor(False))
    torch.testing.assert_close(copied(memory), before, rtol=0, atol=0)
    memory.remember(batch, torch.tensor(True))
    assert memory.count == 10


def test_a_memory_of_large_codes_holds_fewer():
    assert Memory((8,), (64,)).capacity == 8192
    large = Memory((64, 8, 8), (256,))
    assert 1 <= large.capacity < 8192
    assert large.pi.numel() + large.alpha.numel() <= Memory.NUMBERS


@pytest.mark.parametrize("shape", [(2048, 32, 32), (2_500_000,)])
def test_codes_of_any_size_have_a_constraint(shape):
    """Where not even a few codes fit, critics learn from the batch alone."""
    with torch.device("meta"):
        constraint = mireg.ClassifierMI(shape, 2, critic=lambda: torch.nn.Linear(1, 1))
    memory = constraint.critics.memory
    assert memory is None or memory.capacity > 0


def test_a_memory_of_few_large_codes_gives_no_block_twice():
    critics = mireg.RobustMIConstraint((64, 32, 32), 2).critics
    capacity = critics.memory.capacity
    size, newest, blocks = critics.blocks(8)
    assert (size, blocks) == (capacity, 1) and newest < capacity < 100


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_memory_stays_exact_when_the_model_is_cast(dtype):
    constraint = mireg.ClassifierMI(PI, 1).to(dtype)
    incomes = 50_000 + 30_000 * torch.randn(64, 1).abs()
    for _ in range(3):
        pi = torch.randn(64, PI)
        penalty = constraint(pi, incomes)
        assert penalty.critic_loss.isfinite()
        constraint.update(penalty)
    assert constraint.critics.memory.alpha[:64].equal(incomes)


NEGATIVES = {
    "all": lambda: pairs.AllNegatives(),
    "shifted": lambda: pairs.ShiftedNegatives(5),
    "classes": lambda: pairs.ClassNegatives(40),
}


@pytest.mark.parametrize("name", ["all", "shifted"])
@pytest.mark.parametrize("step", [0, 1, 7, 1000])
def test_no_pair_goes_across_blocks(name, step):
    negatives = NEGATIVES[name]()
    if name == "shifted":
        negatives.step.fill_(step)
    n, block = 40, 8
    rows = torch.arange(n)
    pool, found = negatives(rows[:, None], None, None, block, mireg.Ranks())
    if found.marginal is None:
        of, column = (found.marginal_weights > 0).nonzero().unbind(1)
        with_ = pool.view(-1, found.columns)[of // found.block, column]
    else:
        of, with_ = rows.expand_as(found.marginal).flatten(), pool[found.marginal, 0].flatten()
    assert (of // block == with_ // block).all()
    assert (of != with_).all()
    assert len(of) == n * min(block - 1, 5 if name == "shifted" else block)


def test_class_negatives_count_classes_of_the_own_block_only():
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])
    _, found = pairs.ClassNegatives(4)(labels, None, None, 4, mireg.Ranks())
    weights = found.marginal_weights
    assert not weights[:4, 2:].any() and not weights[4:, :2].any()
    assert weights[0, 0] > 0 and weights[7, 3] == 0


@pytest.mark.parametrize("name", NEGATIVES)
@pytest.mark.parametrize("groups", [None, torch.arange(16) // 2])
def test_rows_that_were_never_written_take_no_part(name, groups):
    """The first batch is all there is: a critic learns from it what it learns without a memory."""
    classes = 40 if name == "classes" else None
    alpha = torch.arange(16) if classes else codes()[2]
    results = []
    for rows in (64, 0):
        torch.manual_seed(0)
        regularizer = mireg.ClassifierMI(
            PI, None if classes else ALPHA, classes=classes, rows=rows, negatives=NEGATIVES[name]()
        )
        if name == "shifted":
            # With a memory the shifts are of larger blocks: only their number of pairs is alike.
            assert regularizer(codes()[1], alpha, groups=groups).critic_loss.isfinite()
        else:
            results.append(regularizer(codes()[1], alpha, groups=groups).critic_loss)
    if results:
        torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", NEGATIVES)
def test_what_is_read_is_of_the_batch_alone(name):
    """Critics learn from remembered codes; estimates and accuracies are of the batch."""
    classes = 40 if name == "classes" else None
    regularizer = mireg.ClassifierMI(
        PI, None if classes else ALPHA, classes=classes, negatives=NEGATIVES[name]()
    )
    alpha = torch.arange(16) if classes else codes()[2]
    penalty = regularizer(codes()[1], alpha)
    regularizer.update(penalty)
    regularizer.update(regularizer(codes(seed=1)[1], alpha))
    other = copy.deepcopy(regularizer)
    # A memory of other codes of other classes, far away.
    other.critics.memory.pi.add_(100)
    batch = codes(seed=2)[1], alpha
    got, expected = other(*batch), regularizer(*batch)
    assert got.critic_loss != expected.critic_loss
    if name != "classes":
        # The joint pairs are the same; with whom a sample is paired may lie in the newest rows of its block.
        assert got.metrics["mi"].isfinite()
    torch.testing.assert_close(got.observed["pi"], expected.observed["pi"])


def test_the_newest_rows_of_a_small_batch_come_from_the_step_before():
    regularizer = mireg.ClassifierMI(1, 1, rows=256)
    x = torch.arange(100.0)[:, None]
    regularizer.update(regularizer(x, x))
    batch, felt, *_ = regularizer.critics.assemble(x[:28], x[:28], None)
    assert len(batch.pi) == 256 and batch.block == 128
    assert batch.counted.tolist()[:128] == [True] * 128
    assert not batch.counted[128:228].all()
    assert len(felt) == 28


def test_a_resumed_memory_goes_on_as_one_that_never_stopped():
    constraint = mireg.RobustMIConstraint(PI, ALPHA)
    optimizer = optimizer_of(constraint)
    for seed in range(20):
        train_step(constraint, optimizer, seed)
    resumed = mireg.RobustMIConstraint(PI, ALPHA)
    resumed.load_state_dict(constraint.state_dict())
    again = optimizer_of(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.critics.memory.count == 320
    for seed in range(20, 23):
        expected = train_step(constraint, optimizer, seed)
        got = train_step(resumed, again, seed)
    torch.testing.assert_close(tensors(got), tensors(expected), rtol=0, atol=0)
    torch.testing.assert_close(copied(resumed), copied(constraint), rtol=0, atol=0)


def test_without_rows_there_is_no_memory():
    constraint = mireg.RobustMIConstraint(PI, ALPHA, rows=0)
    assert constraint.critics.memory is None
    assert not constraint(*codes()[1:]).codes or not any("memory" in n for n in copied(constraint))


def test_identities_keep_apart_what_a_memory_holds():
    """Samples of one identity are no negatives, however long ago one of them was seen."""
    regularizer = mireg.ClassifierMI(PI, ALPHA, rows=64, negatives=pairs.AllNegatives())
    _, pi, alpha, _ = codes()
    groups = torch.arange(16)
    regularizer.update(regularizer(pi, alpha, groups=groups))
    batch, *_ = regularizer.critics.assemble(pi, alpha, groups)
    found = regularizer.critics.pair(batch).pairs
    of, with_ = (found.marginal_weights > 0).nonzero().unbind(1)
    with_ = with_ + of // batch.block * batch.block
    assert (batch.groups[of] != batch.groups[with_]).all()
    assert ((of < 16) & (with_ >= 16)).any()


@no_encoder
def test_critics_that_see_few_fresh_pairs_read_more_with_a_memory():
    """Batches of 16: on average over two trainings, since a reading from so few is noisy."""
    nats, n, steps = 1.0, 16, 200
    generator = torch.Generator().manual_seed(0)
    fresh = [correlated_gaussians(512, nats, 2, generator) for _ in range(8)]

    def read(rows, seed):
        draw = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)

        def critic():
            return mireg.SeparableCritic(2, 2, width=32, depth=2)

        regularizer = mireg.ClassifierMI(2, 2, critic=critic, rows=rows)
        optimizer = optimizer_of(regularizer, 1e-3)
        for _ in range(steps):
            train_on(regularizer, optimizer, *correlated_gaussians(n, nats, 2, draw))
        return held_out(regularizer, fresh)

    without, with_memory = (sum(read(rows, seed) for seed in (1, 2)) / 2 for rows in (0, 256))
    assert with_memory > without + 0.1
    assert with_memory > 0.6 * nats


def test_a_large_batch_is_read_whole_and_learnt_from_in_part():
    """Both learn from 256 of 512 here, and T reads all."""
    order = scattered(torch.arange(512)).argsort()
    constraint = mireg.RobustMIConstraint(PI, ALPHA, rows=128)
    constraint.critics.scales.clear()
    _, pi, alpha, posterior = codes(512)
    told = constraint(pi, alpha, posterior)
    for changed, same in ((255, False), (256, True)):
        other = pi.detach().clone()
        other[order[changed:]] += 1
        penalty = constraint(other, alpha, posterior)
        assert penalty.critic_loss.equal(told.critic_loss) == same
        assert penalty.metrics["mi_shadow"].equal(told.metrics["mi_shadow"]) == same
        assert not penalty.metrics["mi"].equal(told.metrics["mi"])
