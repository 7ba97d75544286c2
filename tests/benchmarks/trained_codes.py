"""What audits find in a code that was trained with a constraint, by their size: `python tests/benchmarks/trained_codes.py --out trained.json`.

Sensors measure a class that is wanted and a site that is not: 40 features, four classes, five sites from 45 to 2 % of the samples. A code of 32 features predicts the
class, and is to reveal at most 0.05 nats about the site. Then audits of several sizes are compared with a perceptron that learns from millions of fresh samples, the
reference. What is left in such a code is what critics do not find soon.
"""

import argparse
import json
import math
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from honesty_base import limited_gaussian, mlp
from torch import Tensor, nn
from tqdm import trange

import mireg

EPSILON = 0.05
SITES = torch.tensor([0.45, 0.28, 0.15, 0.10, 0.02])
FEATURES, CLASSES, CODE = 40, 4, 32


class Sensors:
    """Creates a source of samples: a fixed random mixture of the class, the site and six other factors, with noise."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(7)

        def weights(rows: int, scale: float) -> Tensor:
            return scale * torch.randn(rows, FEATURES, generator=random)

        self.of_class, self.of_site, self.of_rest = (
            weights(4, 0.55),
            weights(5, 0.8),
            weights(6, 0.5),
        )
        self.gain = 1 + weights(5, 0.25)

    def __call__(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns n samples, their classes and their sites."""
        site = torch.multinomial(SITES, n, replacement=True)
        kind = torch.randint(CLASSES, (n,))
        rest = torch.tanh(torch.randn(n, 6) @ self.of_rest)
        x = (self.of_class[kind] + self.of_site[site] + rest) * self.gain[site]
        return x + 0.8 * torch.randn(n, FEATURES), kind, site


class Model(nn.Module):
    """Creates an encoder with a learnt posterior, and a classifier of its code."""

    def __init__(self) -> None:
        super().__init__()

        self.encoder = mlp(FEATURES, 2 * CODE, 128, 2, nn.SiLU)
        self.classifier = mlp(CODE, CLASSES, 64, 1, nn.SiLU)

    def posterior(self, x: Tensor) -> torch.distributions.Distribution:
        return limited_gaussian(self.encoder(x))


def trained(sensors: Sensors, constraint: mireg.RobustMIConstraint | None, steps: int) -> Model:
    """Returns a model after the loop of the README, with a learning rate that falls to 0 along a cosine."""
    model = Model()
    groups = [{"params": list(model.parameters()), "lr": 1e-3}]
    if constraint is not None:
        groups.append({"params": list(constraint.parameters()), "lr": 3e-3})
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc="training", leave=False):
        x, kind, site = sensors(256)
        posterior = model.posterior(x)
        code = posterior.rsample()
        loss = F.cross_entropy(model.classifier(code), kind)
        if constraint is not None:
            penalty = constraint(code, site, posterior)
            loss = loss + penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if constraint is not None:
            constraint.update(penalty)
    return model.eval()


def reference(sensors: Sensors, model: Model, steps: int) -> tuple[float, float]:
    """Returns what a perceptron finds of the site after batches of 2,048 fresh samples, in nats, with its standard error on 100,000 others."""
    judge = mlp(CODE, len(SITES), 256, 2, nn.GELU)
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    unit = codes(sensors, model, 20_000)[0]
    centre, scale = unit.mean(0), unit.std(0)
    for _ in trange(steps, desc="reference", leave=False):
        code, site = codes(sensors, model, 2048)
        optimizer.zero_grad()
        F.cross_entropy(judge((code - centre) / scale), site).backward()
        optimizer.step()
        schedule.step()
    code, site = codes(sensors, model, 100_000)
    with torch.no_grad():
        said = judge((code - centre) / scale).log_softmax(1)
    found = said.gather(1, site[:, None]).squeeze(1) - SITES.log()[site]
    return found.mean().item(), found.std().item() / math.sqrt(len(found))


@torch.no_grad()
def codes(sensors: Sensors, model: Model, n: int) -> tuple[Tensor, Tensor]:
    """Returns codes and sites of fresh samples."""
    x, _, site = sensors(n)
    return model.posterior(x).sample(), site


@torch.no_grad()
def accuracy(sensors: Sensors, model: Model, n: int = 20_000) -> float:
    """Returns how often the class of fresh samples is predicted."""
    x, kind, _ = sensors(n)
    said = model.classifier(model.posterior(x).sample()).argmax(1)
    return (said == kind).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[2000, 6000, 20_000])
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--reference-steps", type=int, default=4000)
    parser.add_argument("--without", action="store_true", help="train without the constraint")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in options.seed:
        torch.manual_seed(seed)
        sensors, constraint = Sensors(), None
        if not options.without:
            constraint = mireg.RobustMIConstraint(CODE, classes=len(SITES), epsilon=EPSILON)
        start = time.monotonic()
        model = trained(sensors, constraint, options.steps)
        row = {"seed": seed, "steps": options.steps, "accuracy": accuracy(sensors, model)}
        row["seconds"] = time.monotonic() - start
        if constraint is not None:
            averages = [float(x.value) for x in constraint.moving_averages()]
            row |= {"mi_average": averages[0], "mi_shadow_average": averages[1]}
        row["reference"], row["reference_error"] = reference(
            sensors, model, options.reference_steps
        )
        row["audits"] = []
        print(json.dumps(row), flush=True)
        for n in options.samples:
            code, site = codes(sensors, model, n)
            report = mireg.audit(code, site, epsilon=EPSILON, seed=seed)
            audit = {"samples": n, "highest": report.highest, "verdict": report.verdict}
            audit |= {name: getattr(report, name) for name in ("mi", "standard_error", "missed")}
            audit["estimates"] = report.curve.estimates if report.curve is not None else ()
            row["audits"].append(audit)
            print(json.dumps(audit), flush=True)
        rows.append(row)
        made = {"torch": torch.__version__, "machine": platform.machine(), "rows": rows}
        options.out.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
