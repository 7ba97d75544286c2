"""The sprites: both forms give the same images, and broken files are named."""

import os
import re
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from pose_appearance.data.sprites import sprites

ANIMATIONS = [7] * 4 + [8] * 4 + [9] * 4 + [6] * 4 + [13] * 4 + [6]
SPLIT = {0: "test", 2: "train", 10: "val"}
PUBLISHED = Path(
    os.environ.get("MIREG_SPRITES", Path(__file__).parents[3] / "shared/data/reed_sprites")
)


def drawing(character):
    return np.random.default_rng(character).integers(0, 256, (178, 60, 60, 3), np.uint8)


def write_character(path, frames, animations=ANIMATIONS, body=0):
    """MATLAB flattens images column by column, channel after channel."""
    flat = np.stack([frame.ravel(order="F") for frame in frames]) / 255
    parts = np.split(flat, np.cumsum(animations)[:-1])
    with h5py.File(path, "w") as file:
        references = [file.create_dataset(f"#refs#/{i}", data=p).ref for i, p in enumerate(parts)]
        file.create_dataset(
            "sprites",
            data=np.array(references, dtype=h5py.ref_dtype)[:, None],
            dtype=h5py.ref_dtype,
        )
        file.create_dataset("labels", data=[[float(body)]] + [[0.0]] * 6)


def write_splits(path, split=SPLIT):
    numbers = {s: [[i + 1 for i, t in split.items() if t == s]] for s in ("train", "val", "test")}
    scipy.io.savemat(path, {f"{s}idx": np.array(n, dtype=float) for s, n in numbers.items()})


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for character in SPLIT:
        write_character(
            folder / f"sprites_{character}.mat", drawing(character), body=character == 2
        )
    # Reading it would fail.
    (folder / "sprites_1.mat").write_bytes(b"the odd twin")
    write_splits(folder / "sprites_splits.mat")
    return folder


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "sprites.npz"
    characters = [0, 1, 2, 10]
    np.savez(
        path,
        frames=np.stack([drawing(c)[:172] for c in characters]),
        character=np.array(characters),
        split=np.array([SPLIT.get(c, "test") for c in characters]),
        labels=np.array([[c == 2, *[0] * 6] for c in characters]),
    )
    return path


@pytest.fixture
def two(tmp_path):
    """A folder with a character of zeros that tests may break."""
    write_character(tmp_path / "sprites_0.mat", np.zeros((178, 60, 60, 3), np.uint8))
    write_splits(tmp_path / "sprites_splits.mat")
    return tmp_path


@pytest.mark.parametrize("form", ["mat", "npz"])
def test_each_form_gives_the_even_characters_with_their_poses_and_split(form, request):
    images = sprites(request.getfixturevalue(form))
    np.testing.assert_array_equal(images.images, np.concatenate([drawing(c)[:172] for c in SPLIT]))
    np.testing.assert_array_equal(images.identity, np.repeat([0, 2, 10], 172))
    np.testing.assert_array_equal(images.pose, np.tile(np.arange(172), 3))
    np.testing.assert_array_equal(images.split, np.repeat(["test", "train", "val"], 172))
    np.testing.assert_array_equal(images.factors["body"], np.repeat([0, 1, 0], 172))


def test_the_folder_may_hold_either_form_and_the_converted_one_is_preferred(mat, npz, tmp_path):
    (tmp_path / "mat").symlink_to(mat)
    assert len(sprites(tmp_path)) == 3 * 172
    np.savez(
        tmp_path / "sprites.npz",
        frames=np.zeros((1, 172, 60, 60, 3), np.uint8),
        character=np.array([4]),
        split=np.array(["train"]),
    )
    assert set(sprites(tmp_path).identity) == {4}


def test_nothing_to_read_is_an_error_that_tells_what_was_expected(tmp_path):
    write_splits(tmp_path / "sprites_splits.mat")
    (tmp_path / "sprites_1.mat").touch()
    for root in (tmp_path, tmp_path / "absent", tmp_path / "absent.npz"):
        with pytest.raises(FileNotFoundError, match=f"{re.escape(str(root))}.*sprites_0.mat"):
            sprites(root)


@pytest.mark.parametrize("name", ["sprites_0.mat", "sprites_splits.mat"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "the other format"])
def test_a_broken_published_file_is_named(two, name, damage):
    path, content = two / name, (two / name).read_bytes()
    other = {"sprites_0.mat": "sprites_splits.mat", "sprites_splits.mat": "sprites_0.mat"}[name]
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "text": b"hello" * 100,
            "empty": b"",
            "the other format": (two / other).read_bytes(),
        }[damage]
    )
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} must be a MATLAB"):
        sprites(two)


