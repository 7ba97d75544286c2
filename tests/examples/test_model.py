"""The networks of the flagship, its reconstruction losses and its metric."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.pairs import Triplets, triplets
from pose_appearance.model.presets import PRESETS, ModelOptions, PoseAppearanceModel, build_model
from pose_appearance.studies.pictures import as_pixels, curves, example_rows, tile, transfer_grid
from pose_appearance.studies.triplet_error import (
    errors_by_body,
    mean_images,
    triplet_errors,
    trivial_errors,
)
from pose_appearance.training.reconstruction import RECONSTRUCTIONS

SIZES = replace(
    PRESETS["small"], encoder_widths=(8, 8), decoder_widths=(8, 8), hidden=16, pi_features=4
)


@pytest.fixture
def shared_poses() -> ImageSet:
    """Three identities in four poses: the brightness tells the pose, the colour the identity."""
    images = np.zeros((12, 6, 6, 3), np.uint8)
    identity, pose = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    images[np.arange(12), :, :, identity] = 50 + 50 * pose[:, None, None]
    return ImageSet(images, identity, np.full(12, "test"), pose)


def test_a_model_draws_images_of_its_size():
    model = build_model(SIZES, torch.zeros(3))
    x = torch.randn(2, 3, 64, 64)
    assert model.transfer(x, x).shape == (2, 3, 64, 64)
    mean, log_var = model.pose_encoder(x)
    assert mean.shape == log_var.shape == (2, 4)


def test_an_untrained_decoder_draws_about_the_mean_colour():
    colour = torch.tensor([-0.5, 0.0, 0.7])
    model = build_model(SIZES, colour)
    drawn = model.transfer(*torch.randn(2, 16, 3, 64, 64))
    torch.testing.assert_close(drawn.mean((0, 2, 3)), colour, atol=0.15, rtol=0)


def test_a_sample_is_coded_and_drawn_alone():
    model = build_model(SIZES, torch.zeros(3))
    x, y = torch.randn(2, 4, 3, 64, 64)
    torch.testing.assert_close(model.transfer(x, y)[:1], model.transfer(x[:1], y[:1]))


def test_the_paper_preset_has_the_widths_of_the_paper():
    with torch.device("meta"):
        model = PoseAppearanceModel(PRESETS["paper"])
        x = torch.empty(2, 3, 256, 256)
        assert model.transfer(x, x).shape == x.shape
        assert model.pose_encoder(x)[0].shape == (2, 256)


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="multiple of 16 for this model, got 60"):
        ModelOptions(size=60)


def test_reconstruction_losses_are_log_likelihoods():
    output, target = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64).float()
    scale = torch.tensor(0.3)
    for name, kind in (
        ("gaussian", torch.distributions.Normal),
        ("l1", torch.distributions.Laplace),
    ):
        loss = RECONSTRUCTIONS[name](output, target, 0.3)
        constant = kind(torch.tensor(0.0), scale).log_prob(torch.tensor(0.0)) * 48
        expected = constant - kind(output, scale).log_prob(target).flatten(1).sum(1).mean()
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_the_triplet_error_of_the_truth_is_zero_and_of_a_copy_is_the_trivial_one(shared_poses):
    drawn = triplets(shared_poses, 50)
    device = torch.device("cpu")

    def truth(x1, x3):
        # The channel of x1 at the brightness of x3.
        channel = (x1[:, :, 4:5, 4:5] > -1).float()
        return channel * (x3.amax((1, 2, 3), keepdim=True) + 1) - 1

    errors = triplet_errors(truth, shared_poses, drawn, size=8, device=device, batch=7)
    assert errors.transfer.shape == (50,)
    assert errors.transfer.max() < 1e-10 and errors.reconstruction.max() < 1e-10

    trivial = trivial_errors(shared_poses, shared_poses, drawn)
    for name, copy in {"copy_x1": lambda x1, x3: x1, "copy_x3": lambda x1, x3: x3}.items():
        errors = triplet_errors(copy, shared_poses, drawn, size=8, device=device)
        assert errors.transfer.mean() == pytest.approx(trivial[name], rel=1e-5)
        assert trivial[name] > 0


def test_errors_between_two_types_of_body_stand_apart(shared_poses):
    known = replace(shared_poses, factors={"body": shared_poses.identity % 2})
    rows = [np.flatnonzero(known.identity == i)[0] for i in (0, 1, 2)]
    drawn = Triplets(*(np.array([rows[i] for i in x]) for x in ((0, 0, 1), (2, 1, 2), (0, 0, 1))))
    found = errors_by_body(known, drawn, np.array([0.002, 0.5, 0.004]))
    assert found["same_body"] == {"mean": 0.002, "median": 0.002, "above_0.01": 0.0}
    assert found["other_body"] == {"mean": 0.252, "median": 0.252, "above_0.01": 0.5}


def test_mean_images_are_those_of_all_and_of_each_pose(shared_poses):
    mean, poses = mean_images(shared_poses)
    np.testing.assert_allclose(mean, shared_poses.images.mean(0))
    np.testing.assert_allclose(poses[2], shared_poses.images[shared_poses.pose == 2].mean(0))
    np.testing.assert_allclose(mean_images(shared_poses, 9)[1][8], mean)


def test_pixels_are_the_inverse_of_floats():
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert np.array_equal(as_pixels(image / 127.5 - 1)[0, :, :, 0], image[0, 0].numpy())


def test_pictures_hold_all_their_cells(shared_poses, tmp_path):
    grid = transfer_grid(
        lambda x1, x3: x1, shared_poses, size=8, device=torch.device("cpu"), count=3
    )
    assert grid.width == grid.height
    rows = example_rows(shared_poses, np.zeros((3, 5), int), shared_poses.images[:5], zoom=1)
    assert rows.size == (5 * 8 + 2, 4 * 8 + 2)
    assert tile([[None, shared_poses.images[0]]], gap=0, zoom=1).getpixel((0, 0)) == (255, 255, 255)
    line = {"step": 1, "error": 0.1, "mi_average": 0.1, "mi_shadow_average": 0.2, "kl": 3.0}
    curves([line, {**line, "step": 2}], 0.125, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
