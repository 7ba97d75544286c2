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
from PIL import Image
from pose_appearance.comparison.claims import claims, leak
from pose_appearance.comparison.fig7 import fig7
from pose_appearance.comparison.legend import legend
from pose_appearance.comparison.plan import PlannedRun, plan
from pose_appearance.comparison.report import write_report
from pose_appearance.comparison.runner import run_all, study_run
from pose_appearance.comparison.table1 import table1, table1_columns
from pose_appearance.comparison.trials import trials
from pose_appearance.comparison.tuned import read_record, tuned
from pose_appearance.comparison.tuning import choose, tune, with_validation
from pose_appearance.data import DATA_SETS
from pose_appearance.data.pairs import triplets
from pose_appearance.methods import METHODS
from pose_appearance.studies import STUDIES, Run
from pose_appearance.studies.run import Effort, compared, images_of
from pose_appearance.studies.section import MOST_BYTES, Picture, Section, Table
from pose_appearance.studies.triplet_error import triplet_errors
from pose_appearance.training.checkpoint import load_checkpoint
from pose_appearance.training.log import read_log
from pose_appearance.training.options import MethodOptions, TrainOptions, write_options
from pose_appearance.training.run import StopSignal

TUNED = {name: x.tuned_with for name, x in DATA_SETS.items() if x.tuned_with}
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
    assert not (first / "metrics.json").exists() and not (out / "report.html").exists()
    finish(start(*arguments))
    assert min(line["step"] for line in read_log(first) if line["step"] > stopped) <= stopped + 20
    return out, arguments


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_folder_of_other_runs_is_refused(finished):
    _, arguments = finished
    _, err = finish(start(*[200 if x == 100 else x for x in arguments]), code=1)
    assert "holds a run with other options" in err


@pytest.mark.slow
def test_the_page_holds_its_pictures_and_every_number_is_in_json(finished):
    out, _ = finished
    page = (out / "report.html").read_text()
    sources = re.findall(r"src='([^']{0,30})", page)
    assert len(sources) >= 2 and all(re.match("data:image/(png|gif);base64,", x) for x in sources)
    assert not re.findall(r"(?:href|url\()", page)
    numbers = json.loads((out / "comparison.json").read_text())
    row = numbers["Table 1: ablations"]["puppets-robust-0"]
    run = Run(out / "runs" / "puppets-robust-0")
    assert row["audit"] == run.result("audit")["audit"]["mi"]
    assert row["triplet_median"] == pytest.approx(float(np.median(run.errors)))
    assert f"{row['triplet_median']:.4f}" in page
    assert set(numbers["Fig. 7: triplet errors"]["puppets"]["methods"]) == {"robust"}


@pytest.mark.slow
def test_the_page_explains_its_methods_and_table_1_shows_what_codes_say_alone(finished):
    assert all(method.source and method.adds for method in METHODS.values())
    run = Run(finished[0] / "runs" / "puppets-robust-0")
    assert [row[0] for row in legend([run]).tables[0].rows] == ["robust"]
    (picture,) = table1([run]).pictures
    assert picture.path.name == "visualization.png"


@pytest.mark.slow
def test_a_finished_run_gives_studies_its_model_and_its_images(finished):
    run = Run(finished[0] / "runs" / "puppets-robust-0")
    assert run.method == "robust" and len(run.errors) == 60
    assert set(run.held_out.split) == {"test"}
    assert run.trainer.step_count == 100
    drawn = triplets(run.held_out, 60, 1)
    again = triplet_errors(run.model.transfer, run.held_out, drawn, 32, run.device)
    np.testing.assert_allclose(again.transfer, run.errors, rtol=1e-4)


