"""The standard prior has a formula of its own: it is that of torch."""

import pytest
import torch
from torch.distributions import Independent, Laplace, LogNormal, Normal, kl_divergence

import mireg


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_the_divergence_from_the_standard_prior_is_that_of_torch(family):
    loc = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    posterior = Independent(family(loc, torch.rand_like(loc) + 0.1), 2)
    zeros = torch.zeros(3, 4, dtype=torch.float64)
    expected = kl_divergence(posterior, Independent(Normal(zeros, zeros + 1), 2))
    got = kl_divergence(posterior, mireg.StandardNormal()(posterior.rsample(), posterior))
    torch.testing.assert_close(got, expected)
    gradients = (torch.autograd.grad(kl.sum(), loc, retain_graph=True) for kl in (got, expected))
    torch.testing.assert_close(*gradients)


def test_a_posterior_without_a_formula_is_sampled():
    posterior = Independent(LogNormal(torch.zeros(64, 3), torch.ones(64, 3)), 1)
    pi = posterior.rsample()
    assert mireg.VariationalBound()(pi, pi, posterior).metrics["kl"] > 0
