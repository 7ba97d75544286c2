"""The published data sets: tiny copies of their layouts are read with their split, and broken files are named."""

import gzip
import re
import struct

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from pose_appearance.data import DATA_SETS, load
from pose_appearance.data.decoding import Picture, assemble, read_image, to_square
from pose_appearance.data.ntu import TRAINING_SUBJECTS
from pose_appearance.training.options import TrainOptions
from pose_appearance.training.run import build_trainer, load_images

SIZE = 16


def paint(path, colour=(200, 30, 60), size=(SIZE, SIZE)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def rows_of(image_set):
    """Gives (split, identity, first pixel) of each image: JPEG keeps a plain colour to a few levels."""
    return list(
        zip(
            image_set.split.tolist(),
            image_set.identity.tolist(),
            [tuple(8 * np.rint(image[8, 8] / 8).astype(int)) for image in image_set.images],
            strict=True,
        )
    )


# Each writes a copy with 2 identities to train on and 2 to test, 2 images each, that `expected` tells, and names a list
# or an annotation that a test may break, and an image.


def matrix(values, magic, dimensions=None):
    """The format of NORB: a vector is padded to three dimensions."""
    shape = dimensions or [*values.shape, *[1] * (3 - values.ndim)]
    return struct.pack(f"<ii{len(shape)}i", magic, values.ndim, *shape) + values.tobytes()


def norb_part(root, prefix, instances, packed):
    """Two toys, cars (category 3), each under two views and written in shuffled order."""
    info = [(instances[1], 8, 34, 5), (instances[0], 0, 2, 1), (instances[1], 0, 2, 1)]
    info = np.array([*info, (instances[0], 8, 34, 5)], np.int32)
    pixels = np.zeros((4, 2, 96, 96), np.uint8)
    pixels[:, 0] = 10 * info[:, :1, None] + info[:, 1:2, None]
    pixels[:, 1] = 255  # the right image of the pair
    files = {
        "dat": matrix(pixels, 0x1E3D4C55),
        "cat": matrix(np.full(4, 3, np.int32), 0x1E3D4C54),
        "info": matrix(info, 0x1E3D4C54),
    }
    for name, content in files.items():
        path = root / f"smallnorb-{prefix}-{name}.mat{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return path


def smallnorb(root, packed=False):
    norb_part(root, "5x46789x9x18x6x2x96x96-training", (4, 9), packed)
    return norb_part(root, "5x01235x9x18x6x2x96x96-testing", (0, 5), packed)


def market1501(root):
    folders = {
        "bounding_box_train": "0002_c1s1_000451_03 0002_c2s1_000452_01 0007_c1s1_000453_01 "
        "0007_c3s2_000454_01 0010_c1s1_000001_01",
        "bounding_box_test": "-1_c1s1_000401_03 0000_c1s1_000451_03 0001_c1s1_001051_03 "
        "0003_c1s1_000551_00",
        "query": "0001_c2s1_000301_00 0003_c5s1_000301_00",
    }
    colours = iter(range(0, 256, 16))
    for folder, names in folders.items():
        for name in names.split():
            paint(root / folder / f"{name}.jpg", (next(colours), 128, 64))
    return root / "query" / "0001_c2s1_000301_00.jpg"


def deepfashion(root):
    rows = []
    for item, variants, status in (
        ("WOMEN/Dresses/id_00000002", ("02", "04"), "train train train train"),
        ("MEN/Denim/id_00000080", ("01",), "query gallery"),
        ("MEN/Denim/id_00000090", ("03",), "gallery query"),
    ):
        names = [f"{v}_{side}.jpg" for v in variants for side in ("1_front", "3_back")]
        for name, state in zip(names, status.split(), strict=True):
            path = paint(root / "Img" / "img" / item / name, (8 * len(rows), 128, 64))
            rows.append(f"img/{item}/{name}    {item.split('/')[-1]} {state}      ")
    (root / "Eval").mkdir()
    text = "\n".join([str(len(rows)), "image_name item_id evaluation_status", *rows, ""])
    (root / "Eval" / "list_eval_partition.txt").write_text(text)
    return path


def vehicleid(root):
    folder = root / "train_test_split"
    folder.mkdir()
    lists = {"train_list": [(1, 30), (2, 7), (3, 30), (4, 7)], "test_list_2400": [(5, 90), (6, 91)]}
    lists["test_list_2400"] += [(7, 90), (8, 91)]
    for name, rows in lists.items():
        text = "".join(f"{image:07d} {vehicle}\n" for image, vehicle in rows)
        (folder / f"{name}.txt").write_text(text)
        for image, _ in rows:
            path = paint(root / "image" / f"{image:07d}.jpg", (16 * image, 128, 64))
    return path


JOINTS = np.array([[8, 2, 14, 4, 12, 6, 10], [2, 12, 12, 8, 8, 4, 4]], float)
"""One frame of BBC Pose, 0-based: x and y of seven joints."""


def bbcpose(root):
    fields = ["videoName", "type", "source", "train_frames", "train_joints"]
    fields += ["test_frames", "test_joints"]
    videos = np.empty((1, 6), [(name, object) for name in fields])
    for i, split in enumerate(["train", "train", "val", "test", "test", "train"]):
        frames, joints = np.array([[3, 10]]), np.stack([JOINTS + 1, JOINTS[:, ::-1] + 1], axis=2)
        empty = (np.zeros((0, 0)), np.zeros((0, 0)))
        annotated = (*empty, frames, joints) if split == "test" else (frames, joints, *empty)
        videos[0, i] = (f"video {i}", split, "buehler11", *annotated)
        # The sixth is not on the disk.
        for frame in (3, 7, 10) if i < 5 else ():
            path = paint(root / str(i + 1) / f"{frame}.jpg", (16 * i + frame // 4 * 4, 128, 64))
    (root / "code").mkdir()
    scipy.io.savemat(root / "code" / "bbcpose.mat", {"bbcpose": videos})
    return path


def skeleton(frames):
    """A file of NTU RGB+D, with the given people in each frame."""
    lines = [str(len(frames))]
    for people in frames:
        lines.append(str(len(people)))
        for points in people:
            lines += ["72057594037931101 0 1 1 1 1 0 0.02 0.01 2", "25"]
            lines += [f"0.2 0.1 3.8 277.4 191.8 {x} {y} -0.2 0.05 0.97 0.02 2" for x, y in points]
    return "\n".join(lines) + "\n"


def standing(left):
    """Keypoints of a person of 40 by 100 pixels in a frame of 192x108, told for one of 1920x1080."""
    points = np.full((25, 2), (10 * left, 40))
    points[1:3] = (10 * left + 400, 1040), (10 * left + 200, 500)
    return points


def ntu(root):
    (root / "nturgb+d_skeletons").mkdir()
    for setup, person, action in (
        (1, 1, 1),
        (1, 2, 60),
        (2, 1, 7),
        (1, 3, 1),
        (1, 6, 1),
        (1, 4, 50),
    ):
        name = f"S{setup:03d}C001P{person:03d}R001A{action:03d}"
        frames = [[standing(80)], [], [standing(80), standing(20)], [standing(80)], [standing(80)]]
        (root / "nturgb+d_skeletons" / f"{name}.skeleton").write_text(skeleton(frames))
        for frame in range(1, 6):
            image = Image.new("RGB", (192, 108), (0, 128, 64))
            image.paste((16 * person, 16 * setup, 240), (70, 4, 130, 104))
            path = root / "nturgb+d_rgb" / f"{name}_rgb" / f"{frame:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, quality=95, subsampling=0)
    return root / "nturgb+d_rgb" / "S001C001P001R001A001_rgb" / "00004.jpg"


def film(folder, frames=4, colour=(240, 16, 240)):
    """Frames of 40x30 whose object is a 10x8 box that moves by 5 pixels a frame."""
    folder.mkdir(parents=True)
    boxes = []
    for i in range(frames):
        image = Image.new("RGB", (40, 30), (0, 128, 64))
        image.paste(colour, (4 + 5 * i, 10, 14 + 5 * i, 18))
        image.save(folder / f"{i + 1:08d}.jpg", quality=95, subsampling=0)
        boxes.append((4 + 5 * i, 10, 10, 8))
    return "".join(f"{x},{y},{w},{h}\n" for x, y, w, h in boxes)


def lasot(root):
    for i, name in enumerate(["bus-1", "bus-2", "zebra-1", "zebra-20"]):
        track = root / name.split("-")[0] / name
        boxes = film(track / "img", colour=(48 * (i + 1), 16, 240))
        (track / "groundtruth.txt").write_text(boxes)
        (track / "full_occlusion.txt").write_text("0,1,0,0")
        (track / "out_of_view.txt").write_text("0,0,0,1")
    (root / "testing_set.txt").write_text("bus-2\nzebra-20\nyoyo-7\n")
    return track / "img" / "00000001.jpg"


def got10k(root):
    for i, split in enumerate(["train", "train", "val", "val", "test"]):
        track = root / split / f"GOT-10k_{split.title()}_{i + 1:06d}"
        boxes = film(track, colour=(48 * (i + 1), 16, 240))
        # The test has the box of the first frame only.
        (track / "groundtruth.txt").write_text("4,10,10,8\n" if split == "test" else boxes)
        (track / "absence.label").write_text("0\n1\n0\n1\n")
    (root / "train" / "list.txt").write_text("GOT-10k_Train_000001\nGOT-10k_Train_000002\n")
    return root / "val" / "GOT-10k_Val_000003" / "00000001.jpg"


LAYOUTS = [smallnorb, market1501, deepfashion, vehicleid, bbcpose, ntu, lasot, got10k]
FILES = [layout for layout in LAYOUTS if layout is not smallnorb]


def name_of(layout):
    return layout.__name__


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


def edit(name, change):
    """Gives a function that changes the text of a file."""
    return lambda root: (root / name).write_text(change((root / name).read_text()))


TRACK = "train/GOT-10k_Train_000001"
SKELETON = "nturgb+d_skeletons/S001C001P001R001A001.skeleton"
PARTITION = "Eval/list_eval_partition.txt"


@pytest.mark.parametrize(
    ("layout", "name", "change", "message"),
    [
        (
            deepfashion,
            PARTITION,
            lambda text: text.rsplit("img", 1)[0],
            "first line says, '8', got 7",
        ),
        (deepfashion, PARTITION, lambda text: text[:-20], "3 words a line, got 2 in line 10"),
        (deepfashion, PARTITION, lambda text: text.replace("gallery", "shop"), "got 'shop'"),
        (deepfashion, PARTITION, lambda text: "", "first line says, '', got 0"),
        (vehicleid, "train_test_split/train_list.txt", lambda text: text[:-3], "2 words .*line 4"),
        (vehicleid, "train_test_split/test_list_2400.txt", lambda text: "a b\n", "got 'a' and 'b'"),
        (lasot, "bus/bus-1/groundtruth.txt", lambda text: text[:20], r"box for each of 4 .*got 2"),
        (lasot, "bus/bus-1/groundtruth.txt", lambda text: text[:-3], "4 numbers .* 3 in line 4"),
        (lasot, "zebra/zebra-1/full_occlusion.txt", lambda text: "0,0", "each of 4 frames, got 2"),
        (lasot, "zebra/zebra-1/out_of_view.txt", lambda text: "0,x", "numbers only"),
        (got10k, f"{TRACK}/groundtruth.txt", lambda text: "hello", "numbers only"),
        (got10k, f"{TRACK}/absence.label", lambda text: text[:-2], "each of 4 frames, got 3"),
        (ntu, SKELETON, lambda text: text[:-900], "breaks off in frame 5"),
        (ntu, SKELETON, lambda text: "3" + text[1:], "named by its number, from 1 to 3"),
        (ntu, SKELETON, lambda text: text.replace("\n25\n", "\n20\n"), "breaks off in frame 1"),
    ],
)
def test_a_list_or_an_annotation_that_is_wrong_is_named(layout, name, change, message, tmp_path):
    layout(tmp_path)
    edit(name, change)(tmp_path)
    named = "00004.jpg" if "from 1 to 3" in message else name
    with pytest.raises(ValueError, match=f"{re.escape(named)} must .*{message}"):
        load(layout.__name__, tmp_path, size=SIZE)


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (smallnorb, "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat"),
        (market1501, "query"),
        (deepfashion, PARTITION),
        (deepfashion, "Img"),
        (vehicleid, "train_test_split/test_list_2400.txt"),
        (bbcpose, "code/bbcpose.mat"),
        (ntu, "nturgb+d_skeletons"),
        (ntu, SKELETON),
        (lasot, "testing_set.txt"),
        (lasot, "bus/bus-1/img"),
        (got10k, "val"),
        (got10k, f"{TRACK}/absence.label"),
    ],
)
def test_a_missing_part_is_named(layout, name, tmp_path):
    layout(tmp_path)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
        load(layout.__name__, tmp_path, size=SIZE)


PART = "smallnorb-5x46789x9x18x6x2x96x96-training"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["dat", "cat", "info"])
@pytest.mark.parametrize("damage", ["truncated", "longer", "text", "empty", "header only"])
def test_a_broken_norb_file_is_named(packed, name, damage, tmp_path):
    smallnorb(tmp_path, packed)
    path = tmp_path / f"{PART}-{name}.mat{'.gz' if packed else ''}"
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[: len(content) * 2 // 3],
            "longer": content + b"more",
            "text": b"hello world, this is no matrix",
            "empty": b"",
            "header only": content[:12],
        }[damage]
    )
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} must "):
        load("smallnorb", tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "dat",
            matrix(np.zeros((4, 96, 96), np.uint8), 0x1E3D4C55),
            r"\(N, 2, 96, 96\), got uint8",
        ),
        ("cat", matrix(np.zeros(3, np.int32), 0x1E3D4C54), r"shape \(4,\) for the 4 images"),
        ("cat", matrix(np.zeros(4, np.float32), 0x1E3D4C51), r"hold int32.*got float32"),
        ("info", matrix(np.full((4, 4), 9, np.int32), 0x1E3D4C54), "elevations 0 to 8"),
        ("info", matrix(np.zeros((4, 4), np.int32), 0x1E3D4C52), "got 0x1E3D4C52"),
    ],
)
def test_a_norb_file_with_other_contents_is_named(name, content, message, tmp_path):
    smallnorb(tmp_path)
    (tmp_path / f"{PART}-{name}.mat").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{PART}-{name}\.mat must.*{message}"):
        load("smallnorb", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "text", "other"])
