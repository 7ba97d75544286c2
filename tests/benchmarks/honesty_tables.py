"""Problems from tables: a survey that is reconstructed, and classifications of people whose code must not tell an attribute."""

import functools

import torch
import torch.nn.functional as F
from honesty_base import Findings, Outcome, Problem, limited_gaussian, mlp
from honesty_data import read
from honesty_synthetic import Mixture, Noisy, fit
from torch import Tensor, nn

import mireg


class Survey(Noisy):
    """6366 answers to a survey (Fair, 1978): a representation of eight columns that must not tell the age, in six classes."""

    classes = 6
    pi_features = 4
    best = 55.1

    def build(self) -> None:
        arrays = read("survey", self.sources.cache)
        x, label = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["age"])
        half, kept = len(x) // 2, 700
        rows = {
            "train": slice(0, half - kept if self.apart else half),
            "validation": slice(half - kept, half),
            "test": slice(half, None),
        }
        for split, chosen in rows.items():
            self.hold(f"{split}_x", x[chosen])
            self.hold(f"{split}_label", label[chosen])
        self.hold("one_hot", torch.eye(self.classes))
        self.networks(self.classes, x.shape[1])

    def forward(self, n: int, split: str = "train") -> Outcome:
        x, label = getattr(self, f"{split}_x"), getattr(self, f"{split}_label")
        if split == "train":
            return self.of_rows(x, label, n)
        return self.outcome(x, label, self.one_hot[label])

    def examine(self, split: str) -> Findings:
        found = super().examine(split)
        found.metrics["fresh"] = self.found_in_fresh_draws(split)
        return found

    def found_in_fresh_draws(self, split: str, folds: int = 5, steps: int = 1500) -> float:
        """What a classifier finds that learns from as many draws as it wants of the codes of those who trained the encoder, and of all folds but one."""
        x, label = getattr(self, f"{split}_x"), getattr(self, f"{split}_label")
        fold = torch.randperm(len(x), device=self.device) % folds
        found = []
        for k in range(folds):
            others = (
                torch.cat((self.train_x, x[fold != k])),
                torch.cat((self.train_label, label[fold != k])),
            )
            found.append(self.found_in(x[fold == k], label[fold == k], others, steps))
        return torch.cat(found).mean().item()

    def found_in(
        self, x: Tensor, label: Tensor, others: tuple[Tensor, Tensor], steps: int, draws: int = 20
    ) -> Tensor:
        """What a classifier that learns from others finds in each of these people."""
        classifier = mlp(self.pi_features, self.classes).to(self.device)
        frequency = others[1].bincount(minlength=self.classes) / len(others[1])

        def log_probability(x: Tensor, label: Tensor) -> Tensor:
            with torch.no_grad():
                pi = self.posterior(x).rsample()
            logits = classifier(pi) + frequency.log()
            return -F.cross_entropy(logits, label, reduction="none")

        def loss_of(n: int) -> Tensor:
            rows = torch.randint(len(others[0]), (n,), device=self.device)
            return -log_probability(others[0][rows], others[1][rows]).mean()

        fit(classifier, loss_of, steps)
        with torch.no_grad():
            mean = sum(log_probability(x, label) for _ in range(draws)) / draws
        return mean - frequency[label].log()


