"""Two modalities share a part and have a private part each: the private code of one must not tell
what both share.

Here they are two pictures of the same digit by different hands, one of them upside down and in
negative. What they share is which digit it is, what is private is the hand. Each picture is redrawn
from its own private code and the shared code of the *other*, so that only what both know can pass
through the shared code.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

import mireg

SHARED, PRIVATE = 8, 8
SCALE = 0.2  # of the decoders' Gaussians


def mlp(inputs: int, outputs: int, width: int = 128) -> nn.Sequential:
    """Creates a network with two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )


class Modality(nn.Module):
    """Creates the networks of one modality."""

    def __init__(self) -> None:
        super().__init__()

        self.shared, self.private = mlp(64, SHARED), mlp(64, 2 * PRIVATE)
        self.decoder = mlp(SHARED + PRIVATE, 64)

    def posterior(self, x: Tensor) -> torch.distributions.Distribution:
        """Returns the distribution of the private code."""
        return mireg.diagonal_gaussian(*self.private(x).chunk(2, dim=1))


class Digits:
    """Creates pairs of pictures of one digit, by different hands."""

    def __init__(self, x: Tensor, digit: Tensor) -> None:
        order = digit.argsort()
        self.x, self.digit = x[order], digit[order]
        self.count = digit.bincount()
        self.start = self.count.cumsum(0) - self.count

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the two modalities of some rows."""
        digit = self.digit[rows]
        other = self.start[digit] + (torch.rand(len(rows)) * self.count[digit]).long()
        return self.x[rows], 1 - self.x[other].flip(1)


def train(data: Digits, epsilon: float | None, steps: int) -> nn.ModuleList:
    """Trains both modalities, with one constraint for each private code."""
    torch.manual_seed(0)
    modalities = nn.ModuleList([Modality(), Modality()])
    optimizer = torch.optim.Adam(modalities.parameters(), lr=1e-3)
    constraints: list[mireg.RobustMIConstraint] = []
    for _ in modalities if epsilon is not None else ():
        constraints.append(mireg.RobustMIConstraint(PRIVATE, SHARED, epsilon=epsilon))
        optimizer.add_param_group({"params": constraints[-1].parameters(), "lr": 3e-3})
    for _ in range(steps):
        x = data.draw(torch.randint(len(data.x), (128,)))
        shared = [m.shared(x_m) for m, x_m in zip(modalities, x, strict=True)]
        posteriors = [m.posterior(x_m) for m, x_m in zip(modalities, x, strict=True)]
        private = [posterior.rsample() for posterior in posteriors]
        # The shared code of the other modality: nothing private of this one can be in it.
        codes = list(zip(private, reversed(shared), posteriors, strict=True))

        loss = torch.zeros(())
        for m, x_m, (pi, alpha, _) in zip(modalities, x, codes, strict=True):
            output = m.decoder(torch.cat((alpha, pi), dim=1))
            loss = loss + (output - x_m).square().sum(1).mean() / (2 * SCALE**2)
        penalties = []
        if epsilon is not None:
            penalties = [c(*of_c) for c, of_c in zip(constraints, codes, strict=True)]
        for penalty in penalties:
            loss = loss + penalty.loss + penalty.critic_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for constraint, penalty in zip(constraints, penalties, strict=True):
            constraint.update(penalty)
    return modalities


@torch.no_grad()
def measure(modalities: nn.ModuleList, train: Digits, test: Digits) -> dict[str, float]:
    """Lets fresh classifiers predict the digit from frozen codes of the first modality, on digits
    never seen.
    """
    torch.manual_seed(1)
    result = {}
    first, second = modalities
    for name in ("private", "shared"):
        codes = [
            first.posterior(data.x).sample() if name == "private" else first.shared(data.x)
            for data in (train, test)
        ]
        scores = [
            classifier.fit(codes[0], train.digit).score(codes[1], test.digit)
            for classifier in (LogisticRegression(max_iter=2000), KNeighborsClassifier(15))
        ]
        result[f"digit from the {name} code"] = max(scores)
    x, y = test.draw(torch.arange(len(test.x)))
    output = first.decoder(torch.cat((second.shared(y), first.posterior(x).sample()), dim=1))
    result["error of redrawing"] = (output - x).square().sum(1).mean().item()
    return result


def main() -> None:
    """Trains without and with the constraint, and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.05, help="the target in nats")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    options = parser.parse_args()
    steps = 10 if options.smoke else options.steps

    data = load_digits()
    x, digit = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    parts = [Digits(x[rows], digit[rows]) for rows in (order[:1200], order[1200:])]
    results = {}
    for name, epsilon in (("without", None), ("with", options.epsilon)):
        modalities = train(parts[0], epsilon, steps)
        results[name] = measure(modalities, *parts)

    print(f"{'':28}{'without':>10}{'with':>10}")
    for key, value in results["without"].items():
        print(f"{key:28}{value:10.3f}{results['with'][key]:10.3f}")
    bound = mireg.leakage.accuracy_bound(options.epsilon, 0.1)
    print(f"chance is about 0.1; {options.epsilon} nats allow an accuracy of {bound:.3f}")


if __name__ == "__main__":
    main()