def test_a_broken_annotation_of_bbcpose_is_named(damage, tmp_path):
    bbcpose(tmp_path)
    path = tmp_path / "code" / "bbcpose.mat"
    if damage == "other":
        scipy.io.savemat(path, {"something": np.zeros(3)})
    else:
        content = path.read_bytes()
        path.write_bytes(b"hello" if damage == "text" else content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} must be a MATLAB"):
        load("bbcpose", tmp_path)


def test_joints_that_fit_no_frame_of_bbcpose_are_named(tmp_path):
    bbcpose(tmp_path)
    path = tmp_path / "code" / "bbcpose.mat"
    videos = scipy.io.loadmat(path)["bbcpose"]
    videos[0, 2]["train_joints"] = np.zeros((2, 7, 5))
    scipy.io.savemat(path, {"bbcpose": videos})
    with pytest.raises(
        ValueError, match=r"bbcpose\.mat must.*\(2, 7, 2\).*video 3, got \(2, 7, 5\)"
    ):
        load("bbcpose", tmp_path)


def same(image_set, expected):
    """Whether two sets have the same pictures, identities and splits."""
    return (
        image_set.split.tolist() == expected.split.tolist()
        and image_set.identity.tolist() == expected.identity.tolist()
        and np.abs(image_set.images.astype(int) - expected.images).max() < 2
    )


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_endings_in_capitals_are_read(layout, tmp_path):
    layout(tmp_path)
    expected = load(layout.__name__, tmp_path, size=SIZE)
    renamed = 0
    for path in sorted(tmp_path.rglob("*")):
        if path.suffix in (".jpg", ".mat", ".skeleton"):
            path.rename(path.with_suffix(path.suffix.upper()))
            renamed += 1
    assert renamed and same(load(layout.__name__, tmp_path, size=SIZE), expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_what_systems_leave_in_folders_is_no_data(layout, tmp_path):
    """Resource forks, thumbnails and settings beside every file, and the shadow of the archive."""
    root = tmp_path / "data"
    root.mkdir()
    layout(root)
    expected = load(layout.__name__, root, size=SIZE)
    for path in sorted(root.rglob("*")):
        shadow = root / "__MACOSX" / path.relative_to(root)
        if path.is_dir():
            shadow.mkdir(parents=True, exist_ok=True)
            (path / "Thumbs.db").write_bytes(b"thumbnails")
            (path / ".DS_Store").write_bytes(b"settings")
            (path / "desktop.ini").write_text("settings")
            (path / "@eaDir").mkdir()
        else:
            path.with_name(f"._{path.name}").write_bytes(b"resource fork")
            shadow.parent.mkdir(parents=True, exist_ok=True)
            shadow.with_name(f"._{path.name}").write_bytes(b"resource fork")
    assert same(load(layout.__name__, root, size=SIZE), expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_a_folder_around_or_within_the_data_is_as_good(layout, tmp_path):
    root = tmp_path / "unpacked" / "Archive-v1.0"
    root.mkdir(parents=True)
    layout(root)
    expected = load(layout.__name__, root, size=SIZE)
    (tmp_path / "unpacked" / "__MACOSX" / root.name).mkdir(parents=True)
    within = next(path for path in sorted(root.iterdir()) if path.is_dir() or layout is smallnorb)
    places = [root.parent] if layout is smallnorb else [root.parent, within]
    for place in places:
        assert same(load(layout.__name__, place, size=SIZE), expected), place


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_a_folder_of_something_else_is_described(layout, tmp_path):
    """One error says what is missing, where it was looked for, and what was there instead."""
    root = tmp_path / "downloads"
    (root / "holiday").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"is missing.*looked in .*1 folders \(holiday\)"):
        load(layout.__name__, root)
    (root / "data.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"1 files \(data\.zip\); unpack data\.zip first"):
        load(layout.__name__, root)


@pytest.mark.parametrize("layout", LAYOUTS, ids=name_of)
def test_two_copies_in_one_folder_are_not_chosen_from(layout, tmp_path):
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        layout(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="several folders in .*could be meant: v1, v2"):
        load(layout.__name__, tmp_path)


@pytest.mark.parametrize("folder", ["bounding_box_train", "bounding_box_test", "query"])
def test_market1501_without_the_images_of_a_folder_is_no_smaller_set(folder, tmp_path):
    market1501(tmp_path)
    for path in (tmp_path / folder).iterdir():
        path.rename(path.with_suffix(".part"))
    with pytest.raises(ValueError, match=rf"{folder} must have images like .* has \d files \("):
        load("market1501", tmp_path)


def test_files_that_are_no_pictures_are_named_once(tmp_path):
    market1501(tmp_path)
    for name in ("query/readme.txt", "query/list.csv", "bounding_box_train/notes.pdf"):
        (tmp_path / name).write_text("not a picture")
    with pytest.warns(
        UserWarning, match=r"market1501: 3 files that are no pictures .* left out"
    ) as said:
        load("market1501", tmp_path, size=SIZE)
    assert len(said) == 1


def test_bbcpose_without_videos_says_what_is_there(tmp_path):
    bbcpose(tmp_path)
    for number in range(1, 6):
        (tmp_path / str(number)).rename(tmp_path / f"video{number}")
    with pytest.raises(FileNotFoundError, match=r"folders 1, 2.*has 6 folders \(code, video1"):
        load("bbcpose", tmp_path)