@pytest.mark.slow
def test_tuning_tries_as_much_for_every_method_and_keeps_the_best(tmp_path):
    for data in TUNED:
        tried = {name: x.trials[data] for name, x in METHODS.items() if data in x.trials}
        assert set(tried) == set(METHODS) - {"supervised"}
        assert tried.pop("robust") == ({},)
        assert len({len(trials) for trials in tried.values()}) == 1
    arguments = ["--tune", "--budget", "smoke", "--methods", "bvae", "supervised"]
    finish(start(*arguments, "--out", tmp_path))
    (path,) = (tmp_path / "puppets").iterdir()
    record = json.loads(path.read_text())
    assert path.name == "bvae.json"
    tried = record["trials"]
    assert tuple(trial["options"] for trial in tried) == METHODS["bvae"].trials["puppets"]
    best = min(tried, key=lambda trial: trial["validation_median"])
    assert record["chosen"] == best["options"]


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
            options = [run.options for run in plan(name, root).runs if run.options.data == data]
            neutral = {"objective": "robust", "seed": 0, "methods": MethodOptions()}
            same = {replace(x, **neutral) for x in options}
            assert len(same) == 1
    full = plan("full", tmp_path).runs
    sprites = [run for run in full if run.options.data == "sprites"]
    assert len(sprites) == 3 * (len(METHODS) - 1)
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
    trivial = dict.fromkeys(("copy_x1", "copy_x3", "mean_image", "mean_image_of_the_pose"), 0.1)
    results = {
        "metrics": {
            "mi_average": mi,
            "mi_shadow_average": shadow,
            "reconstruction": 9.0,
            "gamma": 1.0,
            "multiplier": 2.0,
            "kl": 3.0,
        },
        "audit": {"audit": {"mi": fresh, "standard_error": 0.01, "lower_bound": 0.0}},
        "triplet_error": {"triplets": {"self_reconstruction_mean": 0.5}, "trivial": trivial},
    }
    for name, result in results.items():
        (folder / f"{name}.json").write_text(json.dumps(result))
    np.savez(folder / "errors.npz", transfer=np.array([error, error, error, 9 * error]))
    Image.new("RGB", (4, 4)).save(folder / "transfer.png")
    return Run(folder)


def test_honest_methods_compete_and_dishonest_ones_do_not(tmp_path):
    runs = [
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02),
        made_up(tmp_path, "bvae", 0.1, 0.1, 0.2, 0.03),
        made_up(tmp_path, "drnet", 0.1, 0.9, 0.9, 0.01),
        made_up(tmp_path, "supervised", 0.0, 0.0, 0.0, 0.001),
    ]
    numbers = claims(runs).numbers
    assert numbers["puppets: robust is best"]["shown"] is True
    assert "drnet" not in numbers["puppets: robust is best"]["why"]
    runs[2] = made_up(tmp_path / "2", "drnet", 0.1, 0.9, 0.24, 0.01)
    assert claims(runs).numbers["puppets: robust is best"]["shown"] is False
    runs[0] = made_up(tmp_path / "3", "robust", 0.1, 0.1, 0.3, 0.001)
    assert claims(runs).numbers["puppets: robust is best"]["shown"] is False


def test_what_codes_tell_of_the_body_counts_as_much_as_what_they_tell_of_the_appearance(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.1, 0.0, 0.02) for method in ("robust", "adversarial")]
    assert claims(runs).numbers["puppets: overpowering"]["shown"] is False
    found = {**runs[1].result("audit"), "audit_body": {"mi": 0.5, "standard_error": 0.01}}
    (runs[1].folder / "audit.json").write_text(json.dumps(found))
    assert claims(runs).numbers["puppets: overpowering"]["shown"] is True
    assert [leak(run) for run in runs] == [0.0, 0.5]
    (table,) = table1(runs).tables
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
    numbers = claims([run]).numbers
    assert numbers["puppets: overpowering"]["shown"] is shown
    assert "puppets: robust is best" not in numbers


def test_overpowering_is_not_put_together_from_several_seeds(tmp_path):
    runs = [
        made_up(tmp_path, "adversarial", 0.2, 0.2, 0.5, 0.02, seed=0),
        made_up(tmp_path, "adversarial", 0.0, 0.0, 0.3, 0.02, seed=1),
    ]
    assert claims(runs).numbers["puppets: overpowering"]["shown"] is False


def test_table_1_has_the_rows_of_the_paper_in_order_and_the_constraint_below(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.2, 0.3, 0.02) for method in METHODS]
    section = table1(runs)
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["a", "b", "c", "d", "e", ""]
    assert [row[1] for row in table.rows] == list(table1_columns())
    assert table.rows[0][2:8] == ["0.100", "0.200", "9.0", "0.300 ± 0.020", "", "0.000"]
    assert [picture.caption for picture in section.pictures][4:] == [
        "e) paper, puppets",
        "robust, puppets",
    ]
    assert table1([run for run in runs if run.method == "drnet"]) is None


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
    assert list(compared(runs)) == ["puppets"]


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
    of_sprites = {f"sprites-{method}-2" for method in METHODS if method != "supervised"}
    of_puppets = {f"puppets-{method}-2" for method in METHODS}
    assert {name for name in names if name.endswith("-2")} == of_sprites | of_puppets


