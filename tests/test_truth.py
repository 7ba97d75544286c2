"""The estimate against a known truth."""

import pytest
import torch
from problems import correlated_gaussians, held_out, no_encoder

import mireg

DIMS = 2


def train(regularizer, draw, steps, rate=5e-3):
    """Trains the critic on fresh batches of 256, and lets the regularizer see one in ten."""
    optimizer = torch.optim.Adam(regularizer.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        batch = draw(256)
        if step % 10 == 0:
            with torch.no_grad():
                regularizer.update(regularizer(*batch))
        regularizer.critic_loss(*batch).backward()
        optimizer.step()
        schedule.step()


STEPS = {0.0: 300, 0.125: 400, 0.5: 400, 2.0: 700}


@pytest.mark.parametrize("nats", STEPS)
@no_encoder
@pytest.mark.slow
def test_the_estimate_on_fresh_samples_ends_at_the_mutual_information_of_gaussians(nats):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    regularizer = mireg.ClassifierMI(
        DIMS, DIMS, critic=lambda: mireg.SeparableCritic(DIMS, DIMS, width=32, depth=2)
    )

    def draw(n):
        return correlated_gaussians(n, nats, DIMS, generator)

    train(regularizer, draw, STEPS[nats])
    estimate = held_out(regularizer, [draw(1500) for _ in range(10)])
    assert estimate == pytest.approx(nats, abs=0.05 + 0.05 * nats)


def test_a_default_label_critic_ends_at_the_information_of_a_noisy_label():
    """A bit that is told in nine cases of ten: log 2 less the entropy of the error."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    regularizer = mireg.ClassifierMI(DIMS, classes=2)

    def draw(n):
        labels = torch.randint(2, (n,), generator=generator)
        told = labels ^ (torch.rand(n, generator=generator) < 0.1)
        noise = torch.randn(n, DIMS, generator=generator)
        return torch.stack((told.float(), noise[:, 0]), dim=1) + 0.05 * noise, labels

    train(regularizer, draw, 150)
    estimate = held_out(regularizer, [draw(2000) for _ in range(10)])
    assert estimate == pytest.approx(0.368, abs=0.03)


@pytest.mark.parametrize("octaves, sees", [(0, False), (5, True)])
def test_octaves_show_what_hides_at_a_fine_scale(octaves, sees):
    """Stripes of 0.1 tell a fair bit, log 2 nats: a plain critic reads nothing where all of it leaks."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    regularizer = mireg.ClassifierMI(
        1, 1, critic=lambda: mireg.ConcatenatedCritic(1, 1, width=64, octaves=octaves)
    )

    def striped(n):
        pi = torch.randn(n, 1, generator=generator)
        return pi, (pi / 0.1).floor() % 2

    train(regularizer, striped, 400)
    estimate = held_out(regularizer, [striped(4000) for _ in range(5)])
    assert (estimate > 0.5) == sees
    assert sees or estimate < 0.05