def test_published_files_need_their_split(two):
    (two / "sprites_splits.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"sprites_splits\.mat is missing"):
        sprites(two)
    write_splits(two / "sprites_splits.mat", {2: "train"})
    with pytest.raises(ValueError, match=r"sprites_splits\.mat must name every character.* no 0"):
        sprites(two)


def test_other_animations_are_refused(two):
    frames = np.zeros((178, 60, 60, 3), np.uint8)
    for animations in (ANIMATIONS[::-1], [*ANIMATIONS[:-2], 19]):
        write_character(two / "sprites_0.mat", frames, animations)
        with pytest.raises(ValueError, match=r"sprites_0\.mat must hold 20 animations"):
            sprites(two)


def test_values_beyond_one_are_refused_instead_of_wrapped(two):
    with h5py.File(two / "sprites_0.mat", "r+") as file:
        file["#refs#/3"][0, 0] = 255
    with pytest.raises(ValueError, match=r"sprites_0\.mat must hold values in \[0, 1\].*255"):
        sprites(two)


@pytest.mark.parametrize(
    "damage", ["truncated", "flipped", "undecodable", "text", "empty", "an array"]
)
def test_a_broken_converted_file_is_named(tmp_path, damage):
    path = tmp_path / "sprites.npz"
    if damage == "an array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        frames = np.random.default_rng(0).integers(0, 256, (1, 172, 6, 6, 3), np.uint8)
        np.savez_compressed(path, frames=frames, character=[0], split=["train"])
        content = path.read_bytes()
        half = len(content) // 2
        # The compressed frames begin after a header that tells the lengths of its two last fields.
        start = 30 + sum(struct.unpack("<HH", content[26:30]))
        path.write_bytes(
            {
                "truncated": content[:half],
                "flipped": content[:half] + b"\xff" * 500 + content[half + 500 :],
                "undecodable": content[:start] + b"\xff" + content[start + 1 :],
                "text": b"hello",
                "empty": b"",
            }[damage]
        )
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} must be an archive"):
        sprites(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((1, 178, 60, 60, 3), np.uint8)}, "got uint8 with shape .1, 178"),
        ({"frames": np.zeros((1, 172, 60, 60, 3), bool)}, "got bool"),
        ({"character": np.array([0, 2])}, r"each of 1 rows.*\(2,\) and \(1,\)"),
        ({"split": np.array(["held out"])}, "train, val or test, got.*held out"),
        ({"split": None}, "frames, character and split: .split is not"),
    ],
)
def test_a_converted_file_with_other_contents_is_named(tmp_path, changes, message):
    contents = {
        "frames": np.zeros((1, 172, 60, 60, 3), np.uint8),
        "character": np.array([0]),
        "split": np.array(["train"]),
    }
    contents = {name: v for name, v in {**contents, **changes}.items() if v is not None}
    np.savez(tmp_path / "sprites.npz", **contents)
    with pytest.raises(ValueError, match=rf"sprites\.npz must.*{message}"):
        sprites(tmp_path)


@pytest.mark.parametrize("package", ["h5py", "scipy.io"])
def test_a_missing_reader_is_named_with_the_command_that_installs_it(two, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}: pip install 'mireg\[examples\]'"):
        sprites(two)


@pytest.mark.skipif(
    not ((PUBLISHED / "mat").is_dir() and (PUBLISHED / "sprites.npz").is_file()),
    reason="needs both forms of the sprites in the folder MIREG_SPRITES",
)
def test_both_forms_of_the_real_sprites_are_identical(tmp_path):
    """Only the first characters of the archive are unpacked: the whole takes seconds."""
    for path in (PUBLISHED / "mat").glob("sprites_[02].mat"):
        shutil.copy(path, tmp_path)
    shutil.copy(PUBLISHED / "mat" / "sprites_splits.mat", tmp_path)
    published = sprites(tmp_path)
    count = len(published) // 172

    with zipfile.ZipFile(PUBLISHED / "sprites.npz") as archive, archive.open("frames.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        frames = np.frombuffer(file.read(count * int(np.prod(shape[1:]))), dtype)
    with np.load(PUBLISHED / "sprites.npz") as file:
        character, split = file["character"][:count], file["split"][:count]
    np.savez(
        tmp_path / "sprites.npz",
        frames=frames.reshape(count, *shape[1:]),
        character=character,
        split=split,
    )
    converted = sprites(tmp_path / "sprites.npz")
    for name in ("images", "identity", "pose", "split"):
        np.testing.assert_array_equal(getattr(published, name), getattr(converted, name))
