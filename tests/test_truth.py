"""The estimate against a known truth."""

import pytest
import torch
from problems import correlated_gaussians

import mireg

DIMS = 2


@pytest.mark.parametrize("nats", [0.0, 0.125, 0.5, 1.0, 2.0])
def test_the_estimate_on_fresh_samples_ends_at_the_mutual_information_of_gaussians(nats):
    generator = torch.Generator().manual_seed(0)
    regularizer = mireg.ClassifierMI(
        DIMS, DIMS, critic=mireg.ConcatenatedCritic(DIMS, DIMS, width=64)
    )
    optimizer = torch.optim.Adam(regularizer.critic_parameters(), lr=3e-3)
    steps = 1000
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        pi, alpha = correlated_gaussians(512, nats, DIMS, generator)
        optimizer.zero_grad()
        regularizer.critic_loss(pi, alpha, generator=generator).backward()
        optimizer.step()
        schedule.step()
    estimate = regularizer(*correlated_gaussians(100_000, nats, DIMS, generator)).metrics["mi"]
    assert estimate.item() == pytest.approx(nats, abs=0.05 + 0.05 * nats)
