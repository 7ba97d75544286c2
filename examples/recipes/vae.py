"""A conditional VAE of digits whose code must not reveal the digit: five lines more than without.

The decoder is given the digit, so the code need not hold it: but it does, since nothing keeps it
from being there. The VAE has a KL term already, but its weight does not follow what leaks: that of
`mireg.RobustMIConstraint` does.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import mireg

CODE, CLASSES = 8, 10


class VAE(nn.Module):
    """Creates the VAE, which knows nothing of mireg."""

    def __init__(self) -> None:
        super().__init__()

        self.encoder = mlp(64, 2 * CODE)
        self.decoder = mlp(CODE + CLASSES, 64)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log-variance of the code."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def decode(self, z: Tensor, digit: Tensor) -> Tensor:
        """Draws a digit in the hand of a code."""
        return self.decoder(torch.cat((z, F.one_hot(digit, CLASSES).float()), dim=1))


def mlp(inputs: int, outputs: int, width: int = 128) -> nn.Sequential:
    """Creates a network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )


def train(x: Tensor, digit: Tensor, epsilon: float | None, steps: int) -> VAE:
    """Trains a VAE: the lines marked with + are what the constraint adds."""
    torch.manual_seed(0)
    vae = VAE()
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    if epsilon is not None:
        constraint = mireg.RobustMIConstraint(CODE, classes=CLASSES, epsilon=epsilon)  # +
        optimizer.add_param_group({"params": constraint.parameters(), "lr": 3e-3})  # +

    for _ in range(steps):
        rows = torch.randint(len(x), (128,))
        mean, log_var = vae.encode(x[rows])
        posterior = mireg.diagonal_gaussian(mean, log_var)
        z = posterior.rsample()
        # A Gaussian of scale 0.1 for each of 64 pixels.
        error = (vae.decode(z, digit[rows]) - x[rows]).square().sum(1).mean() / (2 * 0.1**2)
        kl = (mean.square() + log_var.exp() - log_var - 1).sum(1).mean() / 2
        loss = error + kl
        if epsilon is not None:
            penalty = constraint(z, digit[rows], posterior)  # +
            loss = loss + penalty.loss + penalty.critic_loss  # +
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epsilon is not None:
            constraint.update(penalty)  # +
    return vae


@torch.no_grad()
def measure(vae: VAE, x: Tensor, digit: Tensor, epsilon: float) -> dict[str, float]:
    """Evaluates held-out digits: how they are redrawn, what the code reveals, and what a swapped
    digit looks like.
    """
    torch.manual_seed(1)
    mean, log_var = vae.encode(x)
    z = mireg.diagonal_gaussian(mean, log_var).rsample()
    report = mireg.audit(z, digit, epsilon=epsilon, folds=3)
    return {
        "error per image": (vae.decode(z, digit) - x).square().sum(1).mean().item(),
        "audited nats": report.mi,
        "standard error": report.standard_error,
        "attackers' accuracy": report.label_accuracy or 0.0,
    }


@torch.no_grad()
def draw(vaes: dict[str, VAE], x: Tensor, path: Path) -> None:
    """Draws every digit in the handwriting of five others."""
    figure, axes = plt.subplots(1, len(vaes), figsize=(9, 2.4), layout="constrained")
    for ax, (name, vae) in zip(axes, vaes.items(), strict=True):
        rows = []
        for image in x[:5]:
            z = vae.encode(image[None])[0].expand(CLASSES, -1)
            drawn = vae.decode(z, torch.arange(CLASSES)).view(CLASSES, 8, 8)
            rows.append(torch.cat((image.view(1, 8, 8), torch.zeros(1, 8, 8), drawn)))
        grid = torch.stack(rows).transpose(1, 2).reshape(5 * 8, 12 * 8)
        ax.imshow(grid.clamp(0, 1), cmap="gray_r", vmin=0, vmax=1)
        ax.set(title=name, xticks=[], yticks=[])
        ax.set_xlabel("left: an image; right: its code with the digits 0 to 9")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Trains without and with the constraint, measures, and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.05, help="the target in nats")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    steps = 20 if options.smoke else options.steps

    data = load_digits()
    x, digit = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, digit = x[order], digit[order]
    train_rows, test_rows = slice(0, 1000), slice(1000, None)
    vaes, results = {}, {}
    for name, epsilon in (("without", None), ("with", options.epsilon)):
        vaes[name] = train(x[train_rows], digit[train_rows], epsilon, steps)
        results[name] = measure(vaes[name], x[test_rows], digit[test_rows], options.epsilon)
    draw(vaes, x[test_rows], options.out / "vae.png")

    print(f"{'held-out digits':24}{'without':>10}{'with':>10}")
    for key, value in results["without"].items():
        print(f"{key:24}{value:10.3f}{results['with'][key]:10.3f}")
    chance = digit[test_rows].bincount().max().item() / len(digit[test_rows])
    bound = mireg.leakage.accuracy_bound(options.epsilon, chance)
    print(f"chance is {chance:.3f}; {options.epsilon} nats allow an accuracy of {bound:.3f}")


if __name__ == "__main__":
    main()
