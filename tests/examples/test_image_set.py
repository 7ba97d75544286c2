"""The set of images: what it refuses, what a subset keeps, and loading by name."""

import numpy as np
import pytest
from PIL import Image
from pose_appearance.data import ImageSet, load
from pose_appearance.data.creatures import creatures
from pose_appearance.data.puppets import puppets


def fields(**changes):
    values = {
        "images": np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3),
        "identity": np.array([7, 7, 3, 3, 5, 5]),
        "split": np.array(["train", "train", "val", "val", "test", "test"]),
        "pose": np.array([0, 1, 0, 1, 0, -1]),
        "keypoints": np.arange(6 * 2 * 2, dtype=np.float32).reshape(6, 2, 2),
    }
    return {**values, **changes}


def test_length_and_size_are_those_of_the_images():
    image_set = ImageSet(**fields())
    assert len(image_set) == 6
    assert image_set.size == 5


def test_a_subset_keeps_every_field_of_its_images():
    whole = ImageSet(**fields(), factors={"view": np.arange(6)}, name="mine")
    held_out = whole.subset("val", "test")
    for name in fields():
        np.testing.assert_array_equal(getattr(held_out, name), getattr(whole, name)[2:])
    np.testing.assert_array_equal(held_out.factors["view"], [2, 3, 4, 5])
    assert held_out.name == "mine"
    np.testing.assert_array_equal(whole.subset("val").identity, [3, 3])


def test_a_subset_of_unknown_poses_and_keypoints_leaves_them_unknown():
    train = ImageSet(**fields(pose=None, keypoints=None)).subset("train")
    assert train.pose is None and train.keypoints is None
    assert len(train) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((6, 4, 5, 3))}, "uint8.*float64"),
        ({"images": np.zeros((6, 4, 5, 1), np.uint8)}, r"\(N, H, W, 3\)"),
        ({"identity": np.zeros(5, int)}, "identity must have one entry.*6 images, got 5"),
        ({"pose": np.zeros(7, int)}, "pose must have one entry.*got 7"),
        ({"keypoints": np.zeros((1, 2, 2))}, "keypoints must have one entry.*got 1"),
        ({"factors": {"view": np.zeros(4)}}, "view must have one entry.*got 4"),
        ({"split": np.array(["train"] * 5 + ["tset"])}, "train, val or test, got.*tset"),
        ({"split": np.array(["train", "test"] * 3)}, "one split only.*identity 7"),
    ],
)
def test_fields_that_disagree_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(**fields(**changes))


@pytest.mark.parametrize("source", [puppets, creatures])
def test_load_draws_the_characters_that_were_asked_for(source):
    asked = {"identities": 5, "poses": 3, "size": 16, "seed": 4, "test_fraction": 0.4}
    loaded, drawn = load(source.__name__, **asked), source(**asked)
    np.testing.assert_array_equal(loaded.images, drawn.images)
    np.testing.assert_array_equal(loaded.split, drawn.split)


def test_load_reads_a_folder_with_its_size_and_share(tmp_path):
    for identity in "abcd":
        (tmp_path / identity).mkdir()
        for pose in "xy":
            Image.new("RGB", (8, 8)).save(tmp_path / identity / f"{pose}.png")
    loaded = load("folder", tmp_path, size=8, test_fraction=0.5)
    assert loaded.images.shape == (8, 8, 8, 3)
    assert len(loaded.subset("test")) == 4


def test_load_refuses_unknown_data():
    with pytest.raises(
        ValueError, match="the data must be one of bbcpose, .*, vehicleid, got 'muppets'"
    ):
        load("muppets")


@pytest.mark.parametrize("name", ["sprites", "folder"])
def test_load_says_where_files_are_missing(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}.*--data-root DIR"):
        load(name)
    with pytest.raises(FileNotFoundError, match=r"nothing at.*absent"):
        load(name, tmp_path / "absent")
