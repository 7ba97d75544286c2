r"""The logits of the combined critic of each fold on held-out pairs."""

__all__ = ["Evidence", "Member", "evaluate", "standard_error", "swap_index"]

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from ..functional import donsker_varadhan
from .combining import CodeMixture, LabelMixture
from .curve import LearningCurve, Recognition
from .fitting import FoldData, rolls
from .inputs import AuditInputs, Folds
from .members import Neighbours, OneCoordinate
from .recognition import clustered_error

BLOCK = 20_000
PAIRS = 1_000_000
"""The marginal pairs with most shifts. Random pairings need many shifts of some samples."""

MOST_SHIFTS, FEWEST_SHIFTS = 99, 4

MOST_RANKED = 100
"""The most labels for which the AUC is computed: the logits of all labels take memory."""


class Member(NamedTuple):
    """A trained member of the panel, and the samples in its preprocessing."""

    network: nn.Module
    stop: list[FoldData]
    test: list[FoldData]


class Evidence(NamedTuple):
    """Logits of held-out pairs from the combined critic of each fold, in blocks of samples."""

    rows: list[Tensor]
    """The samples of each block, as indices."""
    joint: list[Tensor]
    """The logits of the joint pairs, with shape (n,)."""
    marginal: list[Tensor]
    """The logits of marginal pairs, shape (S, n); minus infinity for samples of one group."""
    swapped: list[Tensor]
    """The logits of disjoint marginal pairs: each sample with its partner, with shape (n,)."""
    stop: list[tuple[Tensor, Tensor, Tensor]]
    """Joint and swapped logits of the stopping samples of each fold, and their groups."""
    hits: list[Tensor]
    """Whether the most probable label was right, with shape (n,), if α is a label."""
    panel: dict[str, float]
    """The estimate of each member on the stopping samples, in nats."""
    curve: LearningCurve | None = None
    """The estimates of a critic that was trained on fewer codes."""
    recognition: Recognition | None = None
    """How well π reveals the group, if groups have enough samples."""
    partners: Sequence[Tensor] = ()
    """The partner of each sample of a block in `marginal`, with shape (S, n)."""
    log_prior: Sequence[Tensor] = ()
    """The logarithm of each label's frequency in the training fold of a block, with shape (C,)."""
    ratios: Sequence[Tensor] = ()
    """The logits of every label, with shape (C, n), if α is a label."""


def standard_error(values: Tensor, groups: Tensor) -> float:
    """Returns the standard error of a mean over independent groups; both have shape (N,)."""
    return clustered_error(values - values.mean(), groups)


def swap_index(groups: Tensor) -> Tensor:
    """Returns a partner of each sample in the other group of a pair of groups, with shape (N,).

    Samples of a group that is left over are their own partners.

    Arguments:
        groups: The groups, with shape (N,). Samples of one group are neighbours.
    """
    _, group, sizes = groups.unique_consecutive(return_inverse=True, return_counts=True)
    starts = sizes.cumsum(0) - sizes
    within = torch.arange(len(groups)) - starts[group]
    other = group ^ 1
    alone = other >= len(sizes)
    other = torch.where(alone, group, other)
    partner = starts[other] + within % sizes[other]
    return torch.where(alone, torch.arange(len(groups)), partner)


