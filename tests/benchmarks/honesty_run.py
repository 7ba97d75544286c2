"""One row of the benchmark: trains as a user would, and lets others judge what came out."""

import math
import time
import warnings
from collections import deque
from typing import Any, NamedTuple

import torch
from honesty_audit import judge
from honesty_base import Problem, Sources
from honesty_methods import METHODS, Method
from honesty_problems import PROBLEMS

import mireg

RECENT = 50
"""Of how many last steps the metrics are averaged."""

METRICS = ("mi", "mi_shadow", "kl", "gamma", "multiplier")


class Job(NamedTuple):
    """What one row is made from."""

    problem: str
    method: str
    seed: int
    scale: float
    """What the task loss is multiplied by."""
    weight: float = 1.0
    """What the penalty is multiplied by: not 1 for rivals alone."""
    trainings: int = 1
    """How many trainings the row took, those that tuned its weight counted in."""
    steps: int | None = None
    tuning: bool = False
    quick: bool = False
    device: str = "cpu"
    sources: Sources = Sources()


def run(job: Job) -> dict[str, Any]:
    """Trains, judges codes and task on samples that were not trained on, and tells all."""
    torch.manual_seed(job.seed)
    device = torch.device(job.device)
    method = METHODS[job.method]
    apart = job.tuning or method.held_out
    problem = PROBLEMS[job.problem](job.seed, job.sources, apart).to(device)
    regularizer = method.build(problem).to(device)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        metrics = train(problem, regularizer, method, job)
    start = time.monotonic()
    found = problem.eval().examine("validation" if job.tuning else "test")
    examined = time.monotonic() - start
    settings = (problem.epsilon, job.seed, job.tuning or job.quick)
    audit = judge(found.pi, found.alpha, found.groups, *settings)
    also = {name: judge(*codes, *settings) for name, codes in found.also.items()}
    metrics |= {
        "seconds_examining": examined,
        "seconds_auditing": time.monotonic() - start - examined,
        "warnings": sorted({str(w.message) for w in said}),
    }
    return {
        **{name: getattr(job, name) for name in ("problem", "method", "seed", "scale", "weight")},
        "epsilon": problem.epsilon,
        "steps": job.steps or problem.steps,
        "trainings": job.trainings,
        "tuning": job.tuning,
        "quick": job.quick,
        **found.metrics,
        "audit": audit,
        "also": also,
        **metrics,
        "device": device_name(device),
        "torch": torch.__version__,
    }


def train(
    problem: Problem, regularizer: mireg.Regularizer, method: Method, job: Job
) -> dict[str, Any]:
    """Runs the loop of the README, or the paper's, and gives the last metrics and the time that a step took."""
    steps = job.steps or problem.steps
    groups = [{"params": list(problem.parameters()), "lr": problem.rate, "betas": problem.betas}]
    critics = {"params": list(regularizer.parameters()), "lr": 3 * problem.rate}
    critic_optimizer = None
    if method.critics_first:
        critic_optimizer = torch.optim.Adam([critics], betas=(0.5, 0.9), fused=True)
    elif critics["params"]:
        groups.append(critics)
    optimizer = torch.optim.Adam(groups, fused=True)
    average = Average(problem) if problem.decay else None
    recent: deque[dict[str, torch.Tensor]] = deque(maxlen=RECENT)
    start = time.monotonic()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = problem.rate * problem.pace(step, steps)
        (pi, alpha, posterior), task, of = problem(problem.batch)
        if method.standardised:
            alpha = problem.standardised(alpha)
        if critic_optimizer is not None:
            critic_optimizer.zero_grad()
            regularizer.critic_loss(pi, alpha, groups=of).backward()
            critic_optimizer.step()
        penalty = regularizer(pi, alpha, posterior, groups=of)
        loss = job.scale * task + job.weight * penalty.loss
        if critic_optimizer is None:
            loss = loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        held_out = None
        if method.held_out and step % 2:
            with torch.no_grad():
                (pi, alpha, posterior), _, of = problem(problem.batch, "validation")
                held_out = regularizer(pi, alpha, posterior, groups=of)
        regularizer.update(penalty, held_out)
        recent.append(penalty.metrics)
        if average is not None:
            average.update(step)
    if average is not None:
        average.apply()
    if problem.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.monotonic() - start
    last = {
        name: torch.stack([metrics[name] for metrics in recent]).mean().item()
        for name in METRICS
        if name in recent[0]
    }
    return {**last, "seconds_training": seconds, "ms_per_step": 1000 * seconds / steps}


class Average:
    """Averaged weights of a problem, which move fast at first."""

    def __init__(self, problem: Problem) -> None:
        self.decay = problem.decay
        self.weights = list(problem.parameters())
        self.values = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, 1 - 1 / (1 + 0.1 * (step + 1)))
        torch._foreach_lerp_(self.values, self.weights, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Puts the averages in the place of the weights."""
        torch._foreach_copy_(self.weights, self.values)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def chosen_weight(rows: list[dict[str, Any]]) -> float:
    """Of the weights that were tried, those whose codes tell at most 1.25 ε, and of these the one with the lowest task loss; if there are none, the most honest."""

    def leak(row: dict[str, Any]) -> float:
        return max(row["audit"]["mi"], *(a["mi"] for a in row["also"].values()), -math.inf)

    finite = [row for row in rows if math.isfinite(row["task"])]
    honest = [row for row in finite if leak(row) <= 1.25 * row["epsilon"]]
    if honest:
        return min(honest, key=lambda row: row["task"])["weight"]
    return min(finite or rows, key=leak)["weight"]
