"""What a run meets in its life: it is killed, its disk is full, its checkpoints are broken, its numbers are not finite."""

import json
import os
import random
import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import processes
import pytest
import runs
import torch
from PIL import Image
from pose_appearance.data.folder import folder
from pose_appearance.training.checkpoint import (
    NAME,
    PREVIOUS,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)
from pose_appearance.training.log import RunLog, read_log
from pose_appearance.training.run import build_trainer, load_images, resume, train
from pose_appearance.training.trainer import Diverged

KILLS = 8
NEVER = SimpleNamespace(name=None)
"""A signal to stop that never comes."""
TIMES = ("seconds", "images_per_second", "data_share")


def launch(folder, **changes):
    process = processes.context().Process(
        target=runs.start_or_resume, args=(folder,), kwargs=changes
    )
    process.start()
    return process


def results(folder):
    """Gives the numbers that a run left, but for its times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    log = [{k: v for k, v in line.items() if k not in TIMES} for line in read_log(folder)]
    return {k: v for k, v in metrics.items() if k not in TIMES}, log


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_like_one_that_was_not(tmp_path):
    start = time.monotonic()
    process = launch(tmp_path / "undisturbed")
    processes.join([process], [tmp_path / "undisturbed.out"], 120)
    assert process.exitcode == 0, (tmp_path / "undisturbed.out").read_text()
    whole = time.monotonic() - start

    draw, killed, run, folder = random.Random(0), 0, 0, tmp_path / "killed-0"
    while killed < KILLS:
        process = launch(folder)
        process.join(timeout=draw.uniform(0, whole / 3))
        if process.exitcode is None:
            process.kill()
            process.join()
            killed += 1
        else:
            # It came to its end between two kills: the next ones are for another run.
            assert process.exitcode == 0, folder.with_suffix(".out").read_text()
            assert results(folder) == results(tmp_path / "undisturbed")
            run += 1
            folder = tmp_path / f"killed-{run}"
    process = launch(folder)
    processes.join([process], [folder.with_suffix(".out")], 120)
    assert process.exitcode == 0, folder.with_suffix(".out").read_text()
    assert results(folder) == results(tmp_path / "undisturbed")


@pytest.fixture(scope="module")
def images():
    return load_images(runs.TINY)


def trainer_of(images, **changes):
    return build_trainer(replace(runs.TINY, **changes), images, torch.device("cpu"))


def use(folder):
    """Gives the step of the checkpoint that is used, and what is said of the one that is not."""
    states = []
    _, refused = load_newest(folder, states.append)
    return states[0]["step"], "; ".join(map(str, refused.values()))


@pytest.fixture
def two_checkpoints(tmp_path):
    """A folder with the checkpoints of steps 1 and 2."""
    for step in (1, 2):
        save_checkpoint({"step": step, "weights": torch.arange(3.0)}, tmp_path / NAME)
    return tmp_path


def test_two_checkpoints_are_kept_and_the_newest_is_used(two_checkpoints):
    assert use(two_checkpoints) == (2, "")
    save_checkpoint({"step": 3}, two_checkpoints / NAME)
    assert use(two_checkpoints)[0] == 3
    assert len(list(two_checkpoints.iterdir())) == 2
    # As a kill between the two moves leaves it.
    (two_checkpoints / NAME).unlink()
    assert use(two_checkpoints)[0] == 2


def test_a_checkpoint_cut_at_any_byte_is_refused_and_the_one_before_is_used(two_checkpoints):
    path = two_checkpoints / NAME
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no checkpoint"):
            load_checkpoint(path)
    step, refused = use(two_checkpoints)
    assert step == 1 and f"{path} is no checkpoint" in refused
    path.write_bytes(whole)
    assert use(two_checkpoints) == (2, "")


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_checkpoint_with_pickled_code_is_refused_and_nothing_of_it_runs(two_checkpoints):
    sign = two_checkpoints / "attacked"
    torch.save({"step": 9, "attack": Attack(sign)}, two_checkpoints / NAME)
    step, refused = use(two_checkpoints)
    assert step == 1 and "is no checkpoint" in refused
    assert not sign.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed is 3 there and 0 here"),
        ({"objective": "bvae"}, "objective is 'bvae' there and 'robust' here"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_and_set_aside(
    images, tmp_path, capsys, changes, message
):
    save_checkpoint(trainer_of(images).state_dict(), tmp_path / NAME)
    save_checkpoint(trainer_of(images, **changes).state_dict(), tmp_path / NAME)
    resume(trainer_of(images), tmp_path)
    said = capsys.readouterr().err
    assert "of another configuration" in said and message in said
    assert {path.name for path in tmp_path.iterdir()} == {PREVIOUS, "checkpoint.refused"}
    with pytest.raises(ValueError, match="of another configuration"):
        resume(trainer_of(images, seed=5), tmp_path)


def test_a_checkpoint_of_another_model_or_program_is_refused(images, tmp_path):
    trainer = trainer_of(images)
    state = trainer.state_dict()
    with pytest.raises(ValueError, match=r"of another model: model: [\s\S]*size mismatch"):
        trainer.load_state_dict(
            {**state, "model": {**state["model"], "decoder.layout.bias": torch.zeros(1)}}
        )
    with pytest.raises(ValueError, match=r"must hold model, .*got \['epoch'\]"):
        trainer.load_state_dict({"epoch": 3})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_full_disk_keeps_the_checkpoints_and_the_run_goes_on(images, two_checkpoints, capsys):
    partial = (two_checkpoints / NAME).with_suffix(".partial")
    partial.symlink_to("/dev/full")
    with pytest.raises(OSError, match="the one before is kept.*No space left"):
        save_checkpoint({"weights": torch.zeros(10_000)}, two_checkpoints / NAME)
    assert use(two_checkpoints) == (2, "") and not partial.is_symlink()

    trainer = trainer_of(images, steps=3)
    step = trainer.step

    def full_at_step_2(progress):
        if trainer.step_count == 1:
            partial.symlink_to("/dev/full")
        return step(progress)

    trainer.step = full_at_step_2
    assert train(trainer, two_checkpoints, NEVER)
    assert "warning: no checkpoint could be written" in capsys.readouterr().err
    assert use(two_checkpoints) == (3, "")


def poison(trainer, at, value):
    """Lets the pose encoder give one bad value at a step."""
    encode = trainer.encode

    def poisoned(batch, model=None, disturbed=False):
        codes, groups = encode(batch, model, disturbed)
        if trainer.step_count + 1 in at:
            codes.pi.data[0, 0] = value
        return codes, groups

    trainer.encode = poisoned


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_bad_code_stops_the_run_at_once_with_all_one_needs_to_know(images, tmp_path, value):
    trainer = trainer_of(images, steps=9)
    poison(trainer, {3}, value)
    with pytest.raises(Diverged) as caught:
        train(trainer, tmp_path, NEVER)
    message = str(caught.value)
    identities = trainer.sampler.batch_at(2).groups.tolist()
    assert f"at step 3, with the identities {identities}" in message
    assert f"the last good checkpoint is of step 2, in {tmp_path}" in message
    assert use(tmp_path) == (2, "")
    assert all(p.isfinite().all() for p in trainer.regularizer.parameters())


def test_a_loss_that_is_not_finite_trains_nothing(images):
    trainer = trainer_of(images)
    trainer.reconstruction = lambda output, target, scale: output.sum() * float("nan")
    before = [p.clone() for p in trainer.model.parameters()]
    with pytest.raises(Diverged, match="the loss or a gradient is not finite at step 1"):
        trainer.step(0.0)
    assert all(p.equal(b) for p, b in zip(trainer.model.parameters(), before, strict=True))


def test_bad_steps_are_left_out_where_that_is_asked_for(images, tmp_path):
    trainer = trainer_of(images, steps=6, on_divergence="skip")
    poison(trainer, {2, 4, 5}, float("nan"))
    assert train(trainer, tmp_path, NEVER)
    assert trainer.step_count == 6
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    assert all(p.isfinite().all() for p in trainer.regularizer.parameters())
    (tmp_path / "endless").mkdir()
    endless = trainer_of(images, steps=99, on_divergence="skip")
    poison(endless, range(99), float("nan"))
    with pytest.raises(Diverged, match="after 10 steps were left out"):
        train(endless, tmp_path / "endless", NEVER)


def test_a_log_is_added_to_and_never_cut(tmp_path):
    for last, cut in ((4, ""), (3, '{"step": 4, "lo'), (5, "")):
        with RunLog(tmp_path, step=last - 2) as log:
            for step in range(last - 1, last + 1):
                log.write(step, {"loss": float(last)})
        with open(tmp_path / "log.jsonl", "a") as file:
            file.write(cut)
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [
        (2, 3.0),
        (3, 3.0),
        (4, 5.0),
        (5, 5.0),
    ]
    text = (tmp_path / "log.jsonl").read_text()
    assert text.count('"loss"') == 6 and text.count('"resumed"') == 2 and '"lo\n' in text


def write_people(root, names=("ann", "bob"), poses=("run", "sit")):
    for index, name in enumerate(names):
        os.makedirs(root / name)
        for pose in poses:
            Image.new("RGB", (8, 8), (index * 60, 90, 30)).save(root / name / f"{pose}.png")


SCRIPTS = [
    "Ελένη",
    "Мария",
    "李小龍",
    "مريم",
    "प्रिया",
    "ก้อย",
    "🦊🦊",
    "e\u0301te\u0301",
    "a b'c\"d",
    "x\ny",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows allows fewer names")
def test_names_in_any_script_are_identities_and_poses(tmp_path):
    names = [*SCRIPTS, os.fsdecode(b"not utf-8 \xff")]
    write_people(tmp_path, names, poses=("бег", "座る"))
    images = folder(tmp_path, size=8, store=tmp_path.parent / "store")
    assert len(np.unique(images.identity)) == len(names)
    assert set(images.pose) == {0, 1}
    broken = tmp_path / names[-1] / "座る.png"
    broken.write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        folder(tmp_path, size=8)
    # As the program says it: a name that cannot be printed must not hide the error.
    assert "must be a picture that Pillow reads" in str(caught.value)
    str(caught.value).encode("utf-8", "backslashreplace")


def png_header(width, height):
    """Gives a PNG that says how large it is, and holds nothing of it."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(tmp_path):
    write_people(tmp_path)
    (tmp_path / "bob" / "sit.png").write_bytes(png_header(60_000, 60_000))
    with pytest.raises(ValueError, match=r"sit\.png must be a picture.*exceeds limit"):
        folder(tmp_path, size=8)


