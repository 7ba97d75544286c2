r"""The panel judges: critics of several kinds are tried, the best are cross-fitted, and one combination a fold meets the samples that it never saw."""

__all__ = ["Progress", "judge"]

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from .evaluation import Evidence, Member, evaluate
from .features import PREPROCESSING, with_radius
from .fitting import BATCH, FoldData, contrastive_loss, fit, label_loss
from .inputs import AuditInputs, Folds
from .linear import CanonicalCritic
from .members import CodeCritics, Neighbours, code_members, label_members

EPOCHS = 100
"""How often critics see the training samples, at most."""

FEWEST_STEPS, MOST_STEPS = 600, 1500
FINALISTS = 2

Progress = Callable[[str, float], None]
"""Is told what an audit does, and the share that is done."""


class Prepared(NamedTuple):
    """All samples in one preprocessing, as each fold sees them."""

    train: list[FoldData]
    stop: list[FoldData]
    test: list[FoldData]
    linear: list[CanonicalCritic]


def _prepare(inputs: AuditInputs, folds: Folds, name: str) -> Prepared:
    prepared = Prepared([], [], [], [])
    for rows in zip(folds.train, folds.stop, folds.test, strict=True):
        train = rows[0]
        of_x = PREPROCESSING[name](inputs.pi[train])
        x = [of_x(inputs.pi[part]) for part in rows]
        y = [inputs.alpha[part] for part in rows]
        base = [(part[:, :1], part[:, :1]) for part in x]
        if not inputs.classes:
            of_y = PREPROCESSING[name](inputs.alpha[train])
            y = [of_y(part) for part in y]
            # Neither the samples that tell when to stop nor those that weigh the members may have chosen anything before.
            judges = inputs.groups[train].unique(return_inverse=True)[1] % 5 == 0
            linear = CanonicalCritic(x[0][~judges], y[0][~judges], x[0][judges], y[0][judges])
            prepared.linear.append(linear)
            base = [linear.variables(*codes) for codes in zip(x, y, strict=True)]
            y = [with_radius(part) for part in y]
        for i, part in enumerate((prepared.train, prepared.stop, prepared.test)):
            u, v = base[i]
            groups = inputs.groups[rows[i]]
            part.append(FoldData(with_radius(x[i]), y[i], u.float(), v.float(), groups))
    if prepared.linear:
        rank = max(1, max(critic.count for critic in prepared.linear))
        for part in (prepared.train, prepared.stop, prepared.test):
            part[:] = [
                fold._replace(base_x=_padded(fold.base_x, rank), base_y=_padded(fold.base_y, rank))
                for fold in part
            ]
    return prepared


def _padded(x: Tensor, columns: int) -> Tensor:
    return F.pad(x, (0, columns - x.shape[1]))


def judge(
    inputs: AuditInputs, folds: Folds, generator: Generator, progress: Progress | None = None
) -> Evidence:
    """Trains the panel, and gives what its combination says of held-out pairs."""
    tell = progress or (lambda what, share: None)
    prepared = {name: _prepare(inputs, folds, name) for name in PREPROCESSING}
    count = len(folds.test)
    log_prior = _log_prior(inputs, folds) if inputs.classes else torch.zeros(count, 0)
    loss = label_loss if inputs.classes else contrastive_loss

    def makers(name: str, of: Prepared, which: slice) -> dict[str, Callable[[], nn.Module]]:
        if inputs.classes:
            return label_members(log_prior[which], of.train[0].x.shape[1])
        return code_members(
            of.linear[which],
            *(x.shape[1] for x in (of.train[0].base_x, of.train[0].x, of.train[0].y)),
        )

    epoch = len(folds.train[0]) / BATCH
    steps = int(min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * epoch)))

    # The trial: each kind for a third of the time, on one fold.
    first = slice(0, 1)
    names = [(p, kind) for p in prepared for kind in makers(p, prepared[p], first)]
    trials: dict[tuple[str, str], float] = {}
    for i, (p, kind) in enumerate(names):
        tell("trial", 0.25 * i / len(names))
        of = prepared[p]
        network = makers(p, of, first)[kind]()
        _, lowest = fit(network, loss, of.train[:1], of.stop[:1], steps // 3, generator)
        trials[p, kind] = float(lowest)
    # Detail is learnt last, and a short trial does not show who will: one that is made for it is always among them.
    ranked = sorted(trials, key=trials.__getitem__)
    fine = next(name for name in ranked if name[1] == "octaves")
    finalists = [fine, *(name for name in ranked if name != fine)][:FINALISTS]

    members: dict[str, tuple[Prepared, nn.Module]] = {}
    for i, (p, kind) in enumerate(finalists):
        of = prepared[p]
        network = makers(p, of, slice(None))[kind]()

        def checked(share: float, i: int = i) -> None:
            tell("training", 0.25 + 0.6 * (i + share) / FINALISTS)

        trained, _ = fit(network, loss, of.train, of.stop, steps, generator, progress=checked)
        members[f"{kind} on {p}"] = (of, trained)
    for p, of in prepared.items():
        if inputs.classes:
            for k in (10, 50):
                members[f"{k} neighbours on {p}"] = (of, Neighbours(log_prior, of.train, k))
        else:
            members[f"linear on {p}"] = (of, CodeCritics(of.linear, of.train[0].base_x.shape[1]))

    tell("evaluation", 0.85)
    tests = {name: Member(network, of.stop, of.test) for name, (of, network) in members.items()}
    return evaluate(tests, folds, inputs, log_prior, generator)


def _log_prior(inputs: AuditInputs, folds: Folds) -> Tensor:
    counts = [
        torch.bincount(inputs.alpha[torch.cat(rows)], minlength=inputs.classes)
        for rows in zip(folds.train, folds.stop, strict=True)
    ]
    # A class that a fold has not seen gets a small share.
    return torch.stack([((c + 0.5) / (c + 0.5).sum()).log() for c in counts])
