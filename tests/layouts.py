"""Tiny copies of the layouts of published data sets, which tests of readers make."""

import gzip
import struct

import numpy as np
import scipy.io
from PIL import Image

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
