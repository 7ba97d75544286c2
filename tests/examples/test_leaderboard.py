"""The judge of the leaderboard finds what is there, and nothing where nothing is."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "benchmarks" / "leaderboard"
sys.path.insert(0, str(FOLDER))

import controls
import figures
import judge
import run
import table

SIZES = (4000, 1000, 4000)
FAST = ("logistic", "perceptron 64", "boosting")


def test_the_judge_finds_nothing_in_a_shuffled_attribute():
    splits, _ = controls.shifted_gaussians(SIZES, shift=2.0)
    found = judge.leakage(controls.shuffled(splits), 2, attackers=FAST[:2])
    assert abs(found["leak"]) < 0.01
    assert found["low"] < 0.003


def test_the_judge_finds_a_planted_xor_that_no_linear_attacker_sees():
    found = judge.leakage(controls.planted_xor(SIZES, features=2), 2, attackers=FAST)
    assert found["attacker"] != "logistic"
    assert abs(found["members"]["logistic"]) < 0.01
    assert 0.85 * controls.XOR < found["leak"] < 1.1 * controls.XOR


def test_the_judge_finds_a_known_amount():
    splits, truth = controls.shifted_gaussians(SIZES, shift=1.5)
    found = judge.leakage(splits, 2, attackers=FAST)
    assert found["leak"] == pytest.approx(truth, rel=0.12)
    assert found["low"] < truth < found["high"] + 0.01
    assert 0.7 < found["auc"] < 0.9


def test_quality_is_the_accuracy_of_labels_and_the_explained_variance_of_numbers():
    generator = torch.Generator().manual_seed(0)
    few = (2000, 500, 1000)
    x = torch.randn(sum(few), 2, generator=generator)
    y = (x[:, 0] > 0).long()
    label = judge.quality(controls.cut(x, y, few), torch.zeros(1000).long(), 2)
    assert label["quality"] > 0.95 and label["parity_gap"] == 0
    number = judge.quality(controls.cut(x, x[:, :1], few), torch.zeros(1000).long(), 0)
    assert number["quality"] > 0.95


def test_the_parity_gap_is_the_largest_total_variation():
    decided = torch.tensor([0, 0, 1, 1, 1, 1, 1, 0])
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert judge.parity_gap(decided, groups, 2) == pytest.approx(0.25)


def row(setting, leak, quality, **more):
    on_validation = {"validation_leak": leak, "validation_quality": quality}
    return {
        "setting": setting,
        "leak": leak,
        "high": leak,
        "quality": quality,
        **on_validation,
        **more,
    }


def test_settings_are_chosen_on_validation_data_alone():
    rows = [row(1, 0.04, 0.8), row(2, 0.03, 0.9), row(3, 0.2, 0.95)]
    rows[0]["quality"] = 0.99
    assert figures.chosen(rows, 0.05)["setting"] == 2
    assert figures.chosen(rows, 0.01) is None
    assert [r["setting"] for r in figures.front(rows)] == [2, 3]


def test_trainings_are_counted_from_what_is_asked_or_in_random_order():
    rows = [row(s, leak, 0.8) for s, leak in ((0.1, 0.2), (0.05, 0.06), (0.02, 0.01))]
    assert figures.trainings(rows, 0.05, target=True) == 2
    assert figures.trainings(rows, 0.05, target=False) == 2
    assert figures.trainings(rows, 0.001, target=False) == float("inf")
    assert figures.control_errors(rows) == pytest.approx([2, 1.2, 0.5])
    assert figures.kept_word(rows) == pytest.approx(2 / 3)


def test_rivals_are_chosen_within_epsilon_on_validation_rows_and_by_our_leak_on_the_test():
    common = {"task": "t", "seed": 0, "settled": True, "fit_seconds": 2.0}
    ours = row(0.05, 0.045, 0.7, **common, method="mireg")
    promised = row(1, 0.06, 0.8, **common, method="A") | {"validation_leak": 0.05}
    quiet = row(2, 0.04, 0.75, **common, method="B", fit_cpu_seconds=1.0)
    louder = row(3, 0.2, 0.9, **common, method="B")
    *_, line = table.of_promise([ours, promised, quiet, louder])
    assert "A: 0.800 (0.060) | B: 0.750 (0.040) | 3 |" in line


def test_methods_are_compared_over_the_seeds_that_all_of_them_have():
    common = {"task": "t", "settled": True}
    ours = [row(0.05, 0.04 + s / 100, 0.7, **common, method="mireg", seed=s) for s in (0, 1)]
    rival = row(3, 0.04, 0.9, **common, method="A", seed=0)
    assert figures.shared([*ours, rival]) == [ours[0], rival]
    *_, line = table.of_seeds([*ours, rival])
    assert line == "| t | 0.05 | 0, 1 | 0.040, 0.050 | 0.050 | 0.700, 0.700 |"


def test_no_area_is_left_over_a_curve_that_loses_nothing():
    assert figures.area([row(1, 0.0, 0.9)], best=0.9) == pytest.approx(0)
    assert figures.area([row(1, 0.5, 0.9, trivial_quality=0.4)], best=0.9) == pytest.approx(0.5)


def test_the_judge_imports_nothing_of_mireg():
    program = "import sys, attackers, controls, judge; print([m for m in sys.modules if m.startswith('mireg')])"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


def options_of(path, **changed):
    settings = dict(tasks=["adult"], only=["mireg", "PCA"], seeds=[0], settings=2, steps=5)
    rest = dict(device="cpu", judge="cpu", data=None, out=path, no_codes=True)
    return Namespace(**{**settings, **rest, **changed})


def test_a_run_that_was_stopped_does_what_is_left(tmp_path):
    whole = list(run.plan(options_of(tmp_path), set()))
    assert len({job.key for job in whole}) == len(whole) == 6
    left = list(run.plan(options_of(tmp_path), {job.key for job in whole[:4]}))
    assert left == whole[4:]
    # A row of another number of steps, or of another seed, is another one.
    assert len(list(run.plan(options_of(tmp_path, steps=6), {job.key for job in whole}))) == 6


def test_controls_have_no_seed(tmp_path):
    done = {job.key for job in run.plan(options_of(tmp_path), set())}
    seeds = [job.seed for job in run.plan(options_of(tmp_path, seeds=[1, 2]), done)]
    assert len(seeds) == 8 and set(seeds) == {1, 2}


def test_rows_are_read_from_files_and_folders_and_joined_with_their_audits(tmp_path):
    rows = [dict(zip(figures.KEY, ("t", "A", 0.05, seed, 10), strict=True)) for seed in (0, 1)]
    found = {"mi": 0.04, "low": 0.03, "high": 0.05, "settled": False, "verdict": "undecided"}
    judged = [{**row, "leak": 0.05} for row in rows]
    written = [*judged, {**rows[0], "audit": found}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in written))
    read = table.read([tmp_path, tmp_path / "rows.jsonl"])
    assert read == [{**judged[0], "audit": found}, judged[1]]
    assert [table.audit_of(row) for row in read] == ["0.040* (0.030 to 0.050)", "–"]


def test_the_tables_of_the_page_are_those_of_the_rows():
    rows = table.read([ROOT / "docs" / "results" / "leaderboard.jsonl"])
    page = (ROOT / "docs" / "results" / "leaderboard_tables.md").read_text()
    assert page == table.page(rows) + "\n"
