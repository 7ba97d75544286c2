"""What `honesty.py` compares: the constraint with nothing set but ε, the paper's recipe, and what people use instead."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from honesty_base import JointNetwork, Problem, mlp
from torch import Tensor, nn
from torch.func import functional_call

import mireg

Network = Callable[..., Tensor]


class Unconstrained(mireg.Regularizer):
    """No penalty: shows what the codes tell if nobody minds."""

    def forward(self, pi, alpha, posterior=None, *, groups=None):
        zero = pi.new_zeros(())
        return mireg.Penalty(zero, zero, {})


class Rival(mireg.Regularizer):
    """An estimate by a network that learns beside the encoders. The penalty sees a copy of the network that takes no gradients."""

    def __init__(self, problem: Problem, weight: float = 1.0) -> None:
        super().__init__()

        self.weight = weight
        self.classes = problem.classes
        self.network = self.build(problem)

    def build(self, problem: Problem) -> nn.Module:
        raise NotImplementedError

    def estimate(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        raise NotImplementedError

    def lesson(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        """What the network minimises."""
        raise NotImplementedError

    def forward(self, pi, alpha, posterior=None, *, groups=None):
        constants = {name: p.detach() for name, p in self.network.named_parameters()}

        def frozen(*codes: Tensor) -> Tensor:
            return functional_call(self.network, constants, codes)

        mi = self.estimate(frozen, pi, alpha.detach())
        return mireg.Penalty(
            self.weight * mi, self.critic_loss(pi, alpha, groups=groups), {"mi": mi.detach()}
        )

    def critic_loss(self, pi, alpha, *, groups=None):
        return self.lesson(self.network, pi.detach(), alpha.detach())

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()


def shuffled(x: Tensor) -> Tensor:
    # A permutation that does not wait for the device.
    return x[torch.rand(len(x), device=x.device).argsort()]


def joint_network(problem: Problem) -> nn.Module:
    """The network of a rival that compares pairs; of labels, one output each."""
    if problem.classes:
        return mlp(problem.pi_features, problem.classes, 256)
    return JointNetwork(problem.pi_features, problem.alpha_features)


class Adversary(Rival):
    """A classifier behind a gradient reversal: of the label, or of joint against shuffled pairs (Ganin and Lempitsky, 2015)."""

    def build(self, problem: Problem) -> nn.Module:
        return joint_network(problem)

    def lesson(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        if self.classes:
            return F.cross_entropy(network(pi), alpha)
        joint, marginal = network(pi, alpha), network(pi, shuffled(alpha))
        return F.softplus(-joint).mean() + F.softplus(marginal).mean()

    def estimate(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        return -self.lesson(network, pi, alpha)


class CLUB(Rival):
    """The contrastive bound from above with a learnt q(alpha | pi) (Cheng et al., 2020)."""

    def build(self, problem: Problem) -> nn.Module:
        return mlp(problem.pi_features, problem.classes or 2 * problem.alpha_features, 256)

    def log_likelihood(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        output = network(pi)
        if self.classes:
            return -F.cross_entropy(output, alpha, reduction="none")
        mean, log_var = output.chunk(2, dim=1)
        log_var = log_var.tanh()
        return -((alpha - mean).square() / log_var.exp() + log_var).sum(1) / 2

    def lesson(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        return -self.log_likelihood(network, pi, alpha).mean()

    def estimate(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        of_others = self.log_likelihood(network, pi, shuffled(alpha))
        return (self.log_likelihood(network, pi, alpha) - of_others).mean()


class MINE(Rival):
    """The Donsker-Varadhan bound, its gradient corrected by a moving average of the partition sum (Belghazi et al., 2018)."""

    def build(self, problem: Problem) -> nn.Module:
        self.register_buffer("partition", torch.ones(()))
        return joint_network(problem)

    def logits(self, network: Network, pi: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        if self.classes:
            of_class = network(pi)
            return tuple(
                of_class.gather(1, a[:, None]).squeeze(1) for a in (alpha, shuffled(alpha))
            )
        return network(pi, alpha), network(pi, shuffled(alpha))

    def lesson(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        joint, marginal = self.logits(network, pi, alpha)
        total = marginal.clamp(max=30).exp().mean()
        self.partition.lerp_(total.detach(), 0.01)
        return total / self.partition.clone() - joint.mean()

    def estimate(self, network: Network, pi: Tensor, alpha: Tensor) -> Tensor:
        joint, marginal = self.logits(network, pi, alpha)
        return joint.mean() - marginal.logsumexp(0) + math.log(len(marginal))


class Method(NamedTuple):
    """How a regularizer is made for a problem, and what is set for it."""

    build: Callable[[Problem], mireg.Regularizer]
    weights: tuple[float, ...] = ()
    """The six weights that are tried, in units of the scale of the loss and of the problem's price of a nat; none if nothing is set."""
    critics_first: bool = False
    """Whether the critics make their step before the encoders are shown the penalty: the paper's order."""
    standardised: bool = True
    """Whether an attribute in its own unit is standardised for it, as a user of it would do."""
    held_out: bool = False
    """Whether every second update is told of validation samples."""


def constraint(make: Callable[..., mireg.Regularizer]) -> Callable:
    def build(problem: Problem) -> mireg.Regularizer:
        critic = {} if problem.critic is None else {"critic": problem.critic}
        return make(
            problem.pi_features,
            problem.alpha_features,
            classes=problem.classes,
            epsilon=problem.epsilon,
            **critic,
        )

    return build


USUAL = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

METHODS: dict[str, Method] = {
    "robust": Method(constraint(mireg.RobustMIConstraint), standardised=False),
    "held_out": Method(constraint(mireg.RobustMIConstraint), standardised=False, held_out=True),
    "no_memory": Method(
        constraint(functools.partial(mireg.RobustMIConstraint, rows=0)), standardised=False
    ),
    "none": Method(lambda problem: Unconstrained()),
    # A weight times the whole penalty is γ₀, l_γ and μ times that weight: the published numbers for another unit of loss.
    "paper": Method(
        constraint(mireg.RobustMIConstraint.paper),
        (0.001, 0.01, 0.03, 0.1, 0.3, 1.0),
        critics_first=True,
    ),
    "adversarial": Method(Adversary, USUAL),
    "club": Method(CLUB, USUAL),
    "mine": Method(MINE, USUAL),
}
