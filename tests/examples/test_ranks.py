"""One run on many ranks: it is the run of one process, and outlives the death of a rank."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import runs
import torch
from pose_appearance.data.pairs import PairSampler
from pose_appearance.programs.train import main
from pose_appearance.training.checkpoint import NAME, checkpoints_of, load_checkpoint
from pose_appearance.training.log import read_log
from pose_appearance.training.run import build_trainer, load_images, resume, train
from pose_appearance.training.trainer import Diverged
from processes import (
    as_launched,
    context,
    free_port,
    join,
    on_ranks,
    say_into,
    watch_groups,
)

NEVER = SimpleNamespace(name=None)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_a_batch_and_no_pair_is_seen_twice(ranks):
    images = load_images(runs.TINY)
    samplers = [PairSampler(images, 8, 2, 16, 0, rank, ranks) for rank in range(ranks)]
    whole = PairSampler(images, 8, 2, 16, 0)
    for step in range(5):
        shares = [sampler.batch_at(step) for sampler in samplers]
        for name, expected in whole.batch_at(step)._asdict().items():
            assert torch.cat([getattr(share, name) for share in shares]).equal(expected)
        assert len(torch.cat([share.groups for share in shares]).unique()) == 8
    with pytest.raises(ValueError, match="must be a multiple of the 3 ranks, got 8"):
        PairSampler(images, 8, 2, 16, 0, 0, 3)


def state_after(folder, steps, **changes):
    """Trains, and gives the state of the run as lists."""
    options = replace(runs.TINY, steps=steps, **changes)
    trainer = build_trainer(options, load_images(options), torch.device("cpu"))
    if checkpoints_of(folder):
        resume(trainer, folder)
    folder.mkdir(exist_ok=True)
    assert train(trainer, folder, NEVER)
    modules = {"model": trainer.model, "averaged": trainer.averaged, "replay": trainer.replay}
    modules["regularizer"] = trainer.regularizer
    return {
        f"{name}.{key}": value.tolist()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def on_a_rank(rank, folder, steps, objective):
    return state_after(folder, steps, objective=objective)


def assert_same(a, b):
    for name, value in a.items():
        torch.testing.assert_close(
            torch.tensor(b[name]), torch.tensor(value), rtol=1e-3, atol=1e-4, msg=name
        )


MEMORY = pytest.mark.xfail(
    reason="the memory of a constraint holds the codes of its own rank, and not those of all"
)


@pytest.mark.parametrize("objective", ["paper", pytest.param("robust", marks=MEMORY)])
@pytest.mark.slow
def test_two_ranks_train_as_one_process_and_resume_on_another_number(tmp_path, objective):
    first, second = on_ranks(2, tmp_path, on_a_rank, tmp_path / "two", 4, objective)
    assert first == second
    assert_same(state_after(tmp_path / "one", 4, objective=objective), first)
    # From the checkpoint of two ranks to one process, and on.
    one, two = (state_after(tmp_path / name, 6, objective=objective) for name in ("one", "two"))
    assert_same(one, two)
    steps = [[line["step"] for line in read_log(tmp_path / name)] for name in ("one", "two")]
    assert steps == [[1], [1]]


def start_rank(rank, port, folder, **changes):
    as_launched(rank, port)
    runs.start_or_resume(folder, **changes)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_with_a_message_and_a_checkpoint(tmp_path, victim):
    folder, port, processes = tmp_path / "run", free_port(), []
    for rank in range(2):
        changes = {"steps": 5000, "identities_per_batch": 4}
        processes.append(
            context().Process(target=start_rank, args=(rank, port, folder), kwargs=changes)
        )
        processes[-1].start()
    deadline = time.monotonic() + 100
    while not read_log(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[victim].kill()
    join(processes, [folder.with_suffix(".out")], 100)
    said = folder.with_suffix(".out").read_text()
    assert processes[1 - victim].exitcode == 1, said
    assert f"error: rank {1 - victim} lost another rank" in said
    assert f"continue on any number of ranks with --resume {folder}" in said

    step = load_checkpoint(folder / NAME)["step"]
    alone = context().Process(
        target=runs.start_or_resume, args=(folder,), kwargs={"steps": step + 2}
    )
    alone.start()
    join([alone], [folder.with_suffix(".out")], 100)
    assert alone.exitcode == 0, folder.with_suffix(".out").read_text()
    assert f"Resuming at step {step}\n" in folder.with_suffix(".out").read_text()


def diverge_on_a_rank(rank, port, folder):
    as_launched(rank, port)
    say_into(folder.with_suffix(f".{rank}"))
    watch_groups()
    with pytest.raises(Diverged):
        main(replace(runs.TINY, out=folder, scale=1e-30))


def test_a_run_that_fails_leaves_no_group(tmp_path):
    """What an error holds would keep the group alive, and a rank may then never end."""
    folder, port = tmp_path / "run", free_port()
    processes = [
        context().Process(target=diverge_on_a_rank, args=(rank, port, folder)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    said = [folder.with_suffix(f".{rank}") for rank in range(2)]
    join(processes, said, 100)
    codes = [process.exitcode for process in processes]
    assert codes == [0, 0], "\n".join(path.read_text() for path in said)
