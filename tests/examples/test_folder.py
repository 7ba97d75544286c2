"""A folder of images: identities, poses by name, the split, and images of any size and mode."""

import re

import numpy as np
import pytest
from PIL import Image
from pose_appearance.data.folder import folder

RED, GREEN = (255, 0, 0), (0, 255, 0)


def write(root, *names, size=(8, 8), colour=RED):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(root / name)


@pytest.fixture
def people(tmp_path):
    """Ten identities in two poses each."""
    for identity in "abcdefghij":
        write(tmp_path, f"{identity}/run.png", f"{identity}/sit.png")
    return tmp_path


def test_images_come_sorted_by_identity_and_name_with_any_suffix(tmp_path):
    write(tmp_path, "bob/2.JPEG", "bob/1.jpg", colour=GREEN)
    write(tmp_path, "ann/4.png", "ann/3.PNG")
    (tmp_path / "ann" / "notes.txt").write_text("not an image")
    (tmp_path / "ann" / "._3.png").write_text("nor this")
    (tmp_path / ".cache").mkdir()
    with pytest.warns(UserWarning, match=r"1 files that are not pictures .*notes\.txt\) left out"):
        images = folder(tmp_path, size=8)
    assert images.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(images.identity, [0, 0, 1, 1])
    assert (images.images[:2] == RED).all()
    assert (images.images[2:].argmax(-1) == 1).all()


def test_names_that_repeat_across_identities_are_poses(tmp_path):
    write(tmp_path, "ann/jump.png", "ann/run.png", "ann/alone.png")
    write(tmp_path, "bob/run.jpg", "bob/sit.png")
    write(tmp_path, "cat/jump.png", "cat/sit.png")
    # alone, jump, run of ann; run, sit of bob; jump, sit of cat.
    np.testing.assert_array_equal(folder(tmp_path, size=8).pose, [-1, 0, 1, 1, 2, 0, 2])


def test_no_repeated_name_means_no_poses(tmp_path):
    # A name twice in one identity is not a pose of another's.
    write(tmp_path, "ann/1.png", "ann/1.jpg", "bob/2.png", "bob/3.png")
    assert folder(tmp_path, size=8).pose is None


@pytest.mark.parametrize(("fraction", "tested"), [(0, 0), (0.01, 1), (0.3, 3), (0.99, 9)])
def test_the_split_holds_out_a_share_of_the_identities(people, fraction, tested):
    images = folder(people, size=8, test_fraction=fraction)
    assert len(np.unique(images.subset("test").identity)) == tested
    assert len(np.unique(images.subset("train").identity)) == 10 - tested


def test_the_split_depends_on_the_seed_alone(people):
    splits = [tuple(folder(people, size=8, test_fraction=0.5, seed=s).split) for s in range(5)]
    assert splits[0] == tuple(folder(people, size=8, test_fraction=0.5, seed=0).split)
    assert len(set(splits)) > 1


def test_an_image_of_the_right_size_is_kept_exactly(people):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(people / "a" / "run.png")
    np.testing.assert_array_equal(folder(people, size=8).images[0], pixels)


@pytest.mark.parametrize(("size", "padded_axis"), [((32, 16), 0), ((4, 2), 0), ((10, 20), 1)])
def test_other_sizes_are_scaled_to_fit_and_padded_with_the_first_pixel(people, size, padded_axis):
    picture = Image.new("RGB", size, GREEN)
    picture.putpixel((0, 0), RED)
    picture.save(people / "a" / "run.png")
    image = np.moveaxis(folder(people, size=8).images[0], padded_axis, 0)
    assert (image[:2] == RED).all() and (image[6:] == RED).all()
    # Nothing is cut off: the picture reaches the end of the other axis and of its own.
    np.testing.assert_allclose(
        image[3:6, 4:].astype(int), np.broadcast_to(GREEN, (3, 4, 3)), atol=40
    )


def test_without_resizing_another_size_is_refused_with_the_fix(people):
    folder(people, size=8, resize=False)
    write(people, "c/sit.png", size=(9, 8))
    with pytest.raises(ValueError, match=r"c.sit\.png must have 8x8.*got 9x8.*resize=True"):
        folder(people, size=8, resize=False)


SAVED = [".webp", ".bmp", ".gif", ".tif", ".TIFF", ".ppm", ".tga", ".JPG", ".jpe", ".jp2"]


@pytest.mark.parametrize("suffix", SAVED)
def test_all_that_pillow_reads_counts_beside_other_pictures(people, suffix):
    write(people, f"a/jump{suffix}")
    images = folder(people, size=8)
    assert len(images) == 21
    np.testing.assert_allclose(
        images.images[0].astype(int), np.broadcast_to(RED, (8, 8, 3)), atol=3
    )


