"""Codes, regularizers and checks that several tests share."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import mireg

PI, ALPHA, CLASSES = 5, 7, 4

REGULARIZERS = {
    "variational": lambda **kw: mireg.VariationalBound(**kw),
    "classifier": lambda **kw: mireg.ClassifierMI(PI, ALPHA, initial_multiplier=1.0, **kw),
    "robust": lambda **kw: mireg.RobustMIConstraint(PI, ALPHA, initial_multiplier=1.0, **kw),
    "robust, all pairs, NWJ": lambda **kw: mireg.RobustMIConstraint(
        PI, ALPHA, pairs="all", estimator="nwj", initial_multiplier=1.0, **kw
    ),
    "sum": lambda **kw: (
        0.1 * mireg.VariationalBound(**kw)
        + mireg.ClassifierMI(PI, ALPHA, initial_multiplier=1.0, **kw)
    ),
}
"""Makers of every kind of regularizer, by name."""

WITH_CRITICS = [name for name, make in REGULARIZERS.items() if list(make().critic_parameters())]


def codes(n=16, seed=0, pi=PI, alpha=ALPHA):
    """Gives codes that need gradients, as encoders would: the mean, pi, alpha and the posterior."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, pi, generator=generator).requires_grad_()
    log_var = torch.zeros(n, pi).requires_grad_()
    a = torch.randn(n, alpha, generator=generator).requires_grad_()
    posterior = mireg.diagonal_gaussian(mean, log_var)
    noise = torch.randn(n, pi, generator=generator)
    return mean, mean + noise * (log_var / 2).exp(), a, posterior


def train_step(regularizer, optimizer, seed):
    """Makes the three calls of a training loop on random codes."""
    _, pi, alpha, posterior = codes(seed=seed)
    torch.manual_seed(seed)
    if optimizer is not None:
        optimizer.zero_grad()
        regularizer.critic_loss(pi, alpha).backward()
        optimizer.step()
    penalty = regularizer(pi, alpha, posterior)
    regularizer.update(penalty)
    return penalty


def correlated_gaussians(n, nats, dims, generator):
    """Draws pairs of Gaussians with a known mutual information, spread over the dimensions."""
    rho = math.sqrt(1 - math.exp(-2 * nats / dims))
    x = torch.randn(n, dims, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, dims, generator=generator)


class NoSync(TorchDispatchMode):
    """Raises where a program would wait for the device: at a value read by the host, or a size that depends on data."""

    SYNCING = (
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.masked_select.default,
        torch.ops.aten.is_nonzero.default,
        torch.ops.aten.equal.default,
    )

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in self.SYNCING:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))
