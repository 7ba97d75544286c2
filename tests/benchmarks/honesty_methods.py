"""What `honesty.py` compares: the constraint, the paper's recipe, and what people use instead, each as a regularizer."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from honesty_problems import Problem, mlp
from torch import Tensor, nn

import mireg

EPSILON = 0.125


class Weighted(mireg.Regularizer):
    """A weight times an estimate by a network that learns beside the encoders: what the estimators below share."""

    def __init__(self, problem: Problem, weight: float) -> None:
        super().__init__()

        self.weight = weight
        self.classes = problem.classes
        self.network = self.build(problem)

    def build(self, problem: Problem) -> nn.Module:
        raise NotImplementedError

    def estimate(self, pi: Tensor, alpha: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, pi, alpha, posterior=None, *, groups=None, generator=None):
        mi = self.estimate(pi, alpha.detach())
        return mireg.Penalty(self.weight * mi, {"mi": mi.detach()})

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()


class Adversary(Weighted):
    """A classifier behind a gradient reversal: of the label, or of joint against shuffled pairs (Ganin and Lempitsky, 2015)."""

    def build(self, problem: Problem) -> nn.Module:
        if problem.classes:
            return mlp(problem.pi_features, problem.classes, 256)
        return problem.critic()

    def loss(self, pi: Tensor, alpha: Tensor) -> Tensor:
        if self.classes:
            return F.cross_entropy(self.network(pi), alpha)
        joint, marginal = (
            self.network(pi, alpha),
            self.network(pi, alpha[torch.randperm(len(alpha))]),
        )
        return F.softplus(-joint).mean() + F.softplus(marginal).mean()

    def estimate(self, pi: Tensor, alpha: Tensor) -> Tensor:
        return -self.loss(pi, alpha)

    def critic_loss(self, pi, alpha, *, groups=None, generator=None):
        return self.loss(pi.detach(), alpha.detach())


class CLUB(Weighted):
    """The contrastive bound from above with a learnt q(alpha | pi) (Cheng et al., 2020)."""

    def build(self, problem: Problem) -> nn.Module:
        outputs = problem.classes or 2 * problem.alpha_features
        return mlp(problem.pi_features, outputs, 256)

    def log_likelihood(self, pi: Tensor, alpha: Tensor) -> Tensor:
        output = self.network(pi)
        if self.classes:
            return -F.cross_entropy(output, alpha, reduction="none")
        mean, log_var = output.chunk(2, dim=1)
        log_var = log_var.tanh()
        return -((alpha - mean).square() / log_var.exp() + log_var).sum(1) / 2

    def estimate(self, pi: Tensor, alpha: Tensor) -> Tensor:
        shuffled = alpha[torch.randperm(len(alpha))]
        return (self.log_likelihood(pi, alpha) - self.log_likelihood(pi, shuffled)).mean()

    def critic_loss(self, pi, alpha, *, groups=None, generator=None):
        return -self.log_likelihood(pi.detach(), alpha.detach()).mean()


class MINE(Weighted):
    """The Donsker-Varadhan bound, its gradient corrected by a moving average of the partition sum (Belghazi et al., 2018)."""

    def build(self, problem: Problem) -> nn.Module:
        self.register_buffer("partition", torch.ones(()))
        return problem.critic()

    def logits(self, pi: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(pi, alpha), self.network(pi, alpha[torch.randperm(len(alpha))])

    def estimate(self, pi: Tensor, alpha: Tensor) -> Tensor:
        return mireg.functional.donsker_varadhan(*self.logits(pi, alpha))

    def critic_loss(self, pi, alpha, *, groups=None, generator=None):
        joint, marginal = self.logits(pi.detach(), alpha.detach())
        sum_ = marginal.clamp(max=30).exp().mean()
        self.partition.lerp_(sum_.detach(), 0.01)
        return sum_ / self.partition - joint.mean()


INITIAL_GAMMA = 0.3
"""Where γ starts: in runs this short it would not get from 1 to 0, where critics lose sight of what leaks."""


def constraint(build: Callable = mireg.RobustMIConstraint, **settings: object) -> Callable:
    def make(problem: Problem) -> mireg.Regularizer:
        return build(
            problem.pi_features,
            problem.alpha_features,
            classes=problem.classes,
            epsilon=EPSILON,
            critic=problem.critic(),
            shadow=problem.critic(),
            initial_gamma=INITIAL_GAMMA,
            **settings,
        )

    return make


WEIGHT = 30.0
"""The weight of the estimates that come without a way to set it."""

METHODS: dict[str, Callable[[Problem], mireg.Regularizer]] = {
    "robust": constraint(),
    "paper": constraint(mireg.RobustMIConstraint.paper),
    "variational": constraint(
        mireg.RobustMIConstraint.paper, gamma="variational", lagrangian=False
    ),
    "adversarial": lambda problem: Adversary(problem, WEIGHT),
    "club": lambda problem: CLUB(problem, WEIGHT),
    "mine": lambda problem: MINE(problem, WEIGHT),
}