def test_what_is_left_out_is_named_once_for_all_identities(people):
    for name in ("a/film.mp4", "b/notes.txt", "j/face.heic", "readme.md", "loose.png"):
        (people / name).write_bytes(b"something")
    for name in ("a/Thumbs.db", "a/._run.png", ".DS_Store"):
        (people / name).write_bytes(b"clutter")
    (people / "__MACOSX" / "a").mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"5 files that are not pictures \(.*left out") as said:
        assert len(folder(people, size=8)) == 20
    assert len(said) == 1


def test_a_folder_around_the_identities_is_read_and_others_are_described(people, tmp_path):
    outer = tmp_path / "outer"
    inner = outer / "faces"
    inner.mkdir(parents=True)
    for path in sorted(people.iterdir()):
        if path != outer:
            path.rename(inner / path.name)
    (outer / "__MACOSX").mkdir()
    assert len(folder(outer, size=8)) == 20
    with pytest.raises(
        ValueError, match=r"a must have one folder .*has 2 files \(run\.png, sit\.png"
    ):
        folder(inner / "a")
    (outer / "more" / "x").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"got 0 in .*faces.*faces has 10 folders \(a, b, c, …\)"):
        folder(outer)


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "stored"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_deep_images_that_use_fewer_bits_are_not_nearly_black(people, bits, stored, tmp_path):
    dark = np.full((8, 8), 2 ** (bits - 3), np.uint16)
    light = np.full((8, 8), 2**bits - 1, np.uint16)
    Image.fromarray(dark).save(people / "a" / "run.png")
    Image.fromarray(light).save(people / "a" / "sit.png")
    store = tmp_path / ".store" if stored else None
    with pytest.warns(UserWarning, match=rf"at most {2**bits - 1}: they are read as {bits} bits"):
        images = folder(people, size=8, store=store)
    # One scale for the set: what is dark stays dark.
    assert np.asarray(images.images)[:2, 0, 0, 0].tolist() == [32, 255]


def test_floating_point_pixels_are_refused_in_words(people):
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(people / "a" / "jump.tif")
    with pytest.raises(ValueError, match=r"jump\.tif must be .* floating-point numbers"):
        folder(people, size=8)


def sixteen_bits(colour):
    return Image.fromarray(np.full((8, 8), colour * 257, np.uint16))


def palette(*, transparency=None):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *GREEN])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (8, 8), 90), (90, 90, 90)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (sixteen_bits(90), (90, 90, 90)),
        (Image.new("RGBA", (8, 8), (*GREEN, 255)), GREEN),
        (Image.new("RGBA", (8, 8), (*GREEN, 0)), (255, 255, 255)),
        (Image.new("LA", (8, 8), (90, 0)), (255, 255, 255)),
        (palette(), GREEN),
        (palette(transparency=1), (255, 255, 255)),
    ],
    ids=["grey", "binary", "16-bit", "opaque", "clear", "clear-grey", "palette", "clear-palette"],
)
def test_every_mode_becomes_rgb_on_white(people, image, expected):
    image.save(people / "a" / "run.png")
    assert (folder(people, size=8).images[0] == expected).all()


def test_photographs_are_turned_as_their_camera_says(people):
    picture = Image.new("RGB", (8, 8), RED)
    picture.paste(GREEN, (0, 0, 8, 4))
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    picture.save(people / "a" / "run.png", exif=exif)
    image = folder(people, size=8).images[0]
    assert (image[:4] == RED).all() and (image[4:] == GREEN).all()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_corrupt_image_is_named(people, damage):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    path = people / "d" / "run.png"
    Image.fromarray(noise).save(path)
    content = {"truncated": path.read_bytes()[:120], "text": b"hello", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        folder(people, size=8)


@pytest.mark.parametrize("names", [[], ["only.png"]])
def test_an_identity_with_too_few_images_is_named(people, names):
    (people / "lonely").mkdir()
    write(people, *[f"lonely/{name}" for name in names])
    with pytest.raises(ValueError, match=rf"at least 2 images.*got {len(names)} in .*lonely"):
        folder(people, size=8)


def test_a_root_without_identities_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent must be a folder"):
        folder(tmp_path / "absent")
    write(tmp_path, "1.png", "2.png")
    with pytest.raises(ValueError, match="at least 2 identities, got 0"):
        folder(tmp_path)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"test_fraction": 1}, {"test_fraction": -0.1}])
def test_values_out_of_range_are_refused(people, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"{name} must .*got {value}"):
        folder(people, **wrong)
