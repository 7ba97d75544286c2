r"""The creatures: three skeletons in comparable poses, for Sec. 4.3 of the paper."""

import numpy as np
import pytest
from pose_appearance.data.creatures import (
    ANIMATIONS,
    CATEGORIES,
    FACTORS,
    KEYPOINTS,
    VIEWS,
    creatures,
    make_motion,
    pose_grid,
    render,
    sample_appearances,
)
from pose_appearance.data.pairs import PairSampler
from pose_appearance.data.puppets import BACKGROUND

NAMES = list(FACTORS)


@pytest.fixture(scope="module")
def images():
    return creatures(identities=9, poses=20, size=32, seed=3, test_fraction=0.34)


@pytest.fixture(scope="module")
def motions():
    return [
        make_motion(animation, view, phase)
        for animation in ANIMATIONS
        for view in VIEWS
        for phase in np.arange(6) / 6
    ]


def appearance(**levels):
    return np.array([[levels.get(name, 1) for name in FACTORS]])


def test_the_set_has_the_shapes_and_types_of_an_image_set(images):
    assert images.images.shape == (180, 32, 32, 3) and images.images.dtype == np.uint8
    assert images.keypoints.shape == (180, len(KEYPOINTS), 2)
    assert images.split.dtype == np.dtype("<U5")
    assert set(images.factors) == {"category", "view", "animation", "phase"}
    for part in (images, images.subset("test")):
        assert set(part.factors["category"]) == set(CATEGORIES)


def test_a_seed_decides_the_set(images):
    again, other = (
        creatures(identities=9, poses=20, size=32, seed=s, test_fraction=0.34) for s in (3, 4)
    )
    np.testing.assert_array_equal(again.images, images.images)
    assert (other.images != images.images).any()


def test_pairs_never_mix_categories(images):
    """An identity has one category, and pairs are of one identity."""
    category = images.factors["category"]
    for identity in np.unique(images.identity):
        assert len(set(category[images.identity == identity])) == 1
    sampler = PairSampler(images, identities=9, views=2, size=32, seed=0)
    of_image = {image.tobytes(): name for image, name in zip(images.images, category, strict=True)}
    batch = sampler.batch_at(0)
    pixels = [
        ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        for x in (batch.x1.repeat_interleave(2, 0), batch.x2)
    ]
    pairs = [tuple(of_image[x.tobytes()] for x in pair) for pair in zip(*pixels, strict=True)]
    assert all(first == second for first, second in pairs)
    assert {first for first, _ in pairs} == set(CATEGORIES)


def test_a_pose_is_the_same_view_animation_and_phase_in_all_categories(images):
    for pose in range(20):
        rows = images.pose == pose
        assert set(images.factors["category"][rows]) == set(CATEGORIES)
        for name in ("view", "animation", "phase"):
            assert len(set(images.factors[name][rows])) == 1


def test_pose_grid_covers_views_and_animations_with_distinct_poses():
    for count in (1, 16, 160):
        poses = list(zip(*map(list, pose_grid(count)), strict=True))
        assert len(set(poses)) == count
        assert all(0 <= phase < 1 for *_, phase in poses)
    assert {pose[:2] for pose in poses} == {(a, v) for a in ANIMATIONS for v in VIEWS}


def test_skeletons_differ_in_their_keypoints_and_share_their_direction():
    """In the same pose, all three categories look the same way, and no two stand the same way."""
    joints = {}
    for view in ("left", "right"):
        motion = make_motion("walk", view, 0.0)
        for category in range(3):
            _, points = render(appearance(category=category), motion)
            joints[view, category] = points[0]
            ahead = points[0, KEYPOINTS.index("head"), 0] - points[0, KEYPOINTS.index("tail"), 0]
            assert ahead * (1 if view == "right" else -1) > 5
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(joints["right", a] - joints["right", b]).max() > 8


def test_an_image_does_not_depend_on_who_else_is_drawn(motions):
    many = sample_appearances(12, np.random.default_rng(0))
    for motion in motions[::15]:
        together, points = render(many, motion, 32)
        for row in range(len(many)):
            alone, own = render(many[row : row + 1], motion, 32)
            # Windows differ, and with them the last bits of float32.
            assert np.abs(alone[0].astype(int) - together[row]).max() <= 1
            np.testing.assert_allclose(own[0], points[row], rtol=1e-5)


def test_sampled_creatures_are_distinct_and_take_turns():
    drawn = sample_appearances(300, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == 300
    np.testing.assert_array_equal(drawn[:, 0], np.arange(300) % 3)
    plain = drawn[:, NAMES.index("pattern")] == 0
    assert plain.any() and not drawn[plain, NAMES.index("pattern_colour")].any()
    seen, _ = render(drawn[:90], make_motion("walk", "three-quarter", 0.2), 64)
    assert len(np.unique(seen.reshape(90, -1), axis=0)) == 90


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_every_level_of_every_factor_shows_in_every_category(name, motions):
    for category in range(3):
        drawn = []
        for level in range(len(FACTORS[name])):
            levels = {"category": category, name: level}
            seen = [render(appearance(**levels), motion, 64)[0] for motion in motions[3::16]]
            drawn.append(np.concatenate(seen).tobytes())
        assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("category", range(3))
def test_the_largest_creatures_fit(category, motions):
    large = np.concatenate(
        [
            appearance(category=category, height=2, build=2, ears=ears, tail=tail)
            for ears in range(4)
            for tail in range(3)
        ]
    )
    border = np.ones((64, 64), bool)
    border[1:-1, 1:-1] = False
    for motion in motions:
        images, keypoints = render(large, motion)
        assert (images[:, border] == BACKGROUND).all()
        assert keypoints.min() > 0 and keypoints.max() < 64


@pytest.mark.parametrize("category", range(3))
@pytest.mark.parametrize("animation", ANIMATIONS)
@pytest.mark.slow
def test_motion_is_continuous_periodic_and_nowhere_the_same(category, animation):
    def at(phase):
        motion = make_motion(animation, "three-quarter", phase)
        images, keypoints = render(appearance(category=category), motion, 32)
        return images[0].astype(float), keypoints[0]

    keypoints = np.stack([at(phase)[1] for phase in np.arange(121) / 120])
    assert np.abs(np.diff(keypoints, axis=0)).max() < 1.2
    np.testing.assert_allclose(keypoints[0], keypoints[-1], atol=1e-4)
    eighths = [at(phase)[0] for phase in np.arange(8) / 8]
    for i in range(8):
        for j in range(i):
            assert np.abs(eighths[i] - eighths[j]).mean() > 0.5


def test_bad_arguments_are_named():
    for arguments, message in (
        ({"identities": 1}, "identities"),
        ({"poses": 0}, "poses"),
        ({"size": 8}, "size"),
        ({"test_fraction": 1.0}, "test_fraction"),
    ):
        with pytest.raises(ValueError, match=message):
            creatures(**{"identities": 2, "poses": 1, "size": 16, **arguments})
    with pytest.raises(ValueError, match="moonwalk"):
        make_motion("moonwalk", "front", 0.0)
    with pytest.raises(ValueError, match="below"):
        make_motion("walk", "below", 0.0)
    with pytest.raises(ValueError, match="shape"):
        render(np.zeros((1, 2), int), make_motion("walk", "front", 0.0))
    with pytest.raises(ValueError, match="integers"):
        render(appearance().astype(float), make_motion("walk", "front", 0.0))
    with pytest.raises(ValueError, match="factor by factor"):
        render(appearance(coat=99), make_motion("walk", "front", 0.0))
