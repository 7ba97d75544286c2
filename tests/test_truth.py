"""The estimate against a known truth."""

import pytest
import torch
from problems import correlated_gaussians

import mireg

DIMS = 2


def train(regularizer, draw, steps, generator):
    """Trains the critic on fresh batches of 512."""
    optimizer = torch.optim.Adam(regularizer.critic_parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        regularizer.critic_loss(*draw(512), generator=generator).backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("nats", [0.0, 0.125, 0.5, 1.0, 2.0])
def test_the_estimate_on_fresh_samples_ends_at_the_mutual_information_of_gaussians(nats):
    generator = torch.Generator().manual_seed(0)
    regularizer = mireg.ClassifierMI(
        DIMS, DIMS, critic=mireg.ConcatenatedCritic(DIMS, DIMS, width=64)
    )

    def draw(n):
        return correlated_gaussians(n, nats, DIMS, generator)

    train(regularizer, draw, 1000, generator)
    estimate = regularizer(*draw(100_000)).metrics["mi"]
    assert estimate.item() == pytest.approx(nats, abs=0.05 + 0.05 * nats)


@pytest.mark.parametrize("octaves, sees", [(0, False), (5, True)])
def test_octaves_show_what_hides_at_a_fine_scale(octaves, sees):
    """Stripes of 0.1 tell a fair bit, log 2 nats: a plain critic reads nothing where all of it leaks."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    critic = mireg.ConcatenatedCritic(1, 1, width=64, octaves=octaves)
    regularizer = mireg.ClassifierMI(1, 1, critic=critic)

    def striped(n):
        pi = torch.randn(n, 1, generator=generator)
        return pi, (pi / 0.1).floor() % 2

    train(regularizer, striped, 500, generator)
    estimate = regularizer(*striped(20_000)).metrics["mi"]
    assert (estimate > 0.5) == sees
    assert sees or estimate < 0.05
