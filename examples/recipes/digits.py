"""Digits of one domain have labels, those of another have none: features that do not reveal the
domain.

The digits are those of scikit-learn. The other domain is half as strong, on a ground of blotches.
The classifier learns from the labels of the first domain alone, and the constraint keeps its
features from telling which domain they come from.
"""

import argparse
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import mireg

CODE = 16
TRAIN, TEST = slice(0, 600), slice(600, None)


def load() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Returns images and labels of both domains: different digits, none of them in both."""
    data = load_digits()
    x, digit = torch.tensor(data.images / 16).float(), torch.tensor(data.target)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator)
    source, target = order[: len(x) // 2], order[len(x) // 2 :]
    return (x[source], digit[source]), (shifted(x[target], generator), digit[target])


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Makes the other domain."""
    blotches = torch.rand(len(x), 1, 4, 4, generator=generator)
    ground = F.interpolate(blotches, size=8, mode="bilinear").squeeze(1)
    return 0.5 * ground + 0.5 * x


def network(outputs: int) -> nn.Sequential:
    """Creates a network with two hidden layers."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.SiLU(),
        nn.Linear(128, 128),
        nn.SiLU(),
        nn.Linear(128, outputs),
    )


class Run:
    """Trains an encoder and a classifier, with the constraint where a target is given."""

    def __init__(self, epsilon: float | None, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        (x, digit), (other, _) = ((a[TRAIN], b[TRAIN]) for a, b in load())
        self.encoder, self.classifier = network(2 * CODE), nn.Linear(CODE, 10)
        optimizer = torch.optim.Adam(
            [*self.encoder.parameters(), *self.classifier.parameters()], lr=1e-3
        )
        if epsilon is not None:
            constraint = mireg.RobustMIConstraint(CODE, classes=2, epsilon=epsilon)
            optimizer.add_param_group({"params": constraint.parameters(), "lr": 3e-3})
        domain = torch.arange(2).repeat_interleave(64)
        for _ in range(steps):
            rows, of_other = torch.randint(len(x), (64,)), torch.randint(len(other), (64,))
            pi, posterior = self.encode(torch.cat((x[rows], other[of_other])))

            loss = F.cross_entropy(self.classifier(pi[:64]), digit[rows])
            if epsilon is not None:
                penalty = constraint(pi, domain, posterior)
                loss = loss + penalty.loss + penalty.critic_loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epsilon is not None:
                constraint.update(penalty)

    def encode(self, x: Tensor) -> tuple[Tensor, torch.distributions.Distribution]:
        """Draws the features of images."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        posterior = mireg.diagonal_gaussian(mean, log_var.clamp(-6, 2))
        return posterior.rsample(), posterior


@torch.no_grad()
def measure(run: Run, epsilon: float) -> dict[str, float]:
    """Evaluates the classifier on held-out digits of both domains, and what fresh critics find of
    the domain in the features.
    """
    torch.manual_seed(1)
    (x, digit), (other, of_other) = ((a[TEST], b[TEST]) for a, b in load())
    result = {}
    for name, images, labels in (("first", x, digit), ("other", other, of_other)):
        features, _ = run.encode(images)
        hits = run.classifier(features).argmax(1) == labels
        result[f"accuracy, {name} domain"] = hits.float().mean().item()
    pi, _ = run.encode(torch.cat((x, other)))
    domain = torch.arange(2).repeat_interleave(torch.tensor([len(x), len(other)]))
    report = mireg.audit(pi, domain, epsilon=epsilon, folds=3)
    result |= {"audited nats": report.mi, "standard error": report.standard_error}
    result["attackers' accuracy"] = report.label_accuracy or 0.0
    return {**result, "nats, unlimited samples": attack(run)}


def attack(run: Run) -> float:
    """Returns the nats that a perceptron finds in held-out codes, after new samples of the codes of
    the training digits in each of its steps.
    """
    domains = [x for x, _ in load()]

    def sample(rows: slice) -> tuple[Tensor, Tensor]:
        x = [x[rows][torch.randint(len(x[rows]), (128,))] for x in domains]
        pi, _ = run.encode(torch.cat(x))
        return pi, torch.arange(2).repeat_interleave(128)

    attacker = nn.Sequential(nn.Linear(CODE, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(attacker.parameters(), lr=2e-3)
    with torch.enable_grad():
        for _ in range(1500):
            pi, domain = sample(TRAIN)
            loss = F.cross_entropy(attacker(pi.detach()), domain)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    losses = [F.cross_entropy(attacker(pi), domain) for pi, domain in map(sample, [TEST] * 50)]
    return math.log(2) - sum(losses).item() / len(losses)


def spread(values: list[float]) -> str:
    """Writes a mean, and the range of several."""
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def draw(path: Path) -> None:
    """Draws some digits of both domains."""
    (x, _), (other, _) = load()
    grid = torch.stack((x[:14], other[:14])).transpose(1, 2).reshape(16, -1)
    figure, ax = plt.subplots(figsize=(9, 1.5), layout="constrained")
    ax.imshow(grid, cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[4, 12], yticklabels=["first domain", "other domain"])
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Trains without and with the constraint, measures, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.05, help="the target in nats")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    steps, seeds = (10, 1) if options.smoke else (options.steps, options.seeds)

    draw(options.out / "digits.png")
    results = {}
    for name, epsilon in (("without", None), ("with", options.epsilon)):
        rows = [measure(Run(epsilon, steps, s), options.epsilon) for s in range(seeds)]
        results[name] = {key: [row[key] for row in rows] for key in rows[0]}
    name = "seed 0" if seeds == 1 else f"means of {seeds} seeds"
    print(f"{name:24}{'without':>24}{'with':>24}")
    for key in results["without"]:
        cells = [results[name][key] for name in results]
        texts = [spread(values) for values in cells]
        print(f"{key:24}" + "".join(f"{text:>24}" for text in texts))
    bound = mireg.leakage.accuracy_bound(options.epsilon, 0.5)
    print(f"chance is 0.500; {options.epsilon} nats allow an accuracy of {bound:.3f}")


if __name__ == "__main__":
    main()
