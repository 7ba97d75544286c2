"""Films, and the sequences that drive them."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from pose_appearance.data import sequence
from pose_appearance.data.creatures import creatures
from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.puppets import puppets
from pose_appearance.data.sprites import FRAMES, LENGTHS
from pose_appearance.model.presets import ModelOptions, build_model
from pose_appearance.studies.animate import animate, save_gif, save_mp4
from pose_appearance.studies.drawing import draw
from processes import run


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(ModelOptions(size=32, hidden=32), torch.zeros(3))


@pytest.fixture(scope="module")
def images():
    return puppets(identities=4, poses=10, size=32)


@pytest.fixture(scope="module")
def film(model, images):
    return animate(model, images.images[[0, 10]], [images.images[20:26], images.images[30:33]])


def cell(frame, row, column, size=32, gap=2, zoom=2):
    step = size + gap
    top, left = gap + row * step, gap + column * step
    pixels = np.asarray(frame)[::zoom, ::zoom]
    return pixels[top : top + size, left : left + size]


def test_a_film_shows_each_appearance_driven_by_each_sequence(model, images, film):
    assert len(film) == 6
    for time, frame in enumerate(film):
        for row, (start, length) in enumerate(((20, 6), (30, 3)), 1):
            driver = images.images[start + time % length]
            np.testing.assert_array_equal(cell(frame, row, 0), driver)
            for column, index in enumerate((0, 10), 1):
                np.testing.assert_array_equal(cell(frame, 0, column), images.images[index])
                expected = draw(model, images.images[[index]], driver[None])[0]
                difference = cell(frame, row, column).astype(int) - expected
                assert np.abs(difference).max() <= 1


def test_a_gif_runs_for_ever_and_keeps_its_frames(film, tmp_path):
    save_gif(film, tmp_path / "film.gif", rate=10)
    with Image.open(tmp_path / "film.gif") as gif:
        assert gif.n_frames == 6 and gif.info["loop"] == 0 and gif.info["duration"] == 100
        for time in range(6):
            gif.seek(time)
            difference = np.asarray(gif.convert("RGB")).astype(float) - np.asarray(film[time])
            assert np.abs(difference).mean() < 6


def test_a_gif_keeps_small_bright_things(tmp_path):
    """A few pixels of each hue on a large ramp of greys."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2).repeat(256, 1)
    hues = np.array([[220, 40, 40], [40, 180, 60], [60, 80, 220], [240, 200, 40], [150, 60, 190]])
    for i, hue in enumerate(hues):
        ramp[10 * i : 10 * i + 8, :8] = hue
    save_gif([Image.fromarray(ramp)] * 2, tmp_path / "bright.gif")
    with Image.open(tmp_path / "bright.gif") as gif:
        seen = np.asarray(gif.convert("RGB"))[4:54:10, 4].astype(int)
    assert np.abs(seen - hues).max() <= 10


def test_without_ffmpeg_there_is_no_video_and_no_error(film, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not save_mp4(film, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_video_has_the_frames_as_often_as_asked(film, tmp_path):
    assert save_mp4(film, tmp_path / "film.mp4", loops=2)
    read = ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "film.mp4"]
    run(*read, "-f", "rawvideo", "-pix_fmt", "rgb24", tmp_path / "frames")
    data = (tmp_path / "frames").read_bytes()
    width, height = film[0].size
    frames = np.frombuffer(data, np.uint8).reshape(-1, height // 2 * 2, width // 2 * 2, 3)
    assert len(frames) == 12
    assert np.abs(frames[0].astype(float) - np.asarray(film[0])[: frames.shape[1]]).mean() < 12
    with pytest.raises(RuntimeError, match="ffmpeg failed to write"):
        save_mp4(film, tmp_path / "absent" / "film.mp4")


def test_sequences_are_of_the_identity_that_was_asked_for():
    """A sequence passes through the poses of the set: the walk to the right, at its start."""
    options = {"identities": 5, "seed": 3}
    drawn = creatures(poses=10, size=32, **options)
    for identity in (0, 4):
        frames = sequence("creatures", drawn, identity, 0, **options)
        known = drawn.images[(drawn.identity == identity) & (drawn.pose == 2)]
        assert drawn.factors["view"][2] == "right" and drawn.factors["animation"][2] == "walk"
        assert np.abs(frames[0].astype(int) - known[0]).max() <= 1

    drawn = puppets(poses=10, size=32, **options)
    frames = sequence("puppets", drawn, 4, 32, **options)
    known = drawn.images[(drawn.identity == 4) & (drawn.pose == 0)]
    assert drawn.factors["view"][0] == "front" and drawn.factors["animation"][0] == "walk"
    assert np.abs(frames[0].astype(int) - known[0]).max() <= 1


@pytest.mark.parametrize(("data", "source"), [("puppets", puppets), ("creatures", creatures)])
def test_drawn_sequences_move_smoothly_and_close(data, source):
    drawn = source(identities=3, poses=1, size=32)
    for which in range(3):
        frames = sequence(data, drawn, 1, which, identities=3, seed=0, frames=16).astype(float)
        steps = np.abs(frames - np.roll(frames, 1, axis=0)).mean((1, 2, 3))
        assert len(frames) == 16 and steps.min() > 0.05
        assert steps[0] < 3 * np.median(steps)


def test_sprites_give_one_animation_in_one_view():
    identity, pose = np.repeat([3, 8], FRAMES), np.tile(np.arange(FRAMES), 2)
    order = np.random.default_rng(0).permutation(2 * FRAMES)
    images = np.zeros((2 * FRAMES, 4, 4, 3), np.uint8)
    images[..., 0], images[..., 1] = identity[:, None, None], pose[:, None, None]
    sprites = ImageSet(images[order], identity[order], np.full(2 * FRAMES, "test"), pose[order])
    starts = np.cumsum((0, *LENGTHS))
    found = set()
    for which in range(20):
        frames = sequence("sprites", sprites, 8, which, identities=2, seed=0)
        assert (frames[..., 0] == 8).all()
        start = int(frames[0, 0, 0, 1])
        part = starts.tolist().index(start)
        np.testing.assert_array_equal(frames[:, 0, 0, 1], np.arange(start, starts[part + 1]))
        found.add(part)
    assert len(found) == 20


def test_a_folder_gives_all_images_of_an_identity():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    own = ImageSet(images, np.array([0, 1, 0, 1, 1]), np.full(5, "test"))
    np.testing.assert_array_equal(
        sequence("folder", own, 1, identities=2, seed=0), images[[1, 3, 4]]
    )
    with pytest.raises(ValueError, match="identity 7, got none"):
        sequence("folder", own, 7, identities=2, seed=0)
