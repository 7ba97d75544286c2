"""What the methods that the paper compares with minimise, and who learns from it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pose_appearance.data.image_set import ImageSet
from pose_appearance.methods import METHODS, RecipeOptions, Step
from pose_appearance.methods.supervised import KeypointEncoder
from pose_appearance.training.options import TrainOptions
from pose_appearance.training.run import build_trainer, load_images

import mireg

TINY = TrainOptions(
    preset="tiny", identities=6, poses=6, steps=4, identities_per_batch=3, views=2, seed=3
)
OWN = ("atsdm", "drnet")


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_images(TINY)


def trainer_of(images, objective="robust", own=None, **changes):
    options = replace(TINY, **changes).with_method(objective, **(own or {}))
    return build_trainer(options, images, torch.device("cpu"))


def step_of(trainer, progress=0.5):
    """Gives what an objective sees of a step, and the two losses that it combines."""
    trainer.method.begin(trainer.model, progress)
    batch = trainer.sampler.batch_at(0)
    codes, groups = trainer.encode(batch)
    if trainer.method.critics_first:
        trainer.replay.add(codes, groups)
    penalty = trainer.regularizer(*codes, groups=groups)
    output = trainer.model.decoder(codes.pi, codes.alpha)
    reconstruction = trainer.reconstruction(output, batch.x2, trainer.options.scale)
    step = Step(trainer.model, batch, codes, groups, trainer.replay, 0, progress)
    return step, reconstruction, penalty


def moved(module):
    """Tells whether a module got a gradient."""
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def who(model):
    """Names the networks of the model that got a gradient."""
    return {name for name, network in model.named_children() if moved(network)}


@pytest.mark.parametrize("objective", METHODS)
def test_the_model_and_nothing_else_learns_from_the_loss(images, objective):
    trainer = trainer_of(images, objective=objective)
    step, reconstruction, penalty = step_of(trainer)
    made = trainer.method(step, reconstruction, penalty)
    made.loss.backward()
    frozen = {"appearance_encoder"} if objective == "atsdm" else set()
    expected = {"pose_encoder", "decoder", "appearance_encoder"} - frozen
    assert who(trainer.model) == expected
    assert not moved(trainer.method) and not moved(trainer.regularizer)
    assert all(not value.requires_grad and value.isfinite() for value in made.metrics.values())


@pytest.mark.parametrize("objective", METHODS)
def test_the_loss_of_critics_and_adversaries_reaches_no_encoder(images, objective):
    trainer = trainer_of(images, objective=objective)
    step, reconstruction, penalty = step_of(trainer)
    trainer.method(step, reconstruction, penalty).critic_loss.backward()
    assert not who(trainer.model)
    assert moved(trainer.regularizer)
    if objective in OWN:
        assert moved(trainer.method.adversary)


@pytest.mark.parametrize("objective", OWN)
def test_own_networks_learn_in_the_step_of_the_model(images, objective):
    trainer = trainer_of(images, objective=objective)
    before = [p.clone() for p in trainer.method.adversary.parameters()]
    trainer.step(0.5)
    after = list(trainer.method.adversary.parameters())
    assert not any(p.equal(q) for p, q in zip(before, after, strict=True) if p.ndim > 1)
    assert all(p.requires_grad for p in after)


@pytest.mark.parametrize("objective", METHODS)
def test_critics_of_the_published_recipe_learn_before_they_are_asked_and_only_then(
    images, objective
):
    trainer = trainer_of(images, objective=objective, recipe=RecipeOptions(replay_updates=0))
    critics = list(trainer.regularizer.critic_parameters())
    seen, ask = [], trainer.regularizer.forward

    def asked(*codes, **groups):
        seen.append([p.clone() for p in critics])
        return ask(*codes, **groups)

    trainer.regularizer.forward = asked
    before = [p.clone() for p in critics]
    trainer.step(0.5)
    (at_the_question,) = seen
    learnt = [not p.equal(q) for p, q in zip(before, at_the_question, strict=True) if p.ndim > 1]
    later = [not p.equal(q) for p, q in zip(at_the_question, critics, strict=True) if p.ndim > 1]
    assert any(learnt) == (objective != "robust")
    assert any(later) == (objective == "robust")


def test_epsilon_alone_sets_the_constraint(images):
    recipe = RecipeOptions(octaves=0, replay_updates=9, critic_learning_rate=9.0)
    first, second = (trainer_of(images, **given) for given in ({}, {"recipe": recipe}))
    for trainer in (first, second):
        torch.manual_seed(0)
        trainer.step(0.0)
    ours, theirs = (trainer.regularizer.state_dict() for trainer in (first, second))
    assert all(value.equal(theirs[name]) for name, value in ours.items())
    rates = [group["lr"] for group in first.optimizer.param_groups]
    assert rates == [TINY.learning_rate / 200, 3 * TINY.learning_rate]


def test_cyclevae_adds_a_cycle_that_trains_the_pose_encoder_alone(images):
    trainer = trainer_of(images, objective="cyclevae", own={"cycle_weight": 70.0})
    step, reconstruction, penalty = step_of(trainer)
    torch.manual_seed(1)
    made = trainer.method(step, reconstruction, penalty)
    expected = reconstruction + penalty.loss + 70 * made.metrics["cycle"]
    torch.testing.assert_close(made.loss.detach(), expected.detach())
    torch.testing.assert_close(penalty.loss, 5 * penalty.metrics["kl"])
    trainer.method.reverse_cycle(step).backward()
    assert who(trainer.model) == {"pose_encoder"}


def test_the_cycle_is_zero_for_codes_of_the_pose_alone_and_pairs_differ_in_identity(images):
    trainer = trainer_of(images, objective="cyclevae")
    step, _, _ = step_of(trainer)
    seen = []

    def decoder(pi, alpha):
        seen.append(alpha)
        return pi

    trainer.model.decoder.forward = decoder
    trainer.model.pose_encoder.forward = lambda x: (x.clone().requires_grad_(), x)
    assert trainer.method.reverse_cycle(step) == 0
    first, second = seen[0].chunk(2)
    assert not (first == second).all(1).any()


def test_atsdm_trains_an_identity_classifier_first_and_freezes_it(images):
    trainer = trainer_of(images, objective="atsdm")
    step, reconstruction, penalty = step_of(trainer, progress=0.1)
    made = trainer.method(step, reconstruction, penalty)
    made.loss.backward()
    assert who(trainer.model) == {"appearance_encoder"}
    assert moved(trainer.method.classifier) and not moved(trainer.method.adversary)
    classes = len(np.unique(images.subset("train").identity))
    assert made.metrics["classifier_cross_entropy"] < 2 * math.log(classes)

    head = [p.clone() for p in trainer.method.classifier.parameters()]
    for n in range(3):
        trainer.step(0.1 + n / 100)
    now = trainer.method.classifier.parameters()
    assert not any(p.equal(q) for p, q in zip(head, now, strict=True) if p.ndim > 1)
    frozen = [p.clone() for p in trainer.model.appearance_encoder.parameters()]
    pose = next(trainer.model.pose_encoder.parameters()).clone()
    for n in range(2):
        trainer.step(0.5 + n / 100)
    now = trainer.model.appearance_encoder.parameters()
    assert all(p.equal(q) for p, q in zip(frozen, now, strict=True))
    assert not pose.equal(next(trainer.model.pose_encoder.parameters()))


def test_atsdm_rewards_poses_that_hide_the_identity(images):
    trainer = trainer_of(images, objective="atsdm", own={"adversary_weight": 7.0})
    step, reconstruction, penalty = step_of(trainer)
    made = trainer.method(step, reconstruction, penalty)
    expected = reconstruction - 7 * made.metrics["adversary_cross_entropy"]
    torch.testing.assert_close(made.loss.detach(), expected.detach())
    assert penalty.loss == 0


def test_the_classifier_of_atsdm_learns_more_identities_than_a_batch_has():
    options = replace(TINY, objective="atsdm", identities=50, poses=12, identities_per_batch=4)
    trainer = build_trainer(options, load_images(options), torch.device("cpu"))
    # Watchers, which cost the most, play no part.
    trainer.train_critics = lambda *_: None
    trainer.regularizer.update = lambda *_: None
    losses = [trainer.step(0.1)["classifier_cross_entropy"] for _ in range(150)]
    chance = math.log(len(trainer.method.identities))
    assert np.mean(losses[-20:]) < chance / 2


def test_step_1_of_atsdm_sees_each_image_of_another_identity(images):
    trainer = trainer_of(images, objective="atsdm", identities_per_batch=2)
    batch = trainer.method.sampler.batch_at(0)
    assert len(batch.x1) == len(batch.x2) == len(batch.groups.unique()) == 4


def test_drnet_adds_similarity_and_an_undecided_judge(images):
    trainer = trainer_of(images, "drnet", {"adversary_weight": 3.0, "similarity_weight": 5.0})
    step, reconstruction, penalty = step_of(trainer)
    alpha2 = trainer.model.appearance_encoder(step.batch.x2)
    made = trainer.method(step, reconstruction, penalty)
    similarity, undecided = (made.metrics[name] for name in ("similarity", "undecided"))
    torch.testing.assert_close(similarity, (step.codes.alpha - alpha2).square().mean())
    expected = reconstruction + 5 * similarity + 3 * undecided
    torch.testing.assert_close(made.loss.detach(), expected.detach())
    assert undecided >= math.log(2) - 1e-6


def test_drnet_stops_gradients_at_the_second_code(images):
    trainer = trainer_of(images, objective="drnet", own={"adversary_weight": 1e6})

    class Second(mireg.Critic):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, pi, alpha):
            return self.scale * alpha.sum(1)

    trainer.method.adversary = Second()
    step, reconstruction, penalty = step_of(trainer)
    trainer.method(step, 0 * reconstruction, penalty).loss.backward()
    assert "pose_encoder" not in who(trainer.model)


def test_the_judge_of_drnet_learns_pairs_of_one_identity(images):
    trainer = trainer_of(images, objective="drnet", own={"adversary_weight": 0.0})
    step, reconstruction, penalty = step_of(trainer)
    # Codes that tell nothing but the identity.
    pi = step.groups[:, None].expand(-1, TINY.views * 4).float()
    step = step._replace(codes=step.codes._replace(pi=pi))
    losses = []
    for _ in range(150):
        made = trainer.method(step, reconstruction.detach(), penalty)
        trainer.optimizer.zero_grad()
        made.critic_loss.backward(retain_graph=True)
        trainer.optimizer.step()
        losses.append(made.metrics["adversary"])
    assert losses[-1] < losses[0] / 2


def test_drnet_needs_two_poses(images):
    with pytest.raises(ValueError, match="--views 2 or more, got 1"):
        trainer_of(images, objective="drnet", views=1)


def test_supervised_poses_are_those_of_the_keypoints_alone(images):
    model = trainer_of(images, objective="supervised").model
    x = torch.from_numpy(images.images[:4]).permute(0, 3, 1, 2) / 127.5 - 1
    found = model.pose_encoder.find(x)
    torch.testing.assert_close(found, torch.from_numpy(images.keypoints[:4]))
    # The same pixels with other keypoints give another code; other pixels with the same keypoints the same one.
    first = replace(images, keypoints=images.keypoints[:1].repeat(len(images), axis=0))
    one = KeypointEncoder(model.options, first)
    mean, _ = one(x)
    torch.testing.assert_close(mean, mean[:1].expand_as(mean))
    assert (model.pose_encoder(x)[0].std(0) > 0).any()


def test_heat_maps_peak_at_the_keypoints(images):
    encoder = trainer_of(images, objective="supervised").model.pose_encoder
    keypoints = torch.tensor([[[3.5, 20.5], [30.5, 0.5]]])
    maps = encoder.heat_maps(keypoints)
    assert maps.shape == (1, 2, 32, 32)
    rows = maps[0].flatten(1).argmax(1)
    assert [(int(i) % 32, int(i) // 32) for i in rows] == [(3, 20), (30, 0)]
    assert maps.max() == 1


def test_keypoints_follow_the_padding_of_images(images):
    cropped = replace(
        images, images=images.images[:, 4:28, 2:30], keypoints=images.keypoints - [2, 4]
    )
    cropped = replace(cropped, keypoints=cropped.keypoints.astype(np.float32))
    options = trainer_of(images).model.options
    whole, padded = (KeypointEncoder(options, each) for each in (images, cropped))
    torch.testing.assert_close(
        whole.keypoints.sum((1, 2)).sort()[0], padded.keypoints.sum((1, 2)).sort()[0]
    )


def test_images_and_sets_without_keypoints_are_refused(images):
    trainer = trainer_of(images, objective="supervised")
    with pytest.raises(ValueError, match="got 2 of 2 images that are not"):
        trainer.model.transfer(*torch.rand(2, 2, 3, 32, 32))
    with pytest.raises(ValueError, match="needs true keypoints, and puppets has none"):
        trainer_of(replace(images, keypoints=None), objective="supervised")


@pytest.mark.parametrize("objective", METHODS)
def test_methods_start_from_one_model_and_see_the_same_data(images, objective):
    trainer, reference = (trainer_of(images, objective=name) for name in (objective, "robust"))
    for name in ("appearance_encoder", "decoder", "pose_encoder"):
        if name == "pose_encoder" and objective == "supervised":
            continue
        ours, theirs = (getattr(each.model, name).state_dict() for each in (trainer, reference))
        assert all(ours[key].equal(theirs[key]) for key in theirs)
    first, second = (each.sampler.batch_at(5) for each in (trainer, reference))
    assert all(x.equal(y) for x, y in zip(first, second, strict=True))


@pytest.mark.parametrize("objective", METHODS)
def test_all_report_what_table_1_needs(images, objective):
    trainer = trainer_of(images, objective=objective)
    for n in range(2):
        metrics = trainer.step(n / 2)
    names = {"reconstruction", "error", "mi", "mi_shadow", "mi_average", "mi_shadow_average"}
    names |= {"accuracy", "shadow_accuracy", "kl", "gamma", "multiplier"}
    assert names <= metrics.keys()
    assert all(value.isfinite() for value in metrics.values())


@pytest.mark.parametrize("objective", OWN)
def test_networks_that_no_rank_averages_are_for_one_process(images, objective, monkeypatch):
    monkeypatch.setattr(mireg.Ranks, "count", 2)
    with pytest.raises(ValueError, match=f"{objective} trains networks .* got 2 ranks"):
        trainer_of(images, objective=objective)


def test_options_of_another_method_are_refused():
    with pytest.raises(ValueError, match="options of bvae are for --objective bvae, got robust"):
        replace(TINY.with_method("bvae", beta=3.0), objective="robust")
