"""Images in a file: they are those of memory, and a pass over them keeps the memory flat."""

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pose_appearance.data.folder import folder
from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.pairs import PairSampler
from pose_appearance.data.stored import StoredImages, store_images

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


def noise(count, size=4):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.fixture
def stored(tmp_path):
    return store_images(tmp_path / "images.npy", iter(noise(20)), 20, 4)


def test_stored_images_are_indexed_as_an_array_is(stored):
    images = noise(20)
    assert stored.shape == images.shape and len(stored) == 20 and stored.dtype == np.uint8
    for index in (3, np.array([5, 0, 5]), np.array([[1, 2], [3, 4]])):
        np.testing.assert_array_equal(stored[index], images[index])
    mask = np.arange(20) % 3 == 0
    for part in (mask, slice(2, 18, 4)):
        assert isinstance(stored[part], StoredImages)
        np.testing.assert_array_equal(np.asarray(stored[part]), images[part])
        np.testing.assert_array_equal(np.asarray(stored[part][1:]), images[part][1:])
    np.testing.assert_array_equal(
        np.asarray(pickle.loads(pickle.dumps(stored[mask]))), images[mask]
    )


def test_batches_from_a_file_are_those_from_memory(stored):
    identity, split = np.repeat(np.arange(5), 4), np.repeat(["train", "test"], [12, 8])
    batches = []
    for images in (noise(20), stored):
        image_set = ImageSet(images, identity, split).subset("train")
        batches.append(PairSampler(image_set, 3, 2, 6, seed=0).batch_at(1))
    assert all(a.equal(b) for a, b in zip(*batches, strict=True))
    held_out = ImageSet(stored, identity, split).subset("test").in_memory(4)
    np.testing.assert_array_equal(held_out.images, noise(20)[[12, 14, 16, 19]])


def test_a_subset_of_stored_images_stays_in_the_file(stored):
    identity, split = (
        np.repeat(np.arange(5), 4),
        np.repeat(["train", "test", "train", "test", "train"], 4),
    )
    subset = ImageSet(stored, identity, split).subset("train")
    assert isinstance(subset.images, StoredImages)
    np.testing.assert_array_equal(np.asarray(subset.images), noise(20)[split == "train"])


def test_a_file_of_something_else_is_named(tmp_path, stored):
    np.save(tmp_path / "floats.npy", np.zeros((2, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"floats\.npy must hold uint8 images.*got float64"):
        StoredImages(tmp_path / "floats.npy")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(ValueError, match=r"empty\.npy must be a \.npy file"):
        StoredImages(tmp_path / "empty.npy")
    os.truncate(stored.path, 500)
    with pytest.raises(OSError, match="ends early"):
        stored[np.arange(20)]


def test_a_writer_that_fails_leaves_no_file(tmp_path):
    def images():
        yield noise(1)[0]
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        store_images(tmp_path / "images.npy", images(), 20, 4)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_stored_once_and_again_when_it_changes(tmp_path):
    for identity in "abc":
        (tmp_path / "data" / identity).mkdir(parents=True)
        for pose in range(3):
            Image.fromarray(noise(1, 8)[0] // (pose + 1)).save(
                tmp_path / "data" / identity / f"{pose}.png"
            )
    plain = folder(tmp_path / "data", size=8)
    first, second = (folder(tmp_path / "data", size=8, store=tmp_path / "store") for _ in range(2))
    for each in (first, second):
        assert isinstance(each.images, StoredImages)
        np.testing.assert_array_equal(np.asarray(each.images), plain.images)
    assert len(list((tmp_path / "store").iterdir())) == 1
    Image.fromarray(noise(1, 9)[0]).save(tmp_path / "data" / "b" / "1.png")
    changed = folder(tmp_path / "data", size=8, store=tmp_path / "store")
    np.testing.assert_array_equal(
        np.asarray(changed.images), folder(tmp_path / "data", size=8).images
    )


def resident():
    """Gives the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its memory from /proc")
def test_a_pass_over_many_images_keeps_the_memory_flat(tmp_path):
    count, size = 40_000, 24
    image = noise(1, size)[0]
    stored = store_images(tmp_path / "images.npy", (image for _ in range(count)), count, size)
    assert stored.path.stat().st_size > 64e6
    order = np.random.default_rng(0).permutation(count)
    stored[order[:500]]
    gc.collect()
    before = resident()
    for start in range(0, count, 500):
        assert stored[order[start : start + 500]].any()
    assert resident() - before < 8e6
