"""The published data sets: tiny copies of their layouts are read with their split."""

import re

import numpy as np
import pytest
import torch
from layouts import (
    FILES,
    JOINTS,
    LAYOUTS,
    SIZE,
    bbcpose,
    deepfashion,
    got10k,
    lasot,
    market1501,
    name_of,
    ntu,
    paint,
    rows_of,
    smallnorb,
    vehicleid,
)
from PIL import Image
from pose_appearance.data import DATA_SETS, load
from pose_appearance.data.decoding import Picture, assemble, read_image, to_square
from pose_appearance.data.ntu import TRAINING_SUBJECTS
from pose_appearance.training.options import TrainOptions
from pose_appearance.training.run import build_trainer, load_images


@pytest.fixture(params=LAYOUTS, ids=name_of)
def copy(request, tmp_path):
    """The name of a data set and the folder of its copy."""
    request.param(tmp_path)
    return request.param.__name__, tmp_path


def test_every_reader_has_a_layout_to_test_it_with():
    published = {name for name, x in DATA_SETS.items() if x.takes("images_per_identity")}
    assert {layout.__name__ for layout in LAYOUTS} == published


def test_every_copy_becomes_the_one_type_with_its_split(copy):
    name, root = copy
    image_set = load(name, root, size=SIZE)
    assert image_set.name == name
    assert image_set.images.shape[1:] == (SIZE, SIZE, 3)
    assert len(np.unique(image_set.subset("train").identity)) >= 2
    assert len(np.unique(image_set.subset("val", "test").identity)) >= 2
    _, counts = np.unique(image_set.identity, return_counts=True)
    assert counts.min() >= 2
    # Sorted by split, so that a subset of hundreds of thousands of images is no copy.
    for part in (image_set.subset("train"), image_set.subset("val", "test")):
        assert np.shares_memory(part.images, image_set.images)


def test_images_of_another_size_are_refused_where_resizing_is(copy):
    name, root = copy
    with pytest.raises(ValueError, match=r"must have 32x32 pixels, got \d+x\d+.*--resize"):
        load(name, root, size=32, resize=False)


def test_a_run_trains_on_every_copy(copy):
    name, root = copy
    options = TrainOptions(data=name, data_root=root, identities_per_batch=2, views=2, steps=1)
    trainer = build_trainer(options, load_images(options), torch.device("cpu"))
    assert trainer.step(0.0)["reconstruction"].isfinite()


