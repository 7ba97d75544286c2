"""The comparison: it resumes run by run, its page stands alone, and its verdicts follow from its numbers."""

import json
import re
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import processes
import pytest
from compare import STUDIES
from comparison.animation import MOST_BYTES, animation
from comparison.bodies import leak
from comparison.categories import categories
from comparison.claims import claims
from comparison.codes import codes
from comparison.fig7 import fig7
from comparison.finished import FinishedRun, images_of, of_data
from comparison.legend import MEANINGS, legend
from comparison.plan import METHODS, TABLE1, PlannedRun, plan
from comparison.report import write_report
from comparison.runner import run_all
from comparison.section import Picture, Section, Table
from comparison.table1 import table1
from comparison.table2 import judge, table2
from comparison.trials import trials
from comparison.tuning import TRIALS, choose, tune, with_validation
from comparison.tuning_record import TUNED, read_record, tuned
from evaluation.triplet_error import triplet_errors
from objectives import OBJECTIVES
from PIL import Image
from training.checkpoint import load_checkpoint
from training.log import read_log
from training.options import TrainOptions, write_options
from training.run import StopSignal

PROGRAM = Path(__file__).parents[2] / "examples" / "pose_appearance" / "compare.py"


def start(*arguments):
    return processes.start(sys.executable, PROGRAM, *arguments)


