r"""The puppets: what they promise to whoever disentangles pose from appearance."""

import numpy as np
import pytest
from pose_appearance.data.puppets import (
    ANIMATIONS,
    BACKGROUND,
    BONES,
    FACTORS,
    KEYPOINTS,
    VIEWS,
    make_pose,
    pose_grid,
    puppets,
    render,
    sample_appearances,
)

NAMES = list(FACTORS)
HEIGHT, BUILD = NAMES.index("height"), NAMES.index("build")


@pytest.fixture(scope="module")
def images():
    return puppets(identities=10, poses=16, size=32, seed=3)


@pytest.fixture(scope="module")
def every_view_and_time():
    phases = np.tile(np.arange(4) / 4, len(VIEWS) * len(ANIMATIONS))
    views = np.tile(np.repeat(list(VIEWS), 4), len(ANIMATIONS))
    return make_pose(np.repeat(list(ANIMATIONS), 4 * len(VIEWS)), views, phases)


def appearance(**levels: int) -> np.ndarray:
    return np.array([[levels.get(name, 0) for name in FACTORS]])


def test_the_set_has_the_shapes_and_types_of_an_image_set(images):
    assert images.images.shape == (160, 32, 32, 3) and images.images.dtype == np.uint8
    assert images.identity.shape == (160,) and images.identity.dtype == np.int64
    assert images.pose.shape == (160,) and images.pose.dtype == np.int64
    assert (
        images.keypoints.shape == (160, len(KEYPOINTS), 2) and images.keypoints.dtype == np.float32
    )
    assert images.split.dtype == np.dtype("<U5")
    assert images.images.min() < 60 and images.images.max() > 235


def test_every_identity_is_seen_once_in_every_pose(images):
    pairs = set(zip(images.identity.tolist(), images.pose.tolist(), strict=True))
    assert pairs == {(identity, pose) for identity in range(10) for pose in range(16)}


def test_pixels_stay_what_they_were(images):
    """Results are committed: the same seed must draw the same puppets for ever."""
    # Coarse sums, so that the last bit of a platform's sine changes nothing.
    means = images.images.reshape(10, 16, -1).mean(2)
    np.testing.assert_allclose(means[[0, 4, 9], [0, 7, 15]], [216.630, 219.314, 217.465], atol=0.01)