def test_at_most_the_images_asked_for_are_taken_of_an_identity(tmp_path):
    for i in range(9):
        paint(tmp_path / f"{i}.png", (8 * i, 0, 0))
    pictures = [Picture(tmp_path / f"{i % 9}.png", i // 9, "train") for i in range(18)]
    image_set = assemble(pictures, "mine", SIZE, resize=True, limit=3)
    assert image_set.images[:, 0, 0, 0].tolist() == [0, 32, 64] * 2
    with pytest.raises(ValueError, match="images_per_identity must be at least 2.*got 1"):
        assemble(pictures, "mine", SIZE, resize=True, limit=1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_loading_by_name_passes_the_limit_on(layout, tmp_path):
    layout(tmp_path)
    everything = load(layout.__name__, tmp_path, size=SIZE)
    limited = load(layout.__name__, tmp_path, size=SIZE, images_per_identity=2)
    _, counts = np.unique(limited.identity, return_counts=True)
    assert counts.max() == 2
    assert set(limited.identity) == set(everything.identity)
    with pytest.raises(ValueError, match="images_per_identity must be at least 2"):
        load(layout.__name__, tmp_path, images_per_identity=1)


def test_a_limit_for_data_that_takes_none_is_refused():
    with pytest.raises(ValueError, match="images_per_identity is for bbcpose, .*got 'puppets'"):
        load("puppets", images_per_identity=5)


def test_more_images_than_fit_into_memory_are_refused_before_they_are_read(tmp_path):
    vehicleid(tmp_path)
    with pytest.raises(ValueError, match=r"8 images of 1000000x1000000 pixels need 24000\.0 GB"):
        load("vehicleid", tmp_path, size=1_000_000)


@pytest.mark.parametrize("layout", FILES, ids=name_of)
@pytest.mark.parametrize("damage", ["truncated", "text", "missing"])
def test_a_broken_image_is_named(layout, damage, tmp_path):
    path = layout(tmp_path)
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("hello")
    # A frame less than the list has boxes is the list's error, and an image fewer in a folder is none.
    if damage == "missing" and layout is market1501:
        return
    listed = path
    if damage == "missing" and layout in (lasot, got10k):
        track = path.parents[1] if layout is lasot else path.parent
        listed = track / "groundtruth.txt"
    if damage == "missing" and layout is ntu:
        return
    error = FileNotFoundError if damage == "missing" and listed == path else ValueError
    with pytest.raises(error, match=re.escape(str(listed))):
        load(layout.__name__, tmp_path, size=SIZE)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_smallnorb_numbers_toys_and_poses_and_reads_the_left_image(packed, tmp_path):
    smallnorb(tmp_path, packed)
    image_set = load("smallnorb", tmp_path, size=96, resize=False)
    assert image_set.split.tolist() == ["train"] * 4 + ["test"] * 4
    assert image_set.identity.tolist() == [34, 34, 39, 39, 30, 30, 35, 35]
    # Elevation 0, azimuth 2 (the second of 18), lighting 1; and the last of all.
    assert image_set.pose.tolist() == [7, 971] * 4
    grey = [40, 48, 90, 98, 0, 8, 50, 58]
    np.testing.assert_array_equal(
        image_set.images, np.broadcast_to(np.array(grey)[:, None, None, None], (8, 96, 96, 3))
    )


def test_market1501_leaves_out_junk_and_distractors_and_lone_images(tmp_path):
    market1501(tmp_path)
    image_set = load("market1501", tmp_path, size=SIZE)
    # Red numbers the images in the order that they were written.
    assert [(split, identity, red // 16) for split, identity, (red, *_) in rows_of(image_set)] == [
        ("train", 1, 0),
        ("train", 1, 1),
        ("train", 3, 2),
        ("train", 3, 3),
        ("test", 0, 7),
        ("test", 0, 9),
        ("test", 2, 8),
        ("test", 2, 10),
    ]
    assert image_set.pose is None and image_set.keypoints is None


def test_market1501_refuses_names_that_tell_no_person(tmp_path):
    market1501(tmp_path)
    odd = paint(tmp_path / "query" / "holiday.jpg")
    with pytest.raises(ValueError, match=rf"{re.escape(str(odd))} must be named like 0002_c1s1"):
        load("market1501", tmp_path)


def test_deepfashion_tells_the_colours_of_an_item_apart(tmp_path):
    deepfashion(tmp_path)
    image_set = load("deepfashion", tmp_path, size=SIZE)
    assert [(split, identity, red // 8) for split, identity, (red, *_) in rows_of(image_set)] == [
        ("train", 0, 0),
        ("train", 0, 1),
        ("train", 1, 2),
        ("train", 1, 3),
        ("test", 2, 4),
        ("test", 2, 5),
        ("test", 3, 6),
        ("test", 3, 7),
    ]


def test_deepfashion_may_lie_flat(tmp_path):
    deepfashion(tmp_path)
    (tmp_path / "Img" / "img").rename(tmp_path / "img")
    (tmp_path / "Eval" / "list_eval_partition.txt").rename(tmp_path / "list_eval_partition.txt")
    assert len(load("deepfashion", tmp_path, size=SIZE)) == 8


def test_vehicleid_reads_its_lists(tmp_path):
    vehicleid(tmp_path)
    image_set = load("vehicleid", tmp_path, size=SIZE)
    rows = [(split, identity, red // 16) for split, identity, (red, *_) in rows_of(image_set)]
    assert rows == [
        ("train", 0, 2),
        ("train", 0, 4),
        ("train", 1, 1),
        ("train", 1, 3),
        ("test", 2, 5),
        ("test", 2, 7),
        ("test", 3, 6),
        ("test", 3, 8),
    ]


def test_bbcpose_takes_the_annotated_frames_of_the_videos_that_are_there(tmp_path):
    bbcpose(tmp_path)
    image_set = load("bbcpose", tmp_path, size=2 * SIZE)
    assert image_set.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 4
    assert image_set.identity.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    # Frames 3 and 10, but not 7; twice the size of the file, and counted from 0.
    reds = [red for _, _, (red, *_) in rows_of(image_set)]
    assert reds == [16 * i + frame for i in range(5) for frame in (0, 8)]
    np.testing.assert_allclose(image_set.keypoints[0], 2 * JOINTS.T)
    np.testing.assert_allclose(image_set.keypoints[1], 2 * JOINTS.T[::-1])


def test_ntu_cuts_out_the_only_person_and_keeps_the_keypoints(tmp_path):
    ntu(tmp_path)
    image_set = load("ntu", tmp_path, size=SIZE)
    # The third frame has two people, the second none, and action 50 is for two.
    assert image_set.split.tolist() == ["train"] * 6 + ["test"] * 6
    # Person 1 in two setups; the persons 2 (a mutual action too), 3 and 6.
    assert image_set.identity.tolist() == [0] * 3 + [3] * 3 + [1] * 3 + [2] * 3
    reds = [red for _, _, (red, *_) in rows_of(image_set)]
    assert [reds[i] for i in (0, 1, 3, 4, 6, 7, 9, 10)] == [16] * 4 + [48] * 2 + [96] * 2
    # The square has 1.3 times the height of 100 pixels, and the person in its middle.
    head, foot, middle = image_set.keypoints[0, :3]
    assert foot[1] - head[1] == pytest.approx(SIZE * 100 / 130, rel=0.03)
    assert middle[0] == pytest.approx(SIZE / 2, abs=0.2)


def test_the_cross_subject_split_of_ntu_has_the_published_sizes():
    assert len(TRAINING_SUBJECTS) == 53
    assert len([person for person in TRAINING_SUBJECTS if person <= 40]) == 20


def test_ntu_leaves_out_frames_with_unknown_joints(tmp_path):
    ntu(tmp_path)
    path = tmp_path / "nturgb+d_skeletons" / "S001C001P001R001A001.skeleton"
    path.write_text(path.read_text().replace(" 1200 1040 ", " nan 1040 ", 1))
    assert (load("ntu", tmp_path, size=SIZE).identity == 0).sum() == 2


@pytest.mark.parametrize("layout", [lasot, got10k], ids=name_of)
def test_tracks_are_cut_out_by_their_boxes_where_the_object_is_seen(layout, tmp_path):
    layout(tmp_path)
    image_set = load(layout.__name__, tmp_path, size=SIZE)
    held_out = "test" if layout is lasot else "val"
    assert image_set.split.tolist() == ["train"] * 4 + [held_out] * 4
    expected = [0, 0, 2, 2, 1, 1, 3, 3] if layout is lasot else [0, 0, 1, 1, 2, 2, 3, 3]
    assert image_set.identity.tolist() == expected
    for _, identity, (red, _, blue) in rows_of(image_set):
        assert red == pytest.approx(48 * (identity + 1), abs=12) and blue > 200
    # The box is 10 by 8: the background is a tenth of the square above it and below it.
    assert (image_set.images[0, 0, :, 1] > 100).all() and (
        image_set.images[0, -1, :, 1] > 100
    ).all()


def test_a_box_over_the_border_is_cut_to_the_frame(tmp_path):
    path = paint(tmp_path / "a.png", (200, 30, 60))
    boxes = [(-5, -5, 10, 10), (12, 12, 100, 10), (30, 30, 5, 5)]
    pictures = [Picture(path, i // 3, "train", box) for i, box in enumerate(2 * boxes)]
    image_set = assemble(pictures, "mine", 8, resize=True)
    assert (image_set.images == (200, 30, 60)).all()


@pytest.mark.parametrize("box", [None, (10.0, 6.0, 8.0, 20.0)], ids=["whole", "box"])
@pytest.mark.parametrize("size", [(40, 30), (30, 40), (16, 16)])
def test_keypoints_stay_on_what_they_point_at(box, size, tmp_path):
    image = Image.new("RGB", size, "white")
    image.paste("black", (11, 9, 15, 13))
    image.save(tmp_path / "a.png")
    point = np.array([[12.5, 10.5]])
    pictures = [Picture(tmp_path / "a.png", i // 2, "train", box, point) for i in range(4)]
    image_set = assemble(pictures, "mine", 64, resize=True)
    rows, columns = np.nonzero(image_set.images[0, ..., 0] < 128)
    # To half a pixel of the file, of which the square has up to 4.
    centre = (columns.mean(), rows.mean())
    np.testing.assert_allclose(image_set.keypoints[0, 0], centre, atol=2.2)


def test_a_large_photograph_that_is_decoded_at_a_fraction_looks_the_same(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    photograph = Image.fromarray(colours).resize((800, 640), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(to_square(photograph, 32, tmp_path, resize=True)).astype(int)
    assert read_image(tmp_path / "a.jpg", least=64).size < (800, 640)
    pictures = [Picture(tmp_path / "a.jpg", i // 2, "train") for i in range(4)]
    image_set = assemble(pictures, "mine", 32, resize=True)
    assert np.abs(image_set.images - expected).mean() < 2
