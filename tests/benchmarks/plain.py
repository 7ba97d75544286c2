"""The constraint against the same algorithm written straight from the paper: `python tests/benchmarks/plain.py --out plain.json`.

Both train critics of one size on the same codes, give the penalty with its gradient for the codes, and move γ and λ. They take turns in each round.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mireg

WIDTH = 256
EPSILON, MU, RATE, BIAS, DECAY = 0.125, 0.1, 0.01, 0.01, 0.99


class Plain:
    """Eqs. (10) to (12) and (18) to (23) as one would write them down: two networks, two passes each, numbers on the host."""

    def __init__(self, pi_features: int, alpha_features: int) -> None:
        def critic() -> nn.Module:
            return nn.Sequential(
                nn.Linear(pi_features + alpha_features, WIDTH),
                nn.LeakyReLU(0.2),
                nn.Linear(WIDTH, WIDTH),
                nn.LeakyReLU(0.2),
                nn.Linear(WIDTH, 1),
            )

        self.critic, self.shadow = critic(), critic()
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.9))
            for network in (self.critic, self.shadow)
        ]
        self.gamma, self.multiplier = 1.0, 0.0
        self.average = self.shadow_average = 0.0

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        pi = mean + torch.randn_like(mean) * (log_var / 2).exp()
        for network, optimizer in zip((self.critic, self.shadow), self.optimizers, strict=True):
            shuffled = alpha[torch.randperm(len(alpha))]
            joint = network(torch.cat((pi.detach(), alpha), dim=1))
            marginal = network(torch.cat((pi.detach(), shuffled), dim=1))
            optimizer.zero_grad()
            (F.softplus(-joint).mean() + F.softplus(marginal).mean()).backward()
            optimizer.step()
        mi = self.critic(torch.cat((pi, alpha), dim=1)).mean()
        with torch.no_grad():
            mi_shadow = self.shadow(torch.cat((pi, alpha), dim=1)).mean().item()
        kl = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(1).mean()
        violation = mi - EPSILON
        if violation.item() >= -self.multiplier / MU:
            penalty = self.multiplier * violation + MU / 2 * violation**2
        else:
            penalty = torch.tensor(-(self.multiplier**2) / (2 * MU))
        (self.gamma * kl + penalty).backward()
        self.average = DECAY * self.average + (1 - DECAY) * mi.item()
        self.shadow_average = DECAY * self.shadow_average + (1 - DECAY) * mi_shadow
        self.gamma = max(0.0, self.gamma + RATE * (self.shadow_average - self.average - BIAS))
        self.multiplier = max(0.0, self.multiplier + MU * violation.item())


class Ours:
    """The same with the library: `RobustMIConstraint.paper`, eager or compiled."""

    def __init__(self, pi_features: int, alpha_features: int, compiled: bool) -> None:
        self.constraint = mireg.RobustMIConstraint.paper(
            pi_features,
            alpha_features,
            critic=lambda: mireg.ConcatenatedCritic(pi_features, alpha_features, WIDTH),
        )
        self.optimizer = torch.optim.Adam(
            self.constraint.critic_parameters(), lr=1e-3, betas=(0.5, 0.9), fused=True
        )
        self.critic_loss, self.penalty = self.constraint.critic_loss, self.constraint
        self.update = self.constraint.update
        if compiled:
            self.critic_loss = torch.compile(self.critic_loss, fullgraph=True)
            self.penalty = torch.compile(self.penalty, fullgraph=True)
            self.update = torch.compile(self.update, fullgraph=True)

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        posterior = mireg.diagonal_gaussian(mean, log_var)
        pi = posterior.rsample()
        self.optimizer.zero_grad()
        self.critic_loss(pi, alpha).backward()
        self.optimizer.step()
        penalty = self.penalty(pi, alpha, posterior)
        penalty.loss.backward()
        self.update(penalty)


class Bare:
    """What no implementation can do without: the passes of :class:`Ours` and one optimizer, with no metric, check or controller."""

    def __init__(self, pi_features: int, alpha_features: int) -> None:
        self.critics = [
            mireg.ConcatenatedCritic(pi_features, alpha_features, WIDTH) for _ in range(2)
        ]
        self.frozen = list(self.critics[0].parameters())
        parameters = [p for critic in self.critics for p in critic.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, betas=(0.5, 0.9), fused=True)

    def step(self, mean: Tensor, log_var: Tensor, alpha: Tensor) -> None:
        pi = mean + torch.randn_like(mean) * (log_var / 2).exp()
        shuffled = torch.randperm(len(alpha))
        loss = torch.zeros(())
        for critic in self.critics:
            u, v = critic.of_pi(pi.detach()), critic.of_alpha(alpha)
            joint = critic.compare(u, v)
            marginal = critic.compare(u, v.index_select(0, shuffled))
            loss = loss + F.softplus(-joint).mean() + F.softplus(marginal).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for p in self.frozen:
            p.requires_grad_(False)
        mi = self.critics[0](pi, alpha).mean()
        for p in self.frozen:
            p.requires_grad_(True)
        with torch.no_grad():
            self.critics[1](pi, alpha).mean()
        kl = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(1).mean()
        (kl + mi).backward()


def milliseconds(
    step: Callable[[], None], steps: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    start = clock()
    for _ in range(steps):
        step()
    return 1000 * (clock() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 128, 1024])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure the time of the processor, not that of the wall: on a machine with other work, with one thread",
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="measure what is left with no metric, check or controller",
    )
    parser.add_argument("--compile", action="store_true", help="measure ours compiled as well")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter
    rows = []
    for features in options.features:
        for batch in options.batch:
            torch._dynamo.reset()
            subjects: dict[str, Plain | Ours | Bare] = {
                "plain": Plain(features, features),
                "ours": Ours(features, features, False),
            }
            if options.bare:
                subjects["bare"] = Bare(features, features)
            if options.compile:
                subjects["compiled"] = Ours(features, features, True)
            codes = [torch.randn(batch, features).requires_grad_() for _ in range(2)]
            alpha = torch.randn(batch, features)
            steps = {
                name: (lambda s=s, c=codes, a=alpha: s.step(*c, a)) for name, s in subjects.items()
            }
            for step in steps.values():
                milliseconds(step, 5)
            count = 20 if batch < 1000 else 5
            rounds = [
                {name: milliseconds(step, count, clock) for name, step in steps.items()}
                for _ in range(options.rounds)
            ]
            row = {"features": features, "batch": batch}
            for name in steps:
                row[f"{name}_ms"] = statistics.median(r[name] for r in rounds)
                row[f"{name}_ratio"] = statistics.median(r[name] / r["plain"] for r in rounds)
            rows.append(row)
            print({k: round(v, 3) for k, v in row.items()}, flush=True)
    if options.out:
        about = {
            "torch": torch.__version__,
            "threads": options.threads,
            "rounds": options.rounds,
            "clock": clock.__name__,
        }
        options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
