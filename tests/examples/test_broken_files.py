"""Published data sets with a broken, a missing or another file: what is wrong is named."""

import re

import numpy as np
import pytest
import scipy.io
from layouts import (
    LAYOUTS,
    SIZE,
    bbcpose,
    deepfashion,
    got10k,
    lasot,
    market1501,
    matrix,
    name_of,
    ntu,
    smallnorb,
    vehicleid,
)
from pose_appearance.data import load


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
            "text": b"hello world, this is not a matrix",
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
        UserWarning, match=r"market1501: 3 files that are not pictures .* left out"
    ) as said:
        load("market1501", tmp_path, size=SIZE)
    assert len(said) == 1


def test_bbcpose_without_videos_says_what_is_there(tmp_path):
    bbcpose(tmp_path)
    for number in range(1, 6):
        (tmp_path / str(number)).rename(tmp_path / f"video{number}")
    with pytest.raises(FileNotFoundError, match=r"folders 1, 2.*has 6 folders \(code, video1"):
        load("bbcpose", tmp_path)
