"""Batches and triplets: every image carries its identity and pose in its colour."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pose_appearance.data.disturbance import disturb, numbers_of
from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.pairs import PairSampler, as_float, crop_to, triplets


def coloured(identity, pose, size=(4, 4)):
    """Draws images whose red is the identity, whose green is the pose and whose blue is noise."""
    identity, pose = np.asarray(identity), np.asarray(pose)
    images = np.empty((len(identity), *size, 3), np.uint8)
    images[..., 0] = identity[:, None, None]
    images[..., 1] = pose[:, None, None]
    images[..., 2] = np.random.default_rng(0).integers(0, 256, images.shape[:3])
    return ImageSet(images, identity, np.full(len(identity), "test"), pose, name="coloured")


def decode(x):
    """Gives the red and the green of the middle of images."""
    middle = x[:, :2, x.shape[2] // 2, x.shape[3] // 2]
    return ((middle + 1) * 127.5).round().long().unbind(1)


@pytest.fixture(scope="module")
def image_set():
    """Twenty identities of 2 to 6 images, in disorder."""
    random = np.random.default_rng(1)
    counts = random.integers(2, 7, 20)
    identity = np.repeat(np.arange(20) * 3, counts)
    pose = np.concatenate([np.arange(count) for count in counts])
    order = random.permutation(len(identity))
    return coloured(identity[order], pose[order])


@pytest.fixture(scope="module")
def grid():
    """Six identities in five poses each."""
    return coloured(np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6))


def batches(image_set, count=50, **changes):
    sampler = PairSampler(
        image_set, **{"identities": 8, "views": 3, "size": 4, "seed": 0, **changes}
    )
    return [sampler.batch_at(step) for step in range(count)]


def test_pairs_are_different_images_of_one_identity(image_set):
    for batch in batches(image_set):
        (identity1, pose1), (identity2, pose2) = decode(batch.x1), decode(batch.x2)
        assert identity1.equal(batch.groups)
        assert identity2.equal(batch.groups.repeat_interleave(3))
        assert (pose2 != pose1.repeat_interleave(3)).all()


def test_several_images_give_an_appearance_and_none_of_them_a_pose(grid):
    for batch in batches(grid, identities=4, appearances=2):
        (identity1, pose1), (identity2, pose2) = decode(batch.x1), decode(batch.x2)
        assert identity1.equal(batch.groups.repeat_interleave(2))
        assert identity2.equal(batch.groups.repeat_interleave(3))
        first, poses = pose1.unflatten(0, (-1, 2)), pose2.unflatten(0, (-1, 3))
        assert (first[:, 0] != first[:, 1]).all()
        assert (poses[:, :, None] != first[:, None]).all()


def test_an_identity_of_two_images_leaves_one_for_the_appearance(image_set):
    sampler = PairSampler(image_set, 8, 3, 4, 0, appearances=5)
    assert sampler.appearances == 1
    assert len(sampler.batch_at(0).x1) == 8


def test_disturbed_images_keep_their_place_and_lose_their_colours():
    x = torch.zeros(2, 3, 9, 9)
    x[:, 0, 4, 4] = 1
    noise = torch.ones(2, 11)
    assert disturb(x, noise, 0.0, 0.0).equal(x)
    mixed = disturb(x, noise, 0.5, 0.0)
    assert mixed[0, :, 4, 4].tolist() == [1.5, 0.5, 0.5]
    assert mixed.count_nonzero() == 2 * 3
    x[:, 0, 4, 7] = 1
    wide = disturb(x, noise, 0.0, 0.5)
    # A scale of 1.5 shows what was three pixels from the middle at two.
    assert wide[0, 0, 4, 6] > 0.9 and wide[0, 0, 4, 4] == 1


def test_bends_shift_points_by_what_was_drawn_for_their_place():
    x = torch.zeros(1, 3, 32, 32)
    x[:, :, 16, 20] = 1
    noise = torch.zeros(1, numbers_of(0.1))
    assert disturb(x, noise, 0.0, 0.0, 0.1).allclose(x, atol=1e-5)
    # All points look 0.125 of half the image further right: that is 2 pixels.
    noise[:, 11:27] = 1
    assert disturb(x, noise, 0.0, 0.0, 0.125)[0, 0, 16].argmax() == 18
    # Only those at the top do.
    noise[:, 15:27] = 0
    assert disturb(x, noise, 0.0, 0.0, 0.125)[0, 0, 16].argmax() == 20


def test_identities_of_a_batch_are_distinct(image_set):
    for batch in batches(image_set, identities=20):
        assert len(batch.groups.unique()) == 20


def test_a_batch_larger_than_the_set_takes_each_identity_as_often_as_it_can(image_set):
    for batch in batches(image_set, 5, identities=50):
        counts = batch.groups.unique(return_counts=True)[1]
        assert len(counts) == 20 and set(counts.tolist()) == {2, 3}


def test_every_pair_of_images_is_drawn(grid):
    seen = set()
    for batch in batches(grid, 100, identities=6):
        (identity, pose1), (_, pose2) = decode(batch.x1), decode(batch.x2)
        seen |= set(
            zip(
                identity.repeat_interleave(3).tolist(),
                pose1.repeat_interleave(3).tolist(),
                pose2.tolist(),
                strict=True,
            )
        )
    assert len(seen) == 6 * 5 * 4


def test_a_batch_depends_on_the_seed_and_the_step_alone(image_set):
    first = batches(image_set, 4)
    torch.manual_seed(123)
    last = PairSampler(image_set, identities=8, views=3, size=4, seed=0).batch_at(3)
    assert all(a.equal(b) for a, b in zip(first[3], last, strict=True))


def test_batches_differ_over_steps_and_seeds(image_set):
    groups = {
        tuple(batch.groups.tolist())
        for seed in (0, 1, 2)
        for batch in batches(image_set, 10, seed=seed)
    }
    assert len(groups) == 30


def test_drawing_leaves_the_global_generator_alone(image_set):
    state = torch.get_rng_state()
    batches(image_set, 1)
    assert torch.get_rng_state().equal(state)


def test_batches_have_the_shapes_that_were_asked_for(image_set):
    (batch,) = batches(image_set, 1, identities=5, views=2, size=7)
    assert batch.x1.shape == (5, 3, 7, 7)
    assert batch.x2.shape == (10, 3, 7, 7)
    assert batch.x1.dtype == batch.x2.dtype == torch.float32
    moved = batch.to(torch.device("meta"))
    assert {x.device.type for x in moved} == {"meta"}


def noise(height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width, 3), generator=generator, dtype=torch.uint8)


def test_floats_span_minus_one_to_one():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 4, 4, 3)
    x = as_float(images, 4)
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))
    assert x.amin() >= -1 and x.amax() <= 1


@pytest.mark.parametrize("size", [8, 9, 13])
@pytest.mark.parametrize("shape", [(8, 8), (5, 8), (8, 3), (7, 7)])
def test_cropping_undoes_padding(shape, size):
    images = noise(*shape)
    cropped = crop_to(as_float(images, size), shape)
    restored = ((cropped + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert restored.equal(images)


@pytest.mark.parametrize("size", [6, 9])
def test_images_are_in_channels_last_memory(size):
    x = as_float(noise(6, 6), size)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_padding_has_the_colour_of_the_first_pixel_of_each_image():
    images = noise(4, 4)
    x = as_float(images, 8)
    border = torch.ones(8, 8, dtype=torch.bool)
    border[2:6, 2:6] = False
    colours = images[:, 0, 0] / 127.5 - 1
    torch.testing.assert_close(x[:, :, border], colours[:, :, None].expand(-1, -1, 48))


def test_padding_to_less_than_the_image_is_refused():
    with pytest.raises(ValueError, match="4x9 pixels cannot be padded to 8x8"):
        as_float(noise(4, 9), 8)


def test_a_target_has_the_identity_of_x1_in_the_pose_of_x3(grid):
    drawn = triplets(grid, count=500)
    identity, pose = grid.identity, grid.pose
    np.testing.assert_array_equal(identity[drawn.target], identity[drawn.x1])
    np.testing.assert_array_equal(pose[drawn.target], pose[drawn.x3])
    assert (identity[drawn.x3] != identity[drawn.x1]).all()
    assert (pose[drawn.x3] != pose[drawn.x1]).all()
    assert [len(indices) for indices in drawn] == [500] * 3
    assert set(drawn.x1) == set(drawn.x3) == set(drawn.target) == set(range(30))


def test_triplets_leave_out_unknown_poses_and_those_of_one_identity():
    lone = coloured([0, 0, 0, 1, 1, 1, 2, 2], [0, 1, -1, 0, 1, 5, 0, -1])
    drawn = triplets(lone, count=200)
    # Identity 2 shares one pose only: it lends it, and never gives the appearance.
    assert set(drawn.x1) == set(drawn.target) == {0, 1, 3, 4}
    assert set(drawn.x3) == {0, 1, 3, 4, 6}


def test_triplets_depend_on_their_seed_alone(grid):
    first, again, other = (triplets(grid, count=50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(np.array(first), np.array(again))
    assert not np.array_equal(np.array(first), np.array(other))


def test_triplets_without_shared_poses_are_refused(grid):
    with pytest.raises(ValueError, match="coloured has none"):
        triplets(replace(grid, pose=None))
    for pose in (np.arange(30), np.full(30, -1), np.repeat([0, -1], [15, 15])):
        with pytest.raises(ValueError, match=r"2 identities that share 2 poses.*coloured has 0"):
            triplets(replace(grid, pose=pose))


def test_too_little_to_pair_is_refused():
    with pytest.raises(ValueError, match="at least 2 identities, got 1"):
        batches(coloured([4, 4], [0, 1]))
    with pytest.raises(ValueError, match="2 images of each identity, got 1 of identity 9"):
        batches(coloured([4, 9, 4], [0, 0, 1]))