def test_a_seed_decides_the_set(images):
    again, other = (puppets(identities=10, poses=16, size=32, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.images, images.images)
    np.testing.assert_array_equal(again.keypoints, images.keypoints)
    assert (other.images != images.images).any()


def test_train_and_test_share_no_character(images):
    train, test = (
        set(images.identity[images.split == name].tolist()) for name in ("train", "test")
    )
    assert len(train) == 8 and len(test) == 2 and not train & test


@pytest.mark.parametrize(("fraction", "tested"), [(0.0, 0), (0.01, 1), (0.5, 2), (0.99, 3)])
def test_the_test_fraction_leaves_someone_to_train_on(fraction, tested):
    few = puppets(identities=4, poses=1, size=16, test_fraction=fraction)
    assert (few.split == "test").sum() == tested


def test_sampled_characters_are_distinct():
    characters = sample_appearances(500, np.random.default_rng(0))
    assert len(np.unique(characters, axis=0)) == 500
    seen = render(characters[:100], make_pose("walk", "front", 0.2), 64)[0]
    assert len(np.unique(seen.reshape(100, -1), axis=0)) == 100


@pytest.mark.parametrize(
    ("hidden", "cover"),
    [("hair_colour", "hair"), ("pattern_colour", "pattern"), ("hat_colour", "hat")],
)
def test_a_factor_that_does_not_show_does_not_tell_characters_apart(hidden, cover):
    characters = sample_appearances(200, np.random.default_rng(2))
    covered = characters[:, NAMES.index(cover)] == 0
    assert covered.any() and not characters[covered, NAMES.index(hidden)].any()
    assert characters[~covered, NAMES.index(hidden)].any()


def test_a_pose_id_means_the_same_keypoints_for_the_same_body():
    bodies = sample_appearances(5, np.random.default_rng(1))
    bodies[:, [BUILD, HEIGHT]] = 1
    pose = make_pose("dance", "left", 0.3)
    _, keypoints = render(bodies, pose)
    np.testing.assert_array_equal(keypoints, np.repeat(keypoints[:1], 5, axis=0))

    bodies[0, HEIGHT] = 2
    assert (render(bodies, pose)[1][0] != keypoints[0]).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_level_of_every_factor_shows(name, every_view_and_time):
    worn = {"hair": 1, "pattern": 1, "hat": 1, "sleeves": 1}
    drawn = [
        render(appearance(**{**worn, name: level}), every_view_and_time[::7], 32)[0]
        for level in range(len(FACTORS[name]))
    ]
    assert len({images.tobytes() for images in drawn}) == len(drawn)


def test_views_and_animations_are_distinct():
    for animations, views in ((list(ANIMATIONS), "front"), ("walk", list(VIEWS))):
        images = render(appearance(hair=1), make_pose(animations, views, 0.3), 64)[0].astype(float)
        changed = np.abs(images[:, None] - images[None]).mean((2, 3, 4))
        assert changed[~np.eye(len(images), dtype=bool)].min() > 2.0


def test_a_face_is_seen_from_the_front_and_not_from_the_back():
    for view, dark in (("front", True), ("back", False)):
        image, keypoints = render(appearance(), make_pose("jacks", view, 0.0), 128)
        x, y = keypoints[0, 0].astype(int)
        assert (image[0, y - 10 : y + 10, x - 10 : x + 10].max(-1) < 60).any() == dark


@pytest.mark.parametrize("build", range(3))
@pytest.mark.parametrize("height", range(3))
def test_keypoints_lie_on_the_drawn_puppet(build, height, every_view_and_time):
    images, keypoints = render(appearance(build=build, height=height), every_view_and_time, 64)
    assert keypoints.min() >= 2 and keypoints.max() <= 62

    x, y = np.moveaxis(keypoints.astype(int), -1, 0)
    drawn = (images != BACKGROUND).any(-1)
    assert drawn[np.arange(len(images))[:, None], y, x].all()


def test_the_tallest_puppet_fits_and_stands_on_the_constant_background(every_view_and_time):
    tall = np.concatenate(
        [
            appearance(height=2, build=2, hat=hat, hair=hair)
            for hat, hair in ((3, 2), (0, 5), (0, 6))
        ]
    )
    for row in range(len(tall)):
        images, _ = render(tall[row : row + 1], every_view_and_time, 64)
        border = np.ones((64, 64), bool)
        border[1:-1, 1:-1] = False
        assert (images[:, border] == BACKGROUND).all()


@pytest.mark.parametrize("animation", ANIMATIONS)
def test_motion_is_continuous_and_periodic(animation):
    phases = np.arange(201) / 200
    pose = make_pose(animation, "three-quarter", phases)
    images, keypoints = render(appearance(hair=2), pose, 32)
    assert np.abs(np.diff(keypoints, axis=0)).max() < 0.7
    assert np.abs(np.diff(images.astype(float), axis=0)).mean((1, 2, 3)).max() < 2.0
    assert np.ptp(keypoints, axis=0).max() > 1.5

    np.testing.assert_allclose(keypoints[0], keypoints[-1], atol=1e-4)
    assert np.abs(images[0].astype(int) - images[-1]).max() <= 1


def test_the_near_arm_hides_the_torso_and_the_torso_hides_the_far_arm():
    # The guard of a boxer keeps the right elbow beside the torso.
    for view, part in (("right", "skin"), ("left", "shirt")):
        image, keypoints = render(appearance(), make_pose("box", view, 0.25), 128)
        x, y = keypoints[0, KEYPOINTS.index("right elbow")].astype(int)
        # The rim of a shape is darker, in the same hue.
        hue, expected = image[0, y, x] / image[0, y, x].max(), np.array(FACTORS[part][0])
        np.testing.assert_allclose(hue, expected / expected.max(), atol=0.02)


def test_sizes_draw_the_same_puppet():
    pose = make_pose("kick", "right", 0.2)
    small, points = render(appearance(hat=3), pose, 32)
    large, large_points = render(appearance(hat=3), pose, 256)
    shrunk = large.reshape(1, 32, 8, 32, 8, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 2.0
    np.testing.assert_allclose(large_points, 8 * points, rtol=1e-5)


def test_pose_grid_covers_animations_and_views_with_distinct_poses():
    animations, views, phases = pose_grid(120)
    assert len(set(zip(animations, views, strict=True))) == len(ANIMATIONS) * len(VIEWS)
    assert len(set(zip(animations, views, phases.tolist(), strict=True))) == 120
    assert phases.min() >= 0 and phases.max() < 1


def test_bones_connect_keypoints():
    assert {joint for bone in BONES for joint in bone} == set(KEYPOINTS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identities": 1}, "identities"),
        ({"poses": 0}, "poses"),
        ({"size": 8}, "size"),
        ({"size": 512}, "size"),
        ({"test_fraction": 1.0}, "test_fraction"),
        ({"test_fraction": -0.1}, "test_fraction"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        puppets(**{"identities": 2, "poses": 1, "size": 16, **arguments})


def test_bad_parts_are_named():
    pose = make_pose("walk", "front", [0.0, 0.5])
    with pytest.raises(ValueError, match="moonwalk"):
        make_pose("moonwalk", "front", 0.0)
    with pytest.raises(ValueError, match="below"):
        make_pose("walk", "below", 0.0)
    with pytest.raises(ValueError, match="shape"):
        render(np.zeros((1, 2), int), pose)
    with pytest.raises(ValueError, match="integers"):
        render(appearance().astype(float), pose)
    with pytest.raises(ValueError, match="factor by factor"):
        render(appearance(hat=9), pose)
    with pytest.raises(ValueError, match="equal lengths"):
        render(np.repeat(appearance(), 3, axis=0), pose)