class People(Problem):
    """A code of people from which a class is predicted by a cross-entropy, and which must not tell an attribute."""

    steps = 1500
    batch = 512
    rate = 2e-3
    price = 0.1
    audited = 8000
    width = 64

    def build(self) -> None:
        x, alpha, target, trained = self.people()
        kept = 6000
        rows = {
            "train": slice(0, trained - kept if self.apart else trained),
            "validation": slice(trained - kept, trained),
            "test": slice(trained, None),
        }
        for split, chosen in rows.items():
            for name, value in (("x", x), ("alpha", alpha), ("target", target)):
                self.hold(f"{split}_{name}", value[chosen])
        sizes = (self.width, 1, nn.SiLU)
        self.encoder = mlp(x.shape[1], 2 * self.pi_features, *sizes)
        self.classifier = mlp(self.pi_features, 1, *sizes)

    def people(self) -> tuple[Tensor, Tensor, Tensor, int]:
        """Features, attribute and class of everybody, and how many of them are for training: those come first."""
        raise NotImplementedError

    def rows_of(self, split: str) -> tuple[Tensor, Tensor, Tensor]:
        x, alpha, target = (getattr(self, f"{split}_{name}") for name in ("x", "alpha", "target"))
        return x, alpha, target

    def code(self, x: Tensor) -> tuple[torch.distributions.Distribution, Tensor, Tensor]:
        """The posterior, a code drawn from it, and the log-odds of the class."""
        posterior = limited_gaussian(self.encoder(x))
        pi = posterior.rsample()
        return posterior, pi, self.classifier(pi).squeeze(1)

    def forward(self, n: int, split: str = "train") -> Outcome:
        everybody = self.rows_of(split)
        rows = torch.randint(len(everybody[0]), (n,), device=self.device)
        x, alpha, target = (values[rows] for values in everybody)
        posterior, pi, score = self.code(x)
        task = F.binary_cross_entropy_with_logits(score, target)
        return Outcome(mireg.Codes(pi, alpha, posterior), task)

    @torch.no_grad()
    def examine(self, split: str) -> Findings:
        """Scores everybody of a split, and audits the first of them."""
        from sklearn.metrics import roc_auc_score

        x, alpha, target = self.rows_of(split)
        _, pi, score = self.code(x)
        metrics = {
            "task": F.binary_cross_entropy_with_logits(score, target).item(),
            "accuracy": ((score > 0) == (target > 0.5)).float().mean().item(),
        }
        if score.isfinite().all():
            metrics["auc"] = float(roc_auc_score(target.cpu().numpy(), score.cpu().numpy()))
        return Findings(pi[: self.audited], alpha[: self.audited], None, metrics)


class Adult(People):
    """Income from census data; the sex is to be removed."""

    epsilon = 0.05
    classes = 2
    at_least = {"accuracy": 0.852}

    def people(self) -> tuple[Tensor, Tensor, Tensor, int]:
        arrays = read("adult", self.sources.cache)
        x, sex, rich = (torch.from_numpy(arrays[name]) for name in ("x", "sex", "rich"))
        return x, sex, rich, 32_561


class AdultWide(Adult):
    """The same with a code of 64 features, whose spreads can hide what critics find late."""

    pi_features = 64


class AdultStrict(Adult):
    """The same with a fifth of that ε, and twice the codes in the audit."""

    epsilon = 0.01
    audited = 16_000
    at_least = {"accuracy": 0.843}


class Age(People):
    """Income from census data; the age is to be removed, in years."""

    epsilon = 0.05
    alpha_features = 1
    alpha_moments = (38.6, 13.7)

    def people(self) -> tuple[Tensor, Tensor, Tensor, int]:
        arrays = read("adult", self.sources.cache)
        x, age, rich = (torch.from_numpy(arrays[name]) for name in ("x", "age", "rich"))
        return x[:, 1:], age, rich, 32_561


class Rare(People):
    """Patients with 30 measurements and 6 notes; one in twelve has a condition that goes along with the outcome to be predicted."""

    epsilon = 0.02
    classes = 2
    audited = 10_000

    def people(self) -> tuple[Tensor, Tensor, Tensor, int]:
        return patients()


@functools.cache
def patients() -> tuple[Tensor, Tensor, Tensor, int]:
    """26,000 patients for training and 10,000 for the test, the same for all seeds. 8 % have the condition, a quarter the outcome."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    n, factors = 36_000, 8
    condition = (torch.rand(n, generator=generator) < 0.08).long()
    health = normal(n, factors) + condition[:, None] * torch.linspace(0, 0.8, factors)
    direction = torch.linspace(1, 1.5, factors)
    log_odds = 2.9 * (health @ direction) / direction.norm() + 1.2 * condition - 2.9
    outcome = (torch.rand(n, generator=generator) < log_odds.sigmoid()).float()
    measured = Mixture(factors, 30, seed=0)(health) + 0.2 * normal(n, 30)
    # Words in the notes: each is used of one in seven patients, and of two in five with the condition.
    often = torch.where(condition[:, None] == 1, 0.4, 0.15)
    notes = (torch.rand(n, 6, generator=generator) < often).float()
    return torch.cat((measured, notes), dim=1), condition, outcome, 26_000
