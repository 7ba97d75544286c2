r"""The panel: critics are tried, the best cross-fitted, and their combination evaluated."""

__all__ = ["Progress", "judge"]

from collections.abc import Callable

from torch import Generator

from .crossfit import CrossFit
from .evaluation import Evidence, Member
from .features import PREPROCESSING
from .inputs import AuditInputs, Folds
from .settling import learning_curve, recognize

FINALISTS = 2

Progress = Callable[[str, float], None]
"""A function of the current stage of an audit and the share that is done."""


def judge(
    inputs: AuditInputs, folds: Folds, generator: Generator, progress: Progress | None = None
) -> Evidence:
    """Returns the logits of the trained and combined panel on held-out pairs."""
    tell = progress or (lambda what, share: None)
    panel = CrossFit(inputs, folds, PREPROCESSING, generator)

    # The trial: each kind for a third of the time, on one fold.
    names = [(p, kind) for p in PREPROCESSING for kind in panel.makers(p)]
    trials: dict[tuple[str, str], float] = {}
    for i, name in enumerate(names):
        tell("trial", 0.2 * i / len(names))
        trials[name] = panel.trial(*name)
    # Networks learn fine detail late, so a short trial underrates the one for detail: keep one.
    ranked = sorted(trials, key=trials.__getitem__)
    fine = next(name for name in ranked if name[1] == "octaves")
    finalists = [fine, *(name for name in ranked if name != fine)][:FINALISTS]

    members: dict[str, Member] = {}
    losses: dict[tuple[str, str], float] = {}
    for i, (p, kind) in enumerate(finalists):

        def checked(share: float, i: int = i) -> None:
            tell("training", 0.2 + 0.5 * (i + share) / FINALISTS)

        members[f"{kind} on {p}"], losses[p, kind] = panel.train(p, kind, checked)
    for p in PREPROCESSING:
        members.update(panel.untrained(p))

    tell("evaluation", 0.7)
    evidence = panel.evaluate(members, folds)
    tell("learning curve", 0.85)
    leader = min(losses, key=losses.__getitem__)
    curve = learning_curve(panel, members, *leader)
    return evidence._replace(curve=curve, recognition=recognize(inputs, generator))