@pytest.mark.parametrize("mode", ["CMYK", "L", "YCbCr"])
def test_photographs_of_other_modes_are_read(tmp_path, mode):
    write_people(tmp_path)
    Image.new("RGB", (8, 8), (250, 10, 10)).convert(mode).save(tmp_path / "ann" / "run.jpg")
    os.remove(tmp_path / "ann" / "run.png")
    image = folder(tmp_path, size=8).images[0]
    assert image.shape == (8, 8, 3) and (mode == "L" or image[0, 0, 0] > 200 > image[0, 0, 1])


@pytest.mark.parametrize("cut", [1, 20, 60, -20, -1])
def test_an_image_cut_anywhere_is_named(tmp_path, cut):
    write_people(tmp_path)
    path = tmp_path / "ann" / "sit.png"
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    try:
        images = folder(tmp_path, size=8)
    except ValueError as error:
        assert "sit.png must be a picture that Pillow reads" in str(error)
    else:
        # Only the mark of the end may be missing.
        assert cut in (-1, -20) and (images.images[1] == noise).all()


@pytest.mark.parametrize(
    ("names", "poses", "message"),
    [
        ((), (), "at least 2 identities, got 0"),
        (("ann",), ("run", "sit"), "at least 2 identities, got 1"),
        (("ann", "bob"), ("run",), "at least 2 images .*got 1 in"),
    ],
    ids=["empty", "one identity", "one image an identity"],
)
def test_too_little_to_train_on_is_said(tmp_path, names, poses, message):
    write_people(tmp_path, names, poses)
    with pytest.raises(ValueError, match=message):
        load_images(replace(runs.TINY, data="folder", data_root=tmp_path))
