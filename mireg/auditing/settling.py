r"""What a panel is asked about itself: would it find more with more codes, and how well does π reveal the group?"""

__all__ = ["learning_curve", "recognize"]

import torch
from torch import Generator

from .crossfit import CrossFit
from .curve import SHARES, LearningCurve, Recognition, estimate, smaller_folds
from .evaluation import Member, standard_error
from .inputs import AuditInputs, Folds, make_folds

JUDGES, MOST_FOLDS = 1500, 2
"""The held-out groups that judge the learning curve, of one fold or two: more would cost as much as the panel."""

MOST_SAMPLES = 20_000
"""The most samples that judge the learning curve in a fold, and that groups are recognised by."""

FEWEST_OF_GROUP, MOST_GROUPS = 10, 1000
"""The samples that a group needs to be recognised by, and the most groups that are."""


def learning_curve(
    panel: CrossFit, members: dict[str, Member], preprocessing: str, kind: str
) -> LearningCurve:
    """Judges one kind of critics after they learnt from a quarter, half and all of the training groups.

    Arguments:
        panel: The panel that learnt from all.
        members: Its trained members.
        preprocessing: The preprocessing of the kind.
        kind: The kind that did best where it stopped.
    """
    inputs, name = panel.inputs, f"{kind} on {preprocessing}"
    count = 1 if len(inputs.groups[panel.folds.test[0]].unique()) >= JUDGES else MOST_FOLDS
    folds = Folds(*(part[:count] for part in panel.folds))
    folds = folds._replace(test=[rows[:MOST_SAMPLES] for rows in folds.test])
    parts = [*(smaller_folds(folds, inputs.groups, share) for share in SHARES), folds]
    evidence = []
    for part in parts[:-1]:
        small = CrossFit(inputs, part, [preprocessing], panel.generator)
        trained = {name: small.train(preprocessing, kind)[0], **small.untrained(preprocessing)}
        evidence.append(small.evaluate(trained, part, pairs=0))
    full = {name: members[name], **panel.untrained(preprocessing)}
    evidence.append(panel.evaluate(full, folds, pairs=0))

    joint = [torch.cat(each.joint).double() for each in evidence]
    groups = inputs.groups[torch.cat(evidence[-1].rows)]
    estimates = tuple(estimate(each.joint, each.marginal) for each in evidence)
    return LearningCurve(
        sizes=tuple(sum(map(len, part.train)) // count for part in parts),
        groups=tuple(
            sum(len(inputs.groups[rows].unique()) for rows in part.train) // count for part in parts
        ),
        estimates=estimates,
        standard_errors=tuple(standard_error(values, groups) for values in joint),
        rise=estimates[-1] - estimates[-2],
        rise_error=standard_error(joint[-1] - joint[-2], groups),
    )


def recognize(inputs: AuditInputs, generator: Generator) -> Recognition | None:
    """Judges how well π reveals the group, on samples of the same groups that classifiers did not learn from.

    Arguments:
        inputs: The codes.
        generator: Where the split, batches and pairs come from.

    Returns:
        `None` where groups are too many, or most samples are of groups too small to be recognised.
    """
    _, index, sizes = inputs.groups.unique(return_inverse=True, return_counts=True)
    kept = (sizes[index] >= FEWEST_OF_GROUP).nonzero().squeeze(1)
    count = len(index[kept].unique())
    if not 2 <= count <= MOST_GROUPS or 2 * len(kept) < len(index):
        return None
    kept = kept[torch.randperm(len(kept), generator=generator)[:MOST_SAMPLES]]
    labels = index[kept].unique(return_inverse=True)[1]
    count, samples = int(labels.max()) + 1, torch.arange(len(labels))
    of_group = AuditInputs(inputs.pi[kept], labels, samples, count, ())
    folds = Folds(*(part[:1] for part in make_folds(samples, 5, generator)))
    panel = CrossFit(of_group, folds, ["standard"], generator)
    members = {kind: panel.train("standard", kind)[0] for kind in ("small", "large")}
    members.update(panel.untrained("standard"))
    evidence = panel.evaluate(members, folds, pairs=0)
    joint = torch.cat(evidence.joint).double()
    error = standard_error(joint, labels[torch.cat(evidence.rows)])
    accuracy = float(torch.cat(evidence.hits).double().mean())
    return Recognition(float(joint.mean()), error, accuracy, count)
