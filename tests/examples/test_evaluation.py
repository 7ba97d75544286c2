"""The judges of identity and pose, what a code says alone, retrieval: each on data whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.pairs import Triplets, triplets
from pose_appearance.data.puppets import puppets
from pose_appearance.model.presets import ModelOptions, build_model
from pose_appearance.studies.categories import category_errors, category_grid, category_picks
from pose_appearance.studies.drawing import draw, encode, random_triplets
from pose_appearance.studies.reid import average_precision, batch_hard_loss, reid_scores, train_reid
from pose_appearance.studies.repose import (
    accuracy_scores,
    keypoint_distances,
    keypoint_scores,
    train_detector,
    train_pose_classifier,
)
from pose_appearance.studies.retrieval import (
    matches,
    pose_codes,
    precision_at,
    retrieval_picture,
    retrieval_scores,
)
from pose_appearance.studies.table2 import draw_triplets, table2, table2_text, train_judges
from pose_appearance.studies.visualize import train_visualizers, visualization_grid
from sklearn.metrics import average_precision_score
from torch import nn

CPU = torch.device("cpu")
SIZE = 32


@pytest.fixture(scope="module")
def drawn():
    return puppets(identities=24, poses=10, size=SIZE, seed=5, test_fraction=0.34)


@pytest.fixture(scope="module")
def train(drawn):
    return drawn.subset("train")


@pytest.fixture(scope="module")
def held_out(drawn):
    return drawn.subset("test")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(ModelOptions(size=SIZE, hidden=32), torch.zeros(3))


def everyone(*shape):
    return torch.ones(shape, dtype=torch.bool)


# Average precision and the loss of re-identification


def test_average_precision_of_a_case_done_by_hand():
    """Hits at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3."""
    distance = torch.tensor([[0.4, 0.1, 0.2, 0.3, 0.5]])
    relevant = torch.tensor([[True, True, False, True, False]])
    found = average_precision(distance, relevant, everyone(1, 5))
    assert found.item() == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_average_precision_skips_what_is_not_in_the_gallery():
    """Without the nearest two, hits are at ranks 1 and 2 of three."""
    distance = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5]])
    relevant = torch.tensor([[True, False, True, True, False]])
    allowed = torch.tensor([[False, False, True, True, True]])
    assert average_precision(distance, relevant, allowed).item() == 1.0
    nobody = average_precision(distance, torch.zeros_like(relevant), allowed)
    assert nobody.isnan().all()


def test_average_precision_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(3)
    distance = torch.rand(40, 60, generator=generator)
    relevant = torch.rand(40, 60, generator=generator) < 0.2
    allowed = torch.rand(40, 60, generator=generator) < 0.7
    found = average_precision(distance, relevant, allowed)
    for row in range(40):
        keep = allowed[row]
        expected = average_precision_score(relevant[row, keep], -distance[row, keep])
        assert found[row].item() == pytest.approx(expected)


def test_batch_hard_loss_of_a_case_done_by_hand():
    """On a line: identity 0 at 0 and 1, identity 1 at 3 and 7."""
    codes = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    groups = torch.tensor([0, 0, 1, 1])
    gaps = torch.tensor([1.0 - 3.0, 1.0 - 2.0, 4.0 - 2.0, 4.0 - 6.0])
    expected = torch.log1p(gaps.exp()).mean()
    torch.testing.assert_close(batch_hard_loss(codes, groups), expected)


def test_batch_hard_loss_has_finite_gradients_where_codes_coincide():
    codes = torch.zeros(4, 2, requires_grad=True)
    batch_hard_loss(codes, torch.tensor([0, 0, 1, 1])).backward()
    assert codes.grad.isfinite().all()


# Judges


def test_real_images_of_new_identities_are_found_again_and_wrong_ones_are_not(train, held_out):
    judge = train_reid(train, SIZE, CPU, steps=40)
    chosen = triplets(held_out, 60)
    scores = reid_scores(
        judge, SIZE, held_out, chosen, {"someone_else": held_out.images[chosen.x3]}
    )
    # 9 others of one's own identity among 78.
    assert scores["chance"] == pytest.approx(8 / 78)
    assert scores["real"] > 0.5 > 3 * scores["chance"]
    assert scores["someone_else"] < scores["chance"] + 0.05


def test_the_inputs_of_a_drawing_are_not_in_its_gallery(held_out):
    """With every relevant image among the inputs, nothing is left to be found."""
    two = held_out.subset("test")
    rows = np.concatenate([np.flatnonzero(two.identity == name)[:2] for name in (16, 17, 18)])
    few = ImageSet(two.images[rows], two.identity[rows], two.split[rows])
    judge = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 4)).requires_grad_(False)
    chosen = Triplets(np.array([0]), np.array([2]), np.array([1]))
    scores = reid_scores(judge, SIZE, few, chosen, {})
    assert np.isnan(scores["real"]) and scores["chance"] == 0


def test_perfect_keypoints_are_at_distance_0_and_a_shift_at_its_length():
    points = np.random.default_rng(0).uniform(0, 50, (4, 7, 2))
    np.testing.assert_array_equal(keypoint_distances(points, points, 50), 0)
    np.testing.assert_allclose(keypoint_distances(points, points + np.array([3, 4]), 50), 10)


class Knowing(nn.Module):
    """Knows the keypoints of each image of a set, as shares of the padded image."""

    def __init__(self, image_set, size):
        super().__init__()
        self.table = {image.tobytes(): i for i, image in enumerate(image_set.images)}
        height, width = image_set.images.shape[1:3]
        self.native, self.size = (height, width), size
        margin = np.float32([(size - width) // 2, (size - height) // 2])
        self.points = torch.from_numpy((image_set.keypoints + margin) / size)
        self.register_parameter("unused", nn.Parameter(torch.zeros(1), requires_grad=False))

    def forward(self, x):
        top, left = ((self.size - side) // 2 for side in self.native)
        x = x[:, :, top : top + self.native[0], left : left + self.native[1]]
        pixels = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        return self.points[[self.table[image.tobytes()] for image in pixels]]


@pytest.mark.parametrize("size", [SIZE, 48])
def test_a_perfect_detector_finds_a_perfect_drawing_at_0(held_out, size):
    chosen = triplets(held_out, 40)
    perfect = dict.fromkeys(("reconstruction", "transfer"), held_out.images[chosen.target])
    scores = keypoint_scores(Knowing(held_out, size), size, held_out, chosen, perfect)
    for name in ("real", "reconstruction", "transfer_to_truth"):
        assert scores[name]["mean"] == pytest.approx(0, abs=1e-4)
    # Bodies differ: the same pose puts the keypoints of another body elsewhere.
    assert scores["transfer"] == scores["real_transfer"]
    apart = held_out.keypoints[chosen.target] - held_out.keypoints[chosen.x3]
    expected = 100 / SIZE * np.linalg.norm(apart, axis=2).mean()
    assert scores["transfer"]["mean"] == pytest.approx(expected, rel=1e-4) and expected > 1


@pytest.mark.slow
def test_a_detector_learns_the_keypoints_of_new_identities(train, held_out):
    judge = train_detector(train, SIZE, CPU, steps=100)
    chosen = triplets(held_out, 60)
    same = dict.fromkeys(("reconstruction", "transfer"), held_out.images[chosen.target])
    scores = keypoint_scores(judge, SIZE, held_out, chosen, same)
    guess = np.broadcast_to(train.keypoints.mean(0), held_out.keypoints[chosen.target].shape)
    trivial = keypoint_distances(guess, held_out.keypoints[chosen.target], SIZE).mean()
    assert scores["real"]["mean"] < 0.6 * trivial
    assert scores["reconstruction"] == scores["real"]


@pytest.mark.slow
def test_a_classifier_knows_the_poses_of_new_identities(train, held_out):
    judge = train_pose_classifier(train, SIZE, CPU, steps=100)
    chosen = triplets(held_out, 60)
    scores = accuracy_scores(judge, SIZE, held_out, chosen, {"x1": held_out.images[chosen.x1]})
    assert scores["chance"] == 0.1
    assert scores["real"] > 0.5
    # x1 is in another pose than the target, so that a good classifier is wrong.
    assert scores["x1"] < 0.5 * scores["real"]


def test_judges_are_the_same_for_the_same_seed_and_leave_the_generator_alone(train):
    state = torch.get_rng_state()
    first, again, other = (train_detector(train, SIZE, CPU, steps=2, seed=s) for s in (0, 0, 1))
    assert torch.get_rng_state().equal(state)
    weights = [
        torch.cat([p.flatten() for p in judge.parameters()]) for judge in (first, again, other)
    ]
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])


def test_judges_need_what_they_learn(train):
    with pytest.raises(ValueError, match="known keypoints, and puppets has none"):
        train_detector(replace(train, keypoints=None), SIZE, CPU)
    with pytest.raises(ValueError, match="known ones, and puppets has none"):
        train_pose_classifier(replace(train, pose=None), SIZE, CPU)


def test_table2_asks_for_keypoints_poses_or_identities_alone(model, train, held_out):
    for lost, wanted in (
        ({}, "keypoints"),
        ({"keypoints": None}, "pose_accuracy"),
        ({"keypoints": None, "pose": None}, None),
    ):
        parts = [replace(part, **lost) for part in (train, held_out)]
        judges = train_judges(parts[0], SIZE, CPU, steps=2)
        chosen = random_triplets(parts[1], 12, 1)
        result = table2(judges, parts[1], chosen, draw_triplets(model, parts[1], chosen))
        assert result.keys() - {"count", "reid"} == ({wanted} if wanted else set())
        assert {"real", "reconstruction", "transfer"} <= result["reid"].keys()
        assert f"{result['reid']['transfer']:.3f}" in table2_text(result)


# Drawing


def test_drawing_is_the_transfer_of_the_model_whatever_the_batch(model, held_out):
    images = held_out.images[:5], held_out.images[20:25]
    together = draw(model, *images)
    apart = draw(model, *images, batch=2)
    assert np.abs(together.astype(int) - apart).max() <= 1
    x1, x3 = (torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1 for x in images)
    with torch.no_grad():
        expected = ((model.transfer(x1, x3).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1)
    assert np.abs(together - expected.numpy()).max() <= 1


def test_triplets_of_unknown_poses_take_the_identity_of_x1(held_out):
    chosen = random_triplets(replace(held_out, pose=None), 50, 1)
    identity = held_out.identity
    np.testing.assert_array_equal(identity[chosen.x1], identity[chosen.target])
    assert (identity[chosen.x1] != identity[chosen.x3]).all()
    assert (chosen.x1 != chosen.target).all()
    one = held_out.identity == held_out.identity[0]
    alone = ImageSet(held_out.images[one], held_out.identity[one], held_out.split[one])
    with pytest.raises(ValueError, match="at least 2 identities"):
        random_triplets(alone, 5, 1)


# What a code says alone


def quadrants():
    """Six colours in four places: the pose is the place, the appearance the colour."""
    colours = 255 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
    images = np.zeros((24, SIZE, SIZE, 3), np.uint8)
    half = SIZE // 2
    for i in range(24):
        top, left = divmod(i % 4, 2)
        images[i, top * half : (top + 1) * half, left * half : (left + 1) * half] = colours[i // 4]
    identity, pose = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    return ImageSet(images, identity, np.full(24, "train"), pose)


class Place(nn.Module):
    """Gives the brightness of the four quadrants, each 0 or 1, and hardly any noise."""

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(x, 2).mean(1).flatten(1)
        mean = (x > -0.99).float()
        return mean, torch.full_like(mean, -12.0)


class Colour(nn.Module):
    """Gives the mean colour."""

    def forward(self, x):
        return 4 * (x.mean((2, 3)) + 1)


def test_visualizers_draw_the_mean_of_all_that_a_code_leaves_possible(model):
    data = quadrants()
    perfect = build_model(
        ModelOptions(size=SIZE, hidden=8, pi_features=4, alpha_features=3), torch.zeros(3)
    )
    perfect.pose_encoder, perfect.appearance_encoder = Place(), Colour()
    decoders = train_visualizers(perfect, data, steps=150)
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 127.5 - 1
    by_pose = torch.stack([x[data.pose == p].mean(0) for p in range(4)])[data.pose]
    by_colour = torch.stack([x[data.identity == i].mean(0) for i in range(6)])[data.identity]
    codes = perfect.pose_encoder(x)[0], perfect.appearance_encoder(x)
    for decoder, code, expected in zip(decoders, codes, (by_pose, by_colour), strict=True):
        error = (decoder(code) - expected).square().mean()
        spread = (x.mean(0) - expected).square().mean()
        assert error < 0.2 * spread


def test_visualizers_leave_the_model_as_it_is(model, train, held_out):
    before = [p.clone() for p in model.parameters()]
    decoders = train_visualizers(model, train, steps=2)
    assert all(a.equal(b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    picture = visualization_grid(model, decoders, held_out, count=3)
    zoom, cell = 4, SIZE + 2
    assert picture.size == (zoom * (5 * cell + 2), zoom * (5 * cell + 2))


# Retrieval


def test_codes_that_are_the_pose_find_it_always_and_random_ones_by_chance(held_out):
    perfect = torch.nn.functional.one_hot(torch.from_numpy(held_out.pose)).float()
    scores = retrieval_scores(perfect, held_out, counts=(1, 5))
    # Seven others have the pose: the five nearest all do.
    assert scores["pose"]["top_1"] == scores["pose"]["top_5"] == 1
    assert scores["pose"]["chance"] == pytest.approx(0.1)

    many = puppets(identities=40, poses=10, size=16, test_fraction=0)
    random = torch.randn(len(many), 4, generator=torch.Generator().manual_seed(0))
    scores = retrieval_scores(random, many, counts=(10,))
    assert scores["pose"]["top_10"] == pytest.approx(0.1, abs=0.02)
    assert scores["view"]["top_10"] == pytest.approx(scores["view"]["chance"], abs=0.03)


def test_retrieval_never_finds_ones_own_identity(held_out):
    """Codes that are the identity: the nearest allowed are any others."""
    codes = torch.from_numpy(held_out.identity).float()[:, None]
    distance = torch.cdist(codes, codes)
    other = codes != codes.T
    own = precision_at(distance, ~other, everyone(len(codes), len(codes)), 5)
    assert own == 1 and precision_at(distance, ~other, other, 5) == 0


def test_precision_counts_no_more_than_a_gallery_has():
    distance = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    match = torch.tensor([[True, True, False, True]])
    allowed = torch.tensor([[False, True, True, False]])
    assert precision_at(distance, match, allowed, 4) == 0.5
    assert precision_at(distance, match, allowed, 10) == 0.5


def factors(**values):
    count = len(next(iter(values.values())))
    return ImageSet(
        np.zeros((count, 4, 4, 3), np.uint8),
        np.arange(count),
        np.full(count, "test"),
        factors={name: np.array(v) for name, v in values.items()},
    )


def test_phases_match_around_the_circle_and_within_their_animation():
    known = factors(
        view=["front"] * 5,
        animation=["walk", "walk", "walk", "jump", "walk"],
        phase=[0.0, 0.125, 0.9, 0.0, 0.5],
    )
    match = matches(known, np.array([0]))
    assert match["phase"].tolist() == [[True, True, True, False, False]]
    assert match["view and phase"].equal(match["phase"])
    assert "pose" not in match


def test_across_categories_the_gallery_has_others_only():
    """Codes that are the view within a category, and nothing across."""
    random = np.random.default_rng(0)
    category, view = np.repeat(["bird", "biped"], 40), np.tile(["left", "right"], 40)
    known = factors(category=category, view=view)
    codes = np.stack([category == "bird", (view == "left") & (category == "bird")], 1)
    codes = torch.from_numpy(10.0 * codes + 0.01 * random.standard_normal(codes.shape))
    birds = retrieval_scores(codes, known, counts=(5,))["view"]["top_5"]
    across = retrieval_scores(codes, known, counts=(5,), across="category")["view"]
    assert birds > 0.7 and across["chance"] == 0.5
    assert across["top_5"] == pytest.approx(0.5, abs=0.15)


def test_pose_codes_are_the_means(model, held_out):
    x = torch.from_numpy(held_out.images[:3]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        mean, _ = model.pose_encoder(x)
    torch.testing.assert_close(pose_codes(model, held_out)[:3], mean, atol=1e-4, rtol=1e-3)


def test_the_picture_of_retrieval_frames_hits_in_green(held_out):
    perfect = torch.nn.functional.one_hot(torch.from_numpy(held_out.pose)).float()
    picture = np.asarray(retrieval_picture(perfect, held_out, count=4, queries=3))
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    found = dict(zip(map(tuple, colours.tolist()), counts.tolist(), strict=True))
    assert (46, 139, 87) in found and (205, 60, 50) not in found
    random = torch.rand(len(held_out), 2, generator=torch.Generator().manual_seed(0))
    wrong = retrieval_picture(random, held_out, count=4, queries=3)
    assert (np.asarray(wrong) == [205, 60, 50]).all(2).any()


# Categories


def test_errors_split_by_category():
    known = factors(category=["bird", "bird", "biped"])
    chosen = Triplets(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 2]), np.array([0, 0, 1, 2]))
    found = category_errors(known, chosen, np.array([1.0, 2.0, 4.0, 3.0]))
    assert found == {"mean_within_categories": 2.0, "mean_across_categories": 3.0}


def test_the_grid_shows_every_category_as_often(model):
    from pose_appearance.data.creatures import CATEGORIES, creatures

    drawn = creatures(identities=9, poses=4, size=SIZE)
    appearance, pose = category_picks(drawn, 2, 0)
    for picks in (appearance, pose):
        assert drawn.factors["category"][picks].tolist() == sorted(2 * list(CATEGORIES))
    picture = category_grid(model, drawn, count=2)
    assert picture.size == (4 * (7 * (SIZE + 2) + 2),) * 2


def test_encoding_does_not_depend_on_the_batch(model, held_out):
    codes = [encode(model.appearance_encoder, held_out.images[:7], SIZE, batch) for batch in (3, 7)]
    torch.testing.assert_close(*codes, atol=1e-4, rtol=1e-3)
    assert codes[0].shape == (7, 64)
