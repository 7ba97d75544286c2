r"""The learning curve of a panel, and how well π reveals the group."""

__all__ = ["learning_curve", "recognize"]

import math

import torch
from torch import Generator

from .crossfit import CrossFit
from .curve import SHARES, LearningCurve, Recognition, estimate, smaller_folds
from .evaluation import Member, standard_error
from .inputs import AuditInputs, Folds, make_folds

JUDGES, MOST_FOLDS = 1500, 2
"""The held-out groups from which one fold suffices for the curve, and else the number of folds."""

MOST_SAMPLES = 20_000
"""The most samples of a fold for the learning curve, and the most for the recognition of groups."""

FEWEST_OF_GROUP, MOST_GROUPS = 10, 1000
"""The fewest samples of a group that is to be recognised, and the most groups."""


def learning_curve(
    panel: CrossFit, members: dict[str, Member], preprocessing: str, kind: str
) -> LearningCurve:
    """Returns the estimates of one kind of critic for a quarter, half and all training groups.

    Arguments:
        panel: The panel that was trained on all groups.
        members: Its trained members.
        preprocessing: The preprocessing of the kind.
        kind: The kind with the lowest loss on the stopping samples.
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
    """Returns how well classifiers recognise the group from π, on held-out samples.

    Returns `None` if there are too many groups, or if most samples belong to small groups.

    Arguments:
        inputs: The codes.
        generator: The source of the split, batches and pairs.
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
    return Recognition(min(float(joint.mean()), math.log(count)), error, accuracy, count)
