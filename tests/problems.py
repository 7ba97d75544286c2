"""Codes, regularizers and checks that several tests share."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import mireg
from mireg import estimators, pairs, weights

PI, ALPHA, CLASSES = 5, 7, 4


no_encoder = pytest.mark.filterwarnings(
    "ignore:.*(no penalty has changed an encoder|pi is the mean of the posterior)"
)
"""Marks a test in which a constraint reads codes that no encoder makes."""


def small(pi=PI, alpha=ALPHA, width=8):
    """Gives a maker of critics that cost nothing."""
    return lambda: mireg.ConcatenatedCritic(pi, alpha, width=width, depth=1)


class Conditional(mireg.Regularizer):
    """Creates a constraint that takes its condition from alpha: a label, or a code."""

    def __init__(self, label, **kw):
        super().__init__()
        condition = {"given_classes": 2} if label else {"given_features": 2}
        self.label, self.inner = label, mireg.RobustMIConstraint(PI, ALPHA, **condition, **kw)

    def given(self, alpha):
        return (alpha[:, 0] > 0).long() if self.label else alpha[:, :2]

    def forward(self, pi, alpha, posterior=None, *, groups=None, given=None):
        return self.inner(pi, alpha, posterior, groups=groups, given=self.given(alpha))

    def critic_loss(self, pi, alpha, posterior=None, *, groups=None, given=None):
        return self.inner.critic_loss(pi, alpha, groups=groups, given=self.given(alpha))

    def critic_parameters(self):
        return self.inner.critic_parameters()

    def prior_parameters(self):
        return self.inner.prior_parameters()

    def update(self, penalty):
        self.inner.update(penalty)


class Several(Conditional):
    """Creates a constraint on two attributes that it takes from alpha."""

    label = apart = True

    def __init__(self, **kw):
        mireg.Regularizer.__init__(self)
        self.inner = mireg.PerAttribute(
            {
                "code": mireg.RobustMIConstraint(PI, ALPHA, **kw),
                "label": mireg.RobustMIConstraint(PI, classes=2, **kw),
            }
        )

    def values(self, alpha):
        return {"code": alpha, "label": (alpha[:, 0] > 0).long()}

    def forward(self, pi, alpha, posterior=None, *, groups=None, given=None):
        return self.inner(pi, self.values(alpha), posterior, groups=groups)

    def critic_loss(self, pi, alpha, posterior=None, *, groups=None, given=None):
        return self.inner.critic_loss(pi, self.values(alpha), groups=groups)


REGULARIZERS = {
    "variational": lambda **kw: mireg.VariationalBound(**kw),
    "classifier": lambda **kw: mireg.ClassifierMI(PI, ALPHA, **kw),
    "robust": lambda **kw: mireg.RobustMIConstraint(PI, ALPHA, **kw),
    "robust, few negatives, NWJ": lambda **kw: mireg.RobustMIConstraint(
        PI, ALPHA, estimator=estimators.NWJ(), negatives=pairs.ShiftedNegatives(2), rows=0, **kw
    ),
    "paper": lambda **kw: mireg.RobustMIConstraint.paper(
        PI, ALPHA, critic=small(), multiplier=weights.Multiplier(initial=1.0), **kw
    ),
    "given a label": lambda **kw: Conditional(True, **kw),
    "given a code": lambda **kw: Conditional(False, **kw),
    "two attributes": lambda **kw: Several(**kw),
    "sum": lambda **kw: 0.1 * mireg.VariationalBound(**kw) + mireg.ClassifierMI(PI, ALPHA, **kw),
}
"""Makers of every kind of regularizer, by name."""

WITH_CRITICS = [name for name, make in REGULARIZERS.items() if list(make().critic_parameters())]


def mi_of(penalty):
    """Returns the first estimate of a penalty."""
    return next(x for name, x in penalty.metrics.items() if name.split(".")[-1] == "mi")


def codes(n=16, seed=0, pi=PI, alpha=ALPHA):
    """Gives codes that need gradients, as encoders would: the mean, pi, alpha and the posterior."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, pi, generator=generator).requires_grad_()
    log_var = torch.zeros(n, pi).requires_grad_()
    a = torch.randn(n, alpha, generator=generator).requires_grad_()
    posterior = mireg.diagonal_gaussian(mean, log_var)
    noise = torch.randn(n, pi, generator=generator)
    return mean, mean + noise * (log_var / 2).exp(), a, posterior


def optimizer_of(regularizer, rate=0.01):
    """Gives an optimizer of the critics; it has one parameter of its own, so that a bound has one too."""
    spare = torch.nn.Parameter(torch.zeros(()))
    return torch.optim.Adam([*regularizer.parameters(), spare], lr=rate)


def train_step(regularizer, optimizer, seed, n=16):
    """Makes the calls of a training loop on random codes, and returns the penalty."""
    _, pi, alpha, posterior = codes(n, seed)
    return train_on(regularizer, optimizer, pi, alpha, posterior)


def train_on(regularizer, optimizer, pi, alpha, posterior=None, groups=None):
    """Makes the calls of a training loop on codes, and returns the penalty."""
    penalty = regularizer(pi, alpha, posterior, groups=groups)
    optimizer.zero_grad()
    (penalty.loss + penalty.critic_loss).backward()
    optimizer.step()
    regularizer.update(penalty)
    return penalty


def tensors(penalty):
    """Returns all that a penalty says, as detached tensors by name."""
    said = {"loss": penalty.loss.detach(), "critic_loss": penalty.critic_loss.detach()}
    return {**said, **penalty.metrics, **penalty.observed}


def copied(module):
    """Returns the state of a module as it is now."""
    return {name: x.clone() for name, x in module.state_dict().items()}


def controllers_of(regularizer, *kinds):
    """Returns the weights of these kinds in a regularizer."""
    return [m for m in regularizer.modules() if isinstance(m, kinds)]


def correlated_gaussians(n, nats, dims, generator):
    """Draws pairs of Gaussians with a known mutual information, spread over the dimensions."""
    rho = math.sqrt(1 - math.exp(-2 * nats / dims))
    x = torch.randn(n, dims, generator=generator)
    return x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, dims, generator=generator)


def held_out(regularizer, batches):
    """Returns the mean estimate of a regularizer on batches that it has not learnt from, in nats."""
    with torch.no_grad():
        return torch.stack([regularizer(*batch).metrics["mi"] for batch in batches]).mean().item()


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


def after_steps(regularizer, steps=3):
    """Trains a few steps, so that averages, memories and running moments hold something."""
    optimizer = optimizer_of(regularizer)
    for seed in range(steps):
        train_step(regularizer, optimizer, 100 + seed)
    return regularizer


def pulling(regularizer):
    """Sets weights and averages so that every penalty has a slope."""
    for module in controllers_of(regularizer, weights.LogMultiplier):
        module.state.fill_(2.0)
    for module in controllers_of(regularizer, weights.Multiplier):
        module.state.fill_(50.0)
    for module in controllers_of(regularizer, weights.MovingAverage):
        module.update(torch.tensor(0.5))
    return regularizer
