"""One evaluation on many ranks: its numbers are those of one process."""

import json
import shutil
import sys

import pytest
import runs
import torch
from pose_appearance.programs.evaluate import EvaluateOptions, main
from pose_appearance.studies import Run
from pose_appearance.studies.codes import paired_codes
from pose_appearance.training.options import write_options
from processes import (
    as_launched,
    context,
    free_port,
    join,
    on_ranks,
    say_into,
    watch_groups,
)
from test_ranks import state_after

READ_WITH_A_MEMORY = {
    f"/estimates_{of}/{name}" for of in ("train", "held_out") for name in ("mi", "mi_shadow")
}
"""Partners come from the memory of each rank too, so that two ranks have others than one process."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    state_after(folder, 4)
    write_options(runs.TINY, folder / "options.json")
    return folder


def codes_of(folder):
    run = Run(folder, device=torch.device("cpu"))
    # Loading sets the state of random numbers.
    trainer = run.trainer
    torch.manual_seed(0)
    return [x.tolist() for x in paired_codes(trainer, run.held_out, 3, samples=40)]


def on_a_rank(rank, folder):
    return codes_of(folder)


def test_codes_are_encoded_on_all_ranks_as_on_one(trained, tmp_path):
    first, second = on_ranks(2, tmp_path, on_a_rank, trained)
    assert first == second
    for shared, alone in zip(first, codes_of(trained), strict=True):
        torch.testing.assert_close(torch.tensor(shared), torch.tensor(alone))


def evaluate_on_rank(rank, port, folder):
    as_launched(rank, port)
    say_into(folder / f"errors_{rank}")
    watch_groups()
    with open(folder / f"said_{rank}", "w") as sys.stdout:
        torch.set_num_threads(1)
        main(EvaluateOptions(folder, count=61, device="cpu"))


@pytest.mark.slow
def test_an_evaluation_on_two_ranks_is_that_of_one_process_and_the_first_writes(trained, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(trained, tmp_path / name)
    main(EvaluateOptions(tmp_path / "one", count=61, device="cpu"))
    arguments = free_port(), tmp_path / "two"
    processes = [
        context().Process(target=evaluate_on_rank, args=(rank, *arguments)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    join(processes, [tmp_path / "two" / f"errors_{rank}" for rank in range(2)], 100)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "two" / "said_0").read_text()
    assert not (tmp_path / "two" / "said_1").read_text()
    alone, shared = (
        json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "two")
    )
    alone, shared = flat(alone), flat(shared)
    for name in alone.keys() & READ_WITH_A_MEMORY:
        assert shared.pop(name) == pytest.approx(alone.pop(name), abs=0.02)
    assert shared == pytest.approx(alone, rel=1e-4, abs=1e-5)
    assert (tmp_path / "two" / "transfer.png").exists()


def flat(tree, prefix=""):
    """Gives the numbers of nested dictionaries by their paths."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        path: value
        for name, branch in tree.items()
        for path, value in flat(branch, f"{prefix}/{name}").items()
    }
