"""A call changes nothing: asked twice, in parts, or with others in between, a regularizer says the same."""

import copy

import pytest
import torch
from problems import (
    after_steps,
    codes,
    copied,
    mi_of,
    optimizer_of,
    tensors,
)

import mireg


@pytest.mark.parametrize("trained", [False, True])
def test_a_second_call_on_the_same_input_gives_the_same_numbers(regularizer, trained):
    if trained:
        after_steps(regularizer)
    _, pi, alpha, posterior = codes()
    before = copied(regularizer)
    expected = tensors(regularizer(pi, alpha, posterior))
    for mode in (True, False):
        regularizer.train(mode)
        for quiet in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with quiet():
                penalty = regularizer(pi, alpha, posterior)
            torch.testing.assert_close(tensors(penalty), expected, rtol=1e-6, atol=1e-6)
    assert all(x.equal(regularizer.state_dict()[name]) for name, x in before.items())


def test_a_call_depends_on_nothing_that_a_generator_draws(regularizer):
    _, pi, alpha, posterior = codes()
    torch.manual_seed(1)
    expected = tensors(regularizer(pi, alpha, posterior))
    torch.manual_seed(2)
    for name, value in tensors(regularizer(pi, alpha, posterior)).items():
        assert value.equal(expected[name]), name


def test_the_same_pi_with_permuted_alpha_is_read_anew(with_critics):
    after_steps(with_critics)
    _, pi, alpha, posterior = codes()
    twin = copy.deepcopy(with_critics)
    with_critics(pi, alpha, posterior)
    for order in (torch.arange(16).roll(1), torch.arange(16).flip(0)):
        got, alone = (r(pi, alpha[order], posterior) for r in (with_critics, twin))
        torch.testing.assert_close(tensors(got), tensors(alone), rtol=0, atol=0)
        assert mi_of(got) != mi_of(with_critics(pi, alpha, posterior))


def test_codes_that_begin_and_end_in_zero_are_read_anew(with_critics):
    after_steps(with_critics)
    readings = set()
    for seed in range(3):
        _, pi, alpha, posterior = codes(seed=seed)
        pi = pi.detach().clone()
        pi[0, 0] = pi[-1, -1] = 0
        readings.add(mi_of(with_critics(pi, alpha, posterior)).item())
    assert len(readings) == 3


def test_each_of_four_accumulated_parts_is_read_as_if_it_were_alone(with_critics):
    after_steps(with_critics)
    optimizer = optimizer_of(with_critics)
    batches = [codes(seed=seed)[1:] for seed in range(4)]
    alone = [mi_of(copy.deepcopy(with_critics)(*batch)) for batch in batches]
    optimizer.zero_grad()
    penalties = []
    for batch in batches:
        penalty = with_critics(*batch)
        (penalty.loss + penalty.critic_loss).div(4).backward()
        penalties.append(penalty)
    optimizer.step()
    with_critics.update(mireg.Penalty.mean(penalties))
    assert [mi_of(p) for p in penalties] == alone


@pytest.mark.parametrize("between", [False, True], ids=["before the step's call", "after it"])
def test_a_replay_batch_leaves_the_readings_of_the_step(with_critics, between):
    """A loss of the critics alone that is not stepped on yet, and one that is: only a step of the optimizer changes what is read."""
    after_steps(with_critics)
    optimizer = optimizer_of(with_critics)
    twin = copy.deepcopy(with_critics)
    expected = twin(*codes()[1:])
    twin.update(expected)
    replay = codes(seed=1)[1:3]
    if not between:
        with_critics.critic_loss(*replay)
    penalty = with_critics(*codes()[1:])
    if between:
        optimizer.zero_grad()
        with_critics.critic_loss(*replay).backward()
        optimizer.step()
    with_critics.update(penalty)
    torch.testing.assert_close(tensors(penalty), tensors(expected), rtol=0, atol=0)
    # Averages, weights and the memory are those of a step without a replay.
    states = [dict(one.named_buffers()) for one in (with_critics, twin)]
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_a_validation_batch_between_two_steps_changes_nothing(regularizer, quiet):
    twin = copy.deepcopy(regularizer)
    results = []
    for validated, one in ((True, regularizer), (False, twin)):
        optimizer = optimizer_of(one)
        for seed in range(3):
            _, pi, alpha, posterior = codes(seed=seed)
            penalty = one(pi, alpha, posterior)
            if validated:
                one.eval()
                with quiet():
                    # Codes that an evaluation makes are inference tensors themselves.
                    one(*codes(seed=50)[1:])
                one.train()
            optimizer.zero_grad()
            (penalty.loss + penalty.critic_loss).backward()
            optimizer.step()
            one.update(penalty)
        results.append((tensors(penalty), copied(one)))
    torch.testing.assert_close(*results, rtol=0, atol=0)
