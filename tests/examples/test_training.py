"""The flagship's training: it resumes exactly, stops when told to, and loses nothing."""

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import processes
import pytest
import torch
from PIL import Image
from pose_appearance.data.image_set import ImageSet
from pose_appearance.methods import METHODS, RecipeOptions
from pose_appearance.methods.replay import Replay
from pose_appearance.studies import STUDIES, Effort
from pose_appearance.studies.audit import audit_body, audit_of
from pose_appearance.studies.codes import paired_codes
from pose_appearance.training.checkpoint import load_checkpoint, save_checkpoint
from pose_appearance.training.log import RunLog, read_log
from pose_appearance.training.options import TrainOptions, read_options, write_options
from pose_appearance.training.run import (
    build_trainer,
    compiles,
    load_images,
    pick_device,
    run_folder,
)

import mireg

EXAMPLE = Path(__file__).parents[2] / "examples" / "pose_appearance"
TINY = TrainOptions(identities=6, poses=6, steps=4, identities_per_batch=3, views=2)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_images(TINY)


def trainer_of(images, **changes):
    return build_trainer(replace(TINY, **changes), images, torch.device("cpu"))


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.equal(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("objective", METHODS)
@pytest.mark.slow
def test_resuming_equals_never_having_stopped(images, objective, tmp_path):
    whole = trainer_of(images, objective=objective)
    for step in range(2):
        whole.step(step / 4)
    save_checkpoint(whole.state_dict(), tmp_path / "checkpoint.pt")
    for step in range(2, 4):
        whole.step(step / 4)

    resumed = trainer_of(images, objective=objective)
    torch.manual_seed(99)
    resumed.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    for step in range(2, 4):
        resumed.step(step / 4)
    resumed.data_seconds = whole.data_seconds
    assert same(whole.state_dict(), resumed.state_dict())


def test_the_same_seed_gives_the_same_run(images):
    first, second, other = (trainer_of(images, seed=seed) for seed in (0, 0, 1))
    values = []
    for trainer in (first, second, other):
        torch.manual_seed(trainer.options.seed)
        values.append(trainer.step(0.0)["reconstruction"])
    assert values[0] == values[1] != values[2]


def test_a_step_moves_every_network_and_its_average(images):
    trainer = trainer_of(images)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    averaged = {name: p.clone() for name, p in trainer.averaged.named_parameters()}
    for step in range(3):
        metrics = trainer.step(step / 4)
    assert all(value.isfinite() for value in metrics.values())
    still = [n for n, p in trainer.model.named_parameters() if p.equal(before[n])]
    assert not still
    assert not all(p.equal(averaged[n]) for n, p in trainer.averaged.named_parameters())


def test_decoder_and_appearance_encoder_see_the_reconstruction_alone(images):
    trainer = trainer_of(images)
    trainer.regularizer.multiplier.state.fill_(5.0)
    batch = trainer.sampler.batch_at(0)
    codes, groups = trainer.encode(batch, disturbed=True)
    trainer.regularizer(*codes, groups=groups).loss.backward()
    assert all(p.grad is None for p in trainer.model.appearance_encoder.parameters())
    assert all(p.grad is None for p in trainer.model.decoder.parameters())
    assert any(p.grad.abs().sum() > 0 for p in trainer.model.pose_encoder.parameters())


@pytest.mark.parametrize("objective", [name for name in METHODS if name != "robust"])
def test_objectives_differ_in_what_they_add_and_report_the_same(images, objective):
    trainer = trainer_of(images, objective=objective)
    without = ("variational", "bvae", "cyclevae", "atsdm", "drnet", "supervised")
    if objective not in without:
        trainer.regularizer.multiplier.state.fill_(10.0)
    codes, groups = trainer.encode(trainer.sampler.batch_at(0))
    penalty = trainer.regularizer(*codes, groups=groups)
    m = {name: float(value) for name, value in penalty.metrics.items()}
    watched = ("atsdm", "drnet", "supervised")
    gamma = 0.0 if objective in ("adversarial", *watched) else 1.0 if objective == "fixed" else 5.0
    violation = m["mi"] - TINY.epsilon
    lagrangian = 10 * violation + violation**2 / 2
    expected = gamma * m["kl"] + (0 if objective in without else lagrangian)
    assert penalty.loss.item() == pytest.approx(expected, rel=1e-4)
    assert {"mi", "mi_shadow", "kl", "gamma", "multiplier"} <= m.keys()
    assert trainer.step(0.0)["reconstruction"].isfinite()


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_codes_of_held_out_characters_are_audited():
    """Untrained encoders say as much of the character as they do of the pose."""
    many = load_images(replace(TINY, identities=24))
    trainer = trainer_of(many)
    report = audit_of(trainer, paired_codes(trainer, many, 0, samples=600), seed=0)
    assert report.samples == 600
    assert report.groups == 24
    assert report.epsilon == TINY.epsilon


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_codes_of_training_characters_are_audited_apart(tmp_path):
    images = load_images(replace(TINY, identities=24))
    run = SimpleNamespace(
        trainer=trainer_of(images),
        train_set=images,
        seed=0,
        folder=tmp_path,
        effort=Effort(audit_samples=600),
    )
    study = STUDIES["audit_training"]
    found = study.measure(run, study.gather(run))
    assert found.keys() == {"audit_training"}
    assert found["audit_training"]["groups"] == 24
    assert (tmp_path / "audit_training.html").exists()
    assert "The audit of pose codes" in study.text(found)


@pytest.mark.usefixtures("short_audits")
def test_the_type_of_body_is_audited_where_it_is_known():
    """Codes that are the body itself tell all of it, to whom it is said which identity is which."""
    many = load_images(replace(TINY, identities=24))
    body = many.identity // 3 % 2
    known = replace(many, factors={**many.factors, "body": body})
    trainer, groups = trainer_of(many), torch.from_numpy(np.repeat(np.unique(many.identity), 25))
    pi = (groups // 3 % 2)[:, None] + 0.1 * torch.randn(600, 8)
    report = audit_body(trainer, known, (pi, torch.zeros(600, 1), groups), seed=0)
    assert report.classes == 2 and report.groups == 24
    assert report.mi > 0.5
    assert audit_body(trainer, many, (pi, torch.zeros(600, 1), groups), seed=0) is None


def test_replay_gives_recent_codes_with_fresh_noise():
    replay = Replay(6, 1, 1)
    for start in (0, 4, 8):
        values = torch.arange(start, start + 4.0)[:, None]
        posterior = mireg.diagonal_gaussian(values, torch.full_like(values, -20))
        replay.add(mireg.Codes(values, values + 100, posterior), values.long().squeeze(1))
        drawn = replay.draw(200)[2]
        assert set(drawn.tolist()) == set(range(max(0, start - 2), start + 4))
    pi, alpha, groups = replay.draw(50)
    assert (pi - (alpha - 100)).abs().max() < 1e-3
    assert alpha.squeeze(1).equal(groups + 100.0)
    assert not pi.equal(alpha - 100)


def test_critics_learn_from_the_replay_and_encoders_do_not(images):
    recipes = (RecipeOptions(replay_updates=n) for n in (2, 0))
    trainer, without = (trainer_of(images, objective="paper", recipe=x) for x in recipes)
    for each in (trainer, without):
        torch.manual_seed(0)
        each.step(0.0)
    critic, other = (next(t.regularizer.critic_parameters()) for t in (trainer, without))
    assert not critic.equal(other)
    codes, groups = trainer.encode(trainer.sampler.batch_at(0))
    trainer.optimizer.zero_grad()
    trainer.train_critics(codes.pi, codes.alpha, groups)
    assert all(p.grad is None for p in trainer.model.parameters())


def test_long_runs_compile_on_a_gpu(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    long = replace(TINY, steps=None, minutes=9.0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert compiles(long, gpu)
    assert not compiles(long, cpu)
    assert not compiles(replace(TINY, steps=None, minutes=1.0), gpu)
    assert not compiles(TINY, gpu)
    assert compiles(replace(TINY, compile="yes"), cpu)
    assert not compiles(replace(long, compile="no"), gpu)
    # Without Triton.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not compiles(long, gpu)


def test_images_smaller_than_the_model_are_padded(images):
    cropped = replace(images, images=images.images[:, 2:62, 2:62])
    metrics = trainer_of(cropped).step(0.0)
    assert metrics["reconstruction"].isfinite()


def test_a_folder_of_ones_own_is_trained_on(images, tmp_path):
    for index, (identity, image) in enumerate(zip(images.identity, images.images, strict=True)):
        path = tmp_path / str(identity) / f"{index % 6}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    options = replace(TINY, data="folder", data_root=tmp_path)
    loaded = load_images(options)
    assert len(loaded) == len(images) and set(loaded.split) == {"train", "test"}
    trainer = build_trainer(options, loaded, torch.device("cpu"))
    assert trainer.step(0.0)["reconstruction"].isfinite()
    with pytest.raises(ValueError, match=r"0\.png must have 256x256 pixels, got 64x64"):
        load_images(replace(options, preset="paper", resize=False))


def test_a_checkpoint_that_fails_to_write_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint({"step": 2, "bad": lambda: None}, path)
    assert load_checkpoint(path) == {"step": 1}


def test_checkpoints_hold_nothing_but_tensors_and_plain_values(images, tmp_path):
    trainer = trainer_of(images)
    trainer.step(0.0)
    save_checkpoint(trainer.state_dict(), tmp_path / "checkpoint.pt")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1


def test_a_missing_or_broken_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nothing\.pt"):
        load_checkpoint(tmp_path / "nothing.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"cut\.pt is no checkpoint"):
        load_checkpoint(tmp_path / "cut.pt")


def test_options_survive_the_round_trip(tmp_path):
    options = replace(TINY, data_root=Path("a/b"), epsilon=0.1, recipe=RecipeOptions(octaves=3))
    options = options.with_method("cyclevae", beta=2.0)
    write_options(options, tmp_path / "options.json")
    assert read_options(tmp_path / "options.json") == options
    fields = json.loads((tmp_path / "options.json").read_text())
    assert fields["recipe.octaves"] == 3 and fields["cyclevae.beta"] == 2.0
    assert not {name for name in fields if name.startswith("bvae.")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(minutes=1.0), "either --minutes or --steps"),
        (dict(steps=0), "--steps must be positive, got 0"),
        (dict(scale=-1.0), "--scale must be positive"),
        (dict(identities_per_batch=1), "at least 2, got 1"),
    ],
)
def test_impossible_options_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_a_finished_run_is_not_overwritten(tmp_path):
    _, folder = run_folder(replace(TINY, out=tmp_path / "run"))
    save_checkpoint({"step": 1}, folder / "checkpoint.pt")
    with pytest.raises(FileExistsError, match="--resume"):
        run_folder(replace(TINY, out=tmp_path / "run"))
    resumed, same_folder = run_folder(TrainOptions(resume=folder, steps=9))
    assert same_folder == folder
    assert resumed == replace(TINY, out=tmp_path / "run", steps=9)
    again, _ = run_folder(TrainOptions(resume=folder, identities=TINY.identities))
    assert again == resumed
    with pytest.raises(ValueError, match="--seed is 0 there, got 3"):
        run_folder(TrainOptions(resume=folder, seed=3))
    other = replace(TrainOptions(resume=folder), methods=TINY.with_method("bvae", beta=3.0).methods)
    with pytest.raises(ValueError, match=r"--bvae\.beta is 5\.0 there, got 3\.0"):
        run_folder(other)
    with pytest.raises(FileNotFoundError, match="no run at"):
        run_folder(TrainOptions(resume=tmp_path / "nowhere"))


def test_a_resumed_log_goes_on_where_the_checkpoint_was(tmp_path):
    with RunLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": float(step)})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    with RunLog(tmp_path, step=2) as log:
        log.write(3, {"loss": 30.0})
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]


def test_the_device_can_be_named():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_a_killed_run_resumes_and_can_be_evaluated(tmp_path):
    """From the first step to the report, as a user would: start, SIGTERM, resume, evaluate."""
    run = tmp_path / "run"
    sizes = ["--identities", 8, "--poses", 8, "--identities-per-batch", 2, "--views", 2]
    start = [sys.executable, EXAMPLE / "train.py", "--steps", 4000, "--out", run, *sizes]
    process = processes.start(*start)
    deadline = time.monotonic() + 100
    while not read_log(run) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = processes.finish(process, code=1)
    assert "Stopped by SIGTERM" in out and "--resume" in out
    stopped = load_checkpoint(run / "checkpoint.pt")["step"]
    assert 0 < stopped < 4000

    resume = [EXAMPLE / "train.py", "--resume", run, "--steps", stopped + 2]
    out, _ = processes.run(sys.executable, *resume)
    assert f"Resuming at step {stopped}" in out
    for name in ("transfer.png", "curves.png", "metrics.json"):
        assert (run / name).stat().st_size > 0
    assert json.loads((run / "metrics.json").read_text())["steps"] == stopped + 2

    processes.run(sys.executable, EXAMPLE / "evaluate.py", run, "--count", 40)
    result = json.loads((run / "evaluation.json").read_text())
    assert result["triplets"]["count"] == 40 and result["triplets"]["mean"] > 0
    assert (run / "triplets_worst.png").stat().st_size > 0

    _, err = processes.run(*start, code=1)
    assert "holds a run already" in err


@pytest.mark.usefixtures("short_audits")
@pytest.mark.slow
def test_every_evaluation_runs_from_the_command_line_and_keeps_earlier_ones(tmp_path):
    run = tmp_path / "run"
    sizes = ["--identities", 18, "--poses", 10, "--identities-per-batch", 4, "--views", 2]
    start = ["--data", "creatures", "--test-fraction", 0.34, *sizes, "--steps", 2, "--out", run]
    asked = ["--table2", "--visualize", "--retrieval", "--animate", "--judge-steps", 2]
    for program, *arguments in (
        ("train.py", *start),
        ("evaluate.py", run, "--count", 20, *asked),
        ("evaluate.py", run, "--count", 20),
    ):
        out, _ = processes.run(sys.executable, EXAMPLE / program, *arguments, timeout=200)
        assert ("identity, mAP" in out) == ("--table2" in arguments)
    result = json.loads((run / "evaluation.json").read_text())
    assert result["triplets"].keys() >= {"mean_within_categories", "mean_across_categories"}
    assert result["table2"].keys() == {"count", "reid", "keypoints", "judge_steps", "gallery"}
    assert result["retrieval"].keys() >= {"view and phase", "across_categories"}
    names = ("categories", "visualization", "retrieval", "retrieval_across")
    for name in (*(f"{name}.png" for name in names), "animation.gif"):
        with Image.open(run / name) as picture:
            assert min(picture.size) > 64