def test_a_budget_can_do_with_less_data(tmp_path):
    names = {run.name for run in plan("full", tmp_path, ("robust", "fixed"), 1, ("sprites",)).runs}
    assert names == {"sprites-robust-0", "sprites-fixed-0"}
    with pytest.raises(ValueError, match="quick budget has puppets, got sprites"):
        plan("quick", data=("sprites",))


@pytest.mark.parametrize("data", list(TUNED))
def test_comparisons_use_and_show_what_tuning_chose(data, tmp_path):
    budget = plan("quick") if data == "puppets" else plan("full", tmp_path, data=(data,))
    for run in budget.runs:
        name = run.options.objective
        record = read_record(data, name)
        # The constraint has no weight, and its trial is for the page alone.
        assert bool(record) == (data in METHODS[name].trials and name != "robust")
        chosen = record.get("chosen", {})
        assert all(getattr(run.options.of_method, key) == value for key, value in chosen.items())
        assert chosen == tuned(data, TUNED[data], name)
        if record:
            tried = tuple(trial["options"] for trial in record["trials"])
            assert tried == METHODS[name].trials[data]
            best = choose(name, record["trials"], run.options.epsilon)
            assert chosen == best["options"]


def test_the_page_shows_the_trials_of_its_methods(tmp_path):
    runs = [made_up(tmp_path, method, 0.1, 0.2, 0.3, 0.02) for method in ("paper", "atsdm")]
    (table,) = trials(runs).tables
    assert sorted(row[0] for row in table.rows) == ["atsdm"] * 3 + ["paper"] * 3
    assert [row[-1] for row in table.rows].count("chosen") == 2


def test_weights_against_a_sum_over_more_pixels_grow_with_it():
    assert read_record("folder", "paper") == {} and tuned("puppets", "tiny", "supervised") == {}
    small, tiny = (tuned("puppets", preset, "cyclevae") for preset in ("small", "tiny"))
    assert small["cycle_weight"] == 4 * tiny["cycle_weight"]
    assert small["beta"] == tiny["beta"]
    assert tuned("creatures", "small", "cyclevae") == small


@pytest.mark.slow
def test_a_second_study_does_nothing_and_finds_what_the_first_one_wrote(finished):
    out, _ = finished
    budget = plan("smoke", methods=("robust",))
    run = Run(out / "runs" / "puppets-robust-0", budget.effort)
    assert list(study_run(run, budget)) == []
    numbers = json.loads((out / "comparison.json").read_text())
    judged = numbers["Table 2: identity and pose"]["puppets"]["robust"]
    assert judged == run.result("table2")["table2"]
    assert judged["count"] == budget.effort.judged
    assert judged["gallery"] == budget.effort.gallery * 8
    page = (out / "report.html").read_text()
    assert f"{judged['reid']['transfer']:.3f}" in page and "src='data:image/gif;base64," in page
    shown = numbers["Fig. 1: retrieval by pose code"]["puppets-robust-0"]
    assert 0 < shown["view"]["top_5"] <= 1 and 0 < shown["view"]["chance"] < 1


@pytest.mark.slow
def test_a_stopped_study_is_made_again_and_a_finished_one_stays(finished, tmp_path):
    source = finished[0] / "runs" / "puppets-robust-0"
    left_out = shutil.ignore_patterns("table2.json", "transfer.json")
    shutil.copytree(source, tmp_path / "run", ignore=left_out)
    budget = plan("smoke", methods=("robust",))
    run = Run(tmp_path / "run", budget.effort)
    work = study_run(run, budget)
    assert [next(work) for _ in range(2)] == ["table2", "transfer"]
    work.close()
    assert not (tmp_path / "run" / "transfer.json").exists()
    assert list(study_run(run, budget)) == ["transfer"]
    # The same model before judges that were trained anew.
    scores = (Run(folder).result("table2")["table2"]["reid"] for folder in (run.folder, source))
    assert next(scores) == pytest.approx(next(scores), abs=0.02)