def evaluate(
    members: dict[str, Member],
    folds: Folds,
    inputs: AuditInputs,
    log_prior: Tensor,
    generator: Generator,
    most_pairs: int = PAIRS,
) -> Evidence:
    """Returns the logits of the combined members of each fold on held-out samples.

    Arguments:
        members: The trained members by name.
        folds: The folds to evaluate: all folds of the members, or the first few.
        inputs: The codes.
        log_prior: The logarithm of each label's frequency, with shape (F, C).
        generator: The source of pairs.
        most_pairs: The number of marginal pairs that get the most shifts; 0 if no random pairings
            are needed.
    """
    evidence = Evidence([], [], [], [], [], [], dict.fromkeys(members, 0.0))
    partners, priors, of_labels = [], [], []
    pairs = 0
    for k in range(len(folds.test)):
        groups = inputs.groups[folds.stop[k]]
        n = min(len(groups), BLOCK)
        groups = groups[:n]
        index = _pairs(groups, 8, generator)
        mask = groups != groups[index[2:]]
        parts = [member.stop[k].at(slice(n)) for member in members.values()]
        mixture: CodeMixture | LabelMixture
        if inputs.classes:
            labels = parts[0].y
            ratios = _of_labels(members, parts, inputs.classes, k)
            mixture = LabelMixture(ratios, labels, log_prior[k])
            logits = torch.stack(
                [of_member[labels[index], torch.arange(n)] for of_member in ratios]
            )
            mixed = mixture(ratios)[labels[index], torch.arange(n)]
        else:
            logits = _of_pairs(members, parts, index, k)
            mixture = CodeMixture(logits[:, 0], logits[:, 2:], mask)
            mixed = mixture(logits)
        for name, of_member in zip(members, logits, strict=True):
            found = donsker_varadhan(of_member[0], of_member[2:].double(), None, mask / mask.sum())
            evidence.panel[name] += float(found) / len(folds.test)
        evidence.stop.append((mixed[0], mixed[1], groups))

        size = BLOCK if not inputs.classes else max(2000, min(BLOCK, 2_000_000 // inputs.classes))
        for block in _blocks(len(folds.test[k]), size):
            n = len(block)
            rows = folds.test[k][block]
            shifts = MOST_SHIFTS if pairs < most_pairs else FEWEST_SHIFTS
            index = _pairs(inputs.groups[rows], shifts, generator)
            pairs += n * shifts
            parts = [member.test[k].at(block) for member in members.values()]
            if inputs.classes:
                mixed = mixture(_of_labels(members, parts, inputs.classes, k))
                guess = (mixed + log_prior[k, :, None]).argmax(0)
                evidence.hits.append(guess == parts[0].y)
                if inputs.classes <= MOST_RANKED:
                    of_labels.append(mixed)
                mixed = mixed[parts[0].y[index], torch.arange(n)]
            else:
                mixed = mixture(_of_pairs(members, parts, index, k))
            evidence.rows.append(rows)
            evidence.joint.append(mixed[0])
            evidence.swapped.append(mixed[1])
            same = inputs.groups[rows] == inputs.groups[rows][index[2:]]
            evidence.marginal.append(mixed[2:].masked_fill(same, -math.inf))
            partners.append(index[2:])
            priors.append(log_prior[k])
    return evidence._replace(partners=partners, log_prior=priors, ratios=of_labels)


def _pairs(groups: Tensor, shifts: int, generator: Generator) -> Tensor:
    """Returns joint pairs, pairs of :func:`swap_index` and shifts, as an index (2 + shifts, N)."""
    n = len(groups)
    return torch.cat((torch.arange(n)[None], swap_index(groups)[None], rolls(n, shifts, generator)))


def _blocks(n: int, size: int) -> list[Tensor]:
    """Returns the rows of n samples in blocks of nearly equal size."""
    count = -(-n // size)
    return list(torch.arange(n).tensor_split(count))


def _of_pairs(members: dict[str, Member], parts: list[FoldData], index: Tensor, k: int) -> Tensor:
    """Returns the logits of each member for pairs, with shape (M, K, N)."""
    rows = max(1, 400_000 // index.shape[1])
    return torch.stack(
        [
            torch.cat([_of_fold(member.network, part, piece, k) for piece in index.split(rows)])
            for member, part in zip(members.values(), parts, strict=True)
        ]
    )


def _of_labels(members: dict[str, Member], parts: list[FoldData], classes: int, k: int) -> Tensor:
    """Returns the logits of each member for every label, with shape (M, C, N)."""
    labels = torch.arange(classes)
    index = labels[:, None].expand(-1, len(parts[0].x))
    return torch.stack(
        [
            _of_fold(member.network, part._replace(y=labels), index, k)
            for member, part in zip(members.values(), parts, strict=True)
        ]
    )


@torch.no_grad()
def _of_fold(network: nn.Module, fold: FoldData, index: Tensor, k: int) -> Tensor:
    """Returns the logits of the critic of fold k alone, with the shape of the index."""
    if isinstance(network, Neighbours | OneCoordinate):
        return network.of_fold(k, fold.x)[:, fold.y[index[:, 0]]].T
    tensors = {
        name: x[k : k + 1]
        for name, x in (*network.named_parameters(), *network.named_buffers())
        if not name.endswith("frequencies")
    }
    logits: Tensor = functional_call(network, tensors, (fold.at(None), index))
    return logits.squeeze(0)