def finish(process, code=0):
    return processes.finish(process, 250, code)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a comparison that was killed in its first run and went on."""
    out = tmp_path_factory.mktemp("comparison")
    arguments = ["--budget", "smoke", "--methods", "robust", "--steps", 100, "--out", out]
    process = start(*arguments)
    first = out / "runs" / "puppets-robust-0"
    deadline = time.monotonic() + 100
    while not read_log(first) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    text, _ = finish(process, code=1)
    assert "Stopped by SIGTERM" in text
    stopped = load_checkpoint(first / "checkpoint.pt")["step"]
    assert 0 < stopped < 100
    assert not (first / "evaluation.json").exists() and not (out / "report.html").exists()
    finish(start(*arguments))
    assert min(line["step"] for line in read_log(first) if line["step"] > stopped) <= stopped + 20
    return out, arguments


def test_a_killed_comparison_goes_on_and_finished_runs_stay(finished):
    out, arguments = finished
    checkpoints = sorted(out.glob("runs/*/checkpoint.pt"))
    assert [path.parent.name for path in checkpoints] == ["puppets-robust-0"]
    assert all(load_checkpoint(path)["step"] == 100 for path in checkpoints)
    before = [path.stat().st_mtime_ns for path in checkpoints]
    (out / "report.html").unlink()
    finish(start(*arguments))
    assert before == [path.stat().st_mtime_ns for path in checkpoints]
    assert (out / "report.html").exists()


def test_a_folder_of_other_runs_is_refused(finished):
    _, arguments = finished
    _, err = finish(start(*[200 if x == 100 else x for x in arguments]), code=1)
    assert "holds a run with other options" in err


def test_the_page_holds_its_pictures_and_every_number_is_in_json(finished):
    out, _ = finished
    page = (out / "report.html").read_text()
    sources = re.findall(r"src='([^']{0,30})", page)
    assert len(sources) >= 2 and all(re.match("data:image/(png|gif);base64,", x) for x in sources)
    assert not re.findall(r"(?:href|url\()", page)
    numbers = json.loads((out / "comparison.json").read_text())
    row = numbers["Table 1: ablations"]["puppets-robust-0"]
    run = FinishedRun(out / "runs" / "puppets-robust-0")
    assert row["audit"] == run.evaluation["audit"]["mi"]
    assert row["triplet_median"] == pytest.approx(float(np.median(run.errors)))
    assert f"{row['triplet_median']:.4f}" in page
    assert set(numbers["Fig. 7: triplet errors"]["puppets"]["methods"]) == {"robust"}


def test_the_page_explains_its_methods_and_table_1_shows_what_codes_say_alone(finished):
    assert set(MEANINGS) == set(METHODS)
    run = FinishedRun(finished[0] / "runs" / "puppets-robust-0")
    assert [row[0] for row in legend([run], finished[0]).tables[0].rows] == ["robust"]
    (picture,) = table1([run], finished[0]).pictures
    assert picture.path.name == "visualization.png"


def test_a_finished_run_gives_sections_its_model_and_its_triplets(finished):
    run = FinishedRun(finished[0] / "runs" / "puppets-robust-0")
    assert run.method == "robust" and len(run.triplets.x1) == len(run.errors) == 60
    assert set(run.held_out.split) == {"test"}
    trainer = run.trainer()
    assert trainer.step_count == 100
    again = triplet_errors(run.transfer(), run.held_out, run.triplets, 32, trainer.device)
    np.testing.assert_allclose(again.transfer, run.errors, rtol=1e-4)


def test_tuning_tries_as_much_for_every_method_and_keeps_the_best(tmp_path):
    for by_method in TRIALS.values():
        assert set(by_method) == set(METHODS) - {"supervised"}
        tunable = {name: trials for name, trials in by_method.items() if name != "robust"}
        assert len({len(trials) for trials in tunable.values()}) == 1
        assert by_method["robust"] == [{}]
    arguments = ["--tune", "--budget", "smoke", "--methods", "bvae", "supervised"]
    finish(start(*arguments, "--out", tmp_path))
    record = json.loads((tmp_path / "puppets.json").read_text())
    assert set(record) == {"bvae"}
    tried = record["bvae"]["trials"]
    assert [trial["options"] for trial in tried] == TRIALS["puppets"]["bvae"]
    best = min(tried, key=lambda trial: trial["validation_median"])
    assert record["bvae"]["chosen"] == best["options"]


def test_tuning_takes_a_trial_that_keeps_epsilon_where_a_bound_promises_it():
    rows = ((0.02, 0.5), (0.04, 0.2), (0.03, 0.25))
    tried = [{"validation_median": m, "validation_body": b} for m, b in rows]
    assert choose("robust", tried, 0.125) == tried[2]
    assert choose("bvae", tried, 0.125) == tried[0]
    assert choose("robust", tried[:1], 0.125) == tried[0]
    assert choose("robust", [{"validation_median": x} for x in (2, 1)], 0.125) == {
        "validation_median": 1
    }


def test_tuning_knows_what_it_has_trials_for(tmp_path):
    budget = plan("full", tmp_path, ("robust",), data=("creatures",))
    with pytest.raises(ValueError, match="puppets with preset tiny, .*, got creatures"):
        tune(budget, tmp_path, StopSignal())


def test_tuning_validates_on_training_identities_alone():
    images = images_of(plan("smoke").runs[0].options)
    known = with_validation(images)
    validated = set(known.subset("val").identity)
    assert validated and validated < set(images.subset("train").identity)
    assert not set(known.identity) & set(images.subset("test").identity)
    published = replace(images, split=np.where(images.split == "test", "val", "train"))
    assert with_validation(published).split.tolist() == published.split.tolist()


def test_methods_of_a_budget_differ_in_their_objective_alone(tmp_path):
    for name, root in (("quick", None), ("full", tmp_path)):
        for data in of_data_names(plan(name, root)):
            tunable = {
                key for of in TRIALS.values() for trials in of.values() for x in trials for key in x
            }
            neutral = {key: getattr(TrainOptions(), key) for key in tunable}
            options = [run.options for run in plan(name, root).runs if run.options.data == data]
            same = {replace(x, objective="robust", seed=0, **neutral) for x in options}
            assert len(same) == 1
    full = plan("full", tmp_path).runs
    sprites = [run for run in full if run.options.data == "sprites"]
    assert len(sprites) == 2 * (len(OBJECTIVES) - 1)
    assert len({run.name for run in full}) == len(full)


def of_data_names(budget):
    return {run.options.data for run in budget.runs}


def test_impossible_plans_are_named():
    with pytest.raises(ValueError, match="--data-root"):
        plan("full")
    with pytest.raises(ValueError, match="methods are robust, .*, got gan"):
        plan("quick", methods=("gan",))


def made_up(folder, method, mi, shadow, fresh, error, seed=0):
    """Writes what sections read of a run."""
    folder = folder / f"{method}-{seed}"
    folder.mkdir(parents=True)
    options = TrainOptions(preset="tiny", identities=10, poses=4, objective=method, seed=seed)
    write_options(replace(options, test_fraction=0.4), folder / "options.json")
    training = {"mi_average": mi, "mi_shadow_average": shadow, "reconstruction": 9.0}
    training |= {"gamma": 1.0, "multiplier": 2.0, "kl": 3.0}
    evaluation = {
        "training": training,
        "audit": {"mi": fresh, "standard_error": 0.01, "lower_bound": 0.0},
        "triplets": {"count": 4, "seed": 1},
        "self_reconstruction": {"mean": 0.5},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    np.savez(folder / "errors.npz", transfer=np.array([error, error, error, 9 * error]))
    Image.new("RGB", (4, 4)).save(folder / "transfer.png")
    return FinishedRun(folder)


def test_honest_methods_compete_and_dishonest_ones_do_not(tmp_path):
    runs = [
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02),
        made_up(tmp_path, "bvae", 0.1, 0.1, 0.2, 0.03),
        made_up(tmp_path, "drnet", 0.1, 0.9, 0.9, 0.01),
        made_up(tmp_path, "supervised", 0.0, 0.0, 0.0, 0.001),
    ]
    numbers = claims(runs, tmp_path).numbers
    assert numbers["puppets: robust is best"]["shown"] is True
    assert "drnet" not in numbers["puppets: robust is best"]["why"]
    runs[2] = made_up(tmp_path / "2", "drnet", 0.1, 0.9, 0.24, 0.01)
    assert claims(runs, tmp_path).numbers["puppets: robust is best"]["shown"] is False
    runs[0] = made_up(tmp_path / "3", "robust", 0.1, 0.1, 0.3, 0.001)
    assert claims(runs, tmp_path).numbers["puppets: robust is best"]["shown"] is False


def test_what_codes_tell_of_the_body_counts_as_much_as_what_they_tell_of_the_appearance(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.1, 0.0, 0.02) for method in ("robust", "adversarial")]
    assert claims(runs, tmp_path).numbers["puppets: overpowering"]["shown"] is False
    body = {"mi": 0.5, "standard_error": 0.01}
    (runs[1].folder / "body.json").write_text(json.dumps(body))
    assert claims(runs, tmp_path).numbers["puppets: overpowering"]["shown"] is True
    assert [leak(run) for run in runs] == [0.0, 0.5]
    (table,) = table1(runs, tmp_path).tables
    assert [row[6] for row in table.rows] == ["0.500 ± 0.020", ""]


@pytest.mark.parametrize(
    ("mi", "shadow", "fresh", "shown"),
    [
        (0.12, 0.4, 0.1, True),
        (0.12, 0.1, 0.4, True),
        (0.13, 0.4, 0.4, False),
        (0.12, 0.37, 0.37, False),
    ],
)
def test_overpowering_is_a_critic_that_misses_what_others_see(tmp_path, mi, shadow, fresh, shown):
    run = made_up(tmp_path, "adversarial", mi, shadow, fresh, 0.02)
    numbers = claims([run], tmp_path).numbers
    assert numbers["puppets: overpowering"]["shown"] is shown
    assert "puppets: robust is best" not in numbers


def test_overpowering_is_not_put_together_from_several_seeds(tmp_path):
    runs = [
        made_up(tmp_path, "adversarial", 0.2, 0.2, 0.5, 0.02, seed=0),
        made_up(tmp_path, "adversarial", 0.0, 0.0, 0.3, 0.02, seed=1),
    ]
    assert claims(runs, tmp_path).numbers["puppets: overpowering"]["shown"] is False


def test_table_1_has_the_rows_of_the_paper_in_order_and_the_constraint_below(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.2, 0.3, 0.02) for method in METHODS]
    section = table1(runs, tmp_path)
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["a", "b", "c", "d", "e", ""]
    assert [row[1] for row in table.rows] == list(TABLE1)
    assert table.rows[0][2:8] == ["0.100", "0.200", "9.0", "0.300 ± 0.020", "", "0.000"]
    assert [picture.caption for picture in section.pictures][4:] == [
        "e) paper, puppets",
        "robust, puppets",
    ]
    assert table1([run for run in runs if run.method == "drnet"], tmp_path) is None


def test_fig_7_joins_seeds_and_sorts_by_the_median(tmp_path):
    runs = [
        made_up(tmp_path, "drnet", 0.1, 0.1, 0.1, 0.05),
        made_up(tmp_path, "paper", 0.1, 0.1, 0.1, 0.02),
        made_up(tmp_path, "paper", 0.1, 0.1, 0.1, 0.04, seed=1),
    ]
    section = fig7(runs, tmp_path)
    methods, trivial = section.tables
    assert [row[:3] for row in methods.rows] == [
        ["paper", "2", "0.0400"],
        ["drnet", "1", "0.0500"],
    ]
    assert methods.rows[0][-1] == "0.0026"
    assert len(trivial.rows[0]) == 4
    assert section.numbers["puppets"]["methods"]["paper"]["mean"] == pytest.approx(0.09)
    assert section.pictures[0].path.stat().st_size > 5000
    assert list(of_data(runs)) == ["puppets"]


def test_the_page_shows_texts_as_they_are(tmp_path):
    path = tmp_path / "x.png"
    Image.new("RGB", (2, 2)).save(path)
    table = Table("a < b", ["<script>"], [["I_T' & γ"], ["long " * 20]])
    section = Section("T & T'", "x < y", [table], [Picture("<i>", path)])
    write_report(tmp_path / "report.html", "All <of> it", [("command", "a & b")], [section])
    page = (tmp_path / "report.html").read_text()
    for text in (
        "a &lt; b",
        "&lt;script&gt;",
        "I_T&#x27; &amp; γ",
        "x &lt; y",
        "All &lt;of&gt; it",
    ):
        assert text in page
    assert "<script" not in page and "<i>" not in page


def test_a_budget_can_do_with_fewer_seeds(tmp_path):
    names = [run.name for run in plan("full", tmp_path).runs]
    first = [run.name for run in plan("full", tmp_path, seeds=1).runs]
    assert first == [name for name in names if name.endswith("-0")]
    assert {name for name in names if name.endswith("-1")} == {
        f"sprites-{method}-1" for method in METHODS if method != "supervised"
    }


def test_a_budget_can_do_with_less_data(tmp_path):
    names = {run.name for run in plan("full", tmp_path, ("robust", "fixed"), 1, ("sprites",)).runs}
    assert names == {"sprites-robust-0", "sprites-fixed-0"}
    with pytest.raises(ValueError, match="quick budget has puppets, got sprites"):
        plan("quick", data=("sprites",))


@pytest.mark.parametrize("data", list(TUNED))
def test_comparisons_use_and_show_what_tuning_chose(data, tmp_path):
    record = read_record(data)
    # The constraint has no weight, and its trial is for the page alone.
    assert set(record) | {"robust"} == set(TRIALS[data])
    budget = plan("quick") if data == "puppets" else plan("full", tmp_path, data=(data,))
    for run in budget.runs:
        chosen = record.get(run.options.objective, {"chosen": {}})["chosen"]
        assert all(getattr(run.options, name) == value for name, value in chosen.items())
        assert chosen == tuned(data, TUNED[data], run.options.objective)
    for method, of_method in record.items():
        assert [trial["options"] for trial in of_method["trials"]] == TRIALS[data][method]
        best = choose(method, of_method["trials"], budget.runs[0].options.epsilon)
        assert of_method["chosen"] == best["options"]


def test_the_page_shows_the_trials_of_its_methods(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.2, 0.3, 0.02) for method in ("paper", "atsdm")]
    (table,) = trials(runs, tmp_path).tables
    assert sorted(row[0] for row in table.rows) == ["atsdm"] * 3 + ["paper"] * 3
    assert [row[-1] for row in table.rows].count("chosen") == 2


def test_weights_against_a_sum_over_more_pixels_grow_with_it():
    assert read_record("folder") == {} and tuned("puppets", "tiny", "supervised") == {}
    small, tiny = (tuned("puppets", preset, "cyclevae") for preset in ("small", "tiny"))
    assert small["cycle_weight"] == 4 * tiny["cycle_weight"]
    assert small["initial_gamma"] == tiny["initial_gamma"]
    assert tuned("creatures", "small", "cyclevae") == small


def test_a_second_study_does_nothing_and_finds_what_the_first_one_wrote(finished):
    out, _ = finished
    run = FinishedRun(out / "runs" / "puppets-robust-0")
    budget = plan("smoke", methods=("robust",))
    for study in STUDIES:
        assert list(study([run], budget)) == []
    numbers = json.loads((out / "comparison.json").read_text())
    judged = numbers["Table 2: identity and pose"]["puppets"]["robust"]
    assert judged == json.loads((run.folder / "table2.json").read_text())
    assert judged["count"] == budget.judged and judged["gallery"] == budget.gallery * 8
    page = (out / "report.html").read_text()
    assert f"{judged['reid']['transfer']:.3f}" in page and "src='data:image/gif;base64," in page
    shown = numbers["Sec. 4.2 and Fig. 1: single codes and retrieval"]["puppets-robust-0"]
    assert 0 < shown["view"]["top_5"] <= 1 and 0 < shown["view"]["chance"] < 1


def test_a_stopped_study_is_made_again_and_a_finished_part_stays(finished, tmp_path):
    source = finished[0] / "runs" / "puppets-robust-0"
    runs = []
    for name in ("first", "second"):
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("table2.json"))
        runs.append(FinishedRun(tmp_path / name))
    budget = plan("smoke", methods=("robust",))
    work = judge(runs, budget)
    assert [next(work) for _ in range(3)] == [
        "judges of first",
        "Table 2, first",
        "Table 2, second",
    ]
    work.close()
    before = (tmp_path / "first" / "table2.json").read_text()
    assert not (tmp_path / "second" / "table2.json").exists()
    assert list(judge(runs, budget)) == ["judges of second", "Table 2, second"]
    # The same model before judges that were trained anew.
    again = json.loads((tmp_path / "second" / "table2.json").read_text())
    assert again["reid"] == pytest.approx(json.loads(before)["reid"], abs=0.02)
    assert (tmp_path / "first" / "table2.json").read_text() == before


def test_table_2_averages_seeds_and_shows_the_best_that_judges_can_see(tmp_path):
    runs = [
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02),
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02, seed=1),
        made_up(tmp_path, "bvae", 0.1, 0.1, 0.1, 0.02),
    ]
    for run, value in zip(runs[:2], (0.2, 0.4), strict=True):
        scores = {"real": 0.9, "reconstruction": value, "transfer": value / 2, "chance": 0.05}
        made = {"judge_steps": 5, "gallery": 40, "count": 10}
        made |= {"reid": scores, "pose_accuracy": {**scores, "real": 0.8}}
        (run.folder / "table2.json").write_text(json.dumps(made))
    section = table2(runs, tmp_path)
    (table,) = section.tables
    assert table.rows == [
        ["real images", "0.900", "0.900", "0.800", "0.800"],
        ["chance", "0.050", "0.050", "0.050", "0.050"],
        ["robust", "0.300", "0.150", "0.300", "0.150"],
    ]
    scores = {"reconstruction": {"mean": 3.0, "deviation": 1.0}}
    scores |= {
        "real": {"mean": 2.0, "deviation": 0.5},
        "real_transfer": {"mean": 4.0, "deviation": 1},
    }
    scores |= {
        "transfer": {"mean": 5.0, "deviation": 1},
        "transfer_to_truth": {"mean": 6.0, "deviation": 1},
    }
    made = {"judge_steps": 5, "gallery": 40, "count": 10, "reid": made["reid"], "keypoints": scores}
    (runs[0].folder / "table2.json").write_text(json.dumps(made))
    (table,) = table2(runs[:1], tmp_path).tables
    assert table.rows[0][3:] == ["2.00 ± 0.50", "4.00 ± 1.00", "2.00 ± 0.50"]
    assert table.rows[1][3:] == ["", "", ""]
    assert table.rows[2][3:] == ["3.00 ± 1.00", "5.00 ± 1.00", "6.00 ± 1.00"]
    assert table2(runs[2:], tmp_path) is None


def test_creatures_are_shown_across_categories_and_compare_no_methods(tmp_path):
    budget = plan("smoke", methods=("robust",))
    options = replace(budget.runs[0].options, data="creatures", device="cpu")
    planned = PlannedRun("creatures-robust-0", options)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    runs = run_all(replace(budget, runs=(planned,)), tmp_path, StopSignal())
    for number, handler in handlers.items():
        signal.signal(number, handler)
    done = [what for study in STUDIES for what in study(runs, budget)]
    names = ("codes", "film", "categories")
    assert done == [f"{name} of creatures-robust-0" for name in names]
    assert [what for study in STUDIES for what in study(runs, budget)] == []
    section = categories(runs, tmp_path)
    numbers = section.numbers["creatures-robust-0"]
    within, across = numbers["mean_within_categories"], numbers["mean_across_categories"]
    mean = float(runs[0].errors.mean())
    assert min(within, across) <= mean <= max(within, across) and within != across
    assert set(numbers["retrieval"]) >= {"view", "phase"}
    files = [picture.path.name for picture in section.pictures]
    assert files == ["categories.png", "retrieval_across.png", "animation.gif"]
    assert table2(runs, tmp_path) is codes(runs, tmp_path) is table1(runs, tmp_path) is None


def test_a_large_film_stays_out_of_the_page(tmp_path):
    run = made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02)
    path = run.folder / "animation.gif"
    path.write_bytes(b"x" * MOST_BYTES)
    assert animation([run], tmp_path).pictures[0].path == path
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    assert animation([run], tmp_path) is None


def test_only_the_full_budget_has_creatures_and_only_for_the_full_model(tmp_path):
    def names(budget):
        return [run.name for run in budget.runs if run.options.data == "creatures"]

    assert names(plan("quick")) == names(plan("full", tmp_path, ("bvae",))) == []
    assert names(plan("full", tmp_path)) == ["creatures-robust-0"]


def test_some_of_the_held_out_identities_are_whole(tmp_path):
    run = made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02)
    some, held_out = run.some_held_out(3), run.held_out
    names = np.unique(some.identity)
    assert len(names) == 3 and len(np.unique(held_out.identity)) == 4
    rows = np.isin(held_out.identity, names)
    np.testing.assert_array_equal(some.images, held_out.images[rows])
    np.testing.assert_array_equal(some.keypoints, held_out.keypoints[rows])
    np.testing.assert_array_equal(run.some_held_out(4).images, held_out.images)