@pytest.mark.slow
def test_one_set_of_judges_looks_at_all_methods(finished):
    run = Run(finished[0] / "runs" / "puppets-robust-0", Effort(judge_steps=1))
    other = Run(run.folder, run.effort)
    judge = STUDIES["table2"]
    assert judge.judges_of(run) is judge.judges_of(other)


def test_table_2_averages_seeds_and_shows_the_best_that_judges_can_see(tmp_path):
    table2 = STUDIES["table2"].section
    runs = [
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02),
        made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02, seed=1),
        made_up(tmp_path, "bvae", 0.1, 0.1, 0.1, 0.02),
    ]
    for run, value in zip(runs[:2], (0.2, 0.4), strict=True):
        scores = {"real": 0.9, "reconstruction": value, "transfer": value / 2, "chance": 0.05}
        made = {"judge_steps": 5, "gallery": 40, "count": 10}
        made |= {"reid": scores, "pose_accuracy": {**scores, "real": 0.8}}
        (run.folder / "table2.json").write_text(json.dumps({"table2": made}))
    section = table2(runs)
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
    (runs[0].folder / "table2.json").write_text(json.dumps({"table2": made}))
    (table,) = table2(runs[:1]).tables
    assert table.rows[0][3:] == ["2.00 ± 0.50", "4.00 ± 1.00", "2.00 ± 0.50"]
    assert table.rows[1][3:] == ["", "", ""]
    assert table.rows[2][3:] == ["3.00 ± 1.00", "5.00 ± 1.00", "6.00 ± 1.00"]
    assert table2(runs[2:]) is None


@pytest.mark.slow
def test_creatures_are_shown_across_categories_and_compare_no_methods(tmp_path):
    budget = plan("smoke", methods=("robust",))
    options = replace(budget.runs[0].options, data="creatures", device="cpu")
    planned = PlannedRun("creatures-robust-0", options)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    runs = run_all(replace(budget, runs=(planned,)), tmp_path, StopSignal())
    for number, handler in handlers.items():
        signal.signal(number, handler)
    (run,) = runs
    assert list(study_run(run, budget)) == []
    sections = {name: study.section(runs) for name, study in STUDIES.items()}
    section = sections.pop("categories")
    numbers = section.numbers["creatures-robust-0"]
    within, across = numbers["mean_within_categories"], numbers["mean_across_categories"]
    mean = float(run.errors.mean())
    assert min(within, across) <= mean <= max(within, across) and within != across
    assert set(numbers["retrieval"]) >= {"view", "phase"}
    files = [picture.path.name for picture in section.pictures]
    assert files == ["categories.png", "retrieval_across.png", "animation.gif"]
    assert not run.result("table2") and run.result("animate")["animation"]["frames"] > 1
    assert not any(sections.values()) and table1(runs) is None


def test_a_large_film_stays_out_of_the_page(tmp_path):
    run = made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02)
    path, animation = run.folder / "animation.gif", STUDIES["animate"].section
    path.write_bytes(b"x" * MOST_BYTES)
    assert animation([run]).pictures[0].path == path
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    assert animation([run]) is None


def test_only_the_full_budget_has_creatures_and_only_for_the_full_model(tmp_path):
    def names(budget):
        return [run.name for run in budget.runs if run.options.data == "creatures"]

    assert names(plan("quick")) == names(plan("full", tmp_path, ("bvae",))) == []
    assert names(plan("full", tmp_path)) == ["creatures-robust-0"]


def test_a_gallery_has_some_of_the_held_out_identities_whole(tmp_path):
    folder = made_up(tmp_path, "robust", 0.1, 0.1, 0.1, 0.02).folder
    run = Run(folder, Effort(gallery=3))
    some, held_out = run.gallery, run.held_out
    names = np.unique(some.identity)
    assert len(names) == 3 and len(np.unique(held_out.identity)) == 4
    rows = np.isin(held_out.identity, names)
    np.testing.assert_array_equal(some.images, held_out.images[rows])
    np.testing.assert_array_equal(some.keypoints, held_out.keypoints[rows])
    np.testing.assert_array_equal(Run(folder, Effort(gallery=4)).gallery.images, held_out.images)
