r"""Audits of what π reveals about α beyond labels y, one for each stratum.

.. math:: I(\pi, \alpha \mid y) = \sum_y p(y) \, I(\pi, \alpha \mid y = y)
"""

__all__ = ["combined", "cut", "read_given", "shares_margin"]

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .certificate import ceiling
from .inputs import INDEPENDENT_MINIMUM, MINIMUM, AuditInputs
from .kinds import as_values, read_variable
from .report import AuditReport, Stratum
from .verdict import decide, doubts, highest, normalized

MOST_LEFT_OUT = 0.01
"""If strata that are too small hold more of the samples, the verdict is never `below`."""


class Part(NamedTuple):
    """A stratum before it is audited."""

    name: str
    """The value of the given labels."""
    rows: Tensor
    """Its samples, as indices."""
    inputs: AuditInputs | None
    """The samples to audit, or `None` if the stratum is not audited."""
    note: str
    """Why the stratum is not audited."""
    zero: bool
    """Whether one side does not vary, so that the information in the stratum is 0."""


def read_given(given: Any, known: Tensor | None, samples: int) -> tuple[Tensor, list[str], str]:
    """Returns the stratum of each audited sample, the names of strata, and how they were read.

    Raises:
        ValueError: If `given` is not one label for each sample.
    """
    array = as_values("given", given)
    if len(array) != samples:
        raise ValueError(
            f"given must have one label for each sample, got {len(array)} for {samples}"
        )
    if known is not None:
        array = array[known.numpy()]
    variable = read_variable("given", array)
    if not variable.classes:
        raise ValueError(
            f"given must be labels, since each label is a stratum, got {variable.words}: cut "
            "numbers into bins"
        )
    labels = torch.from_numpy(variable.values)
    first = [int((labels == c).nonzero()[0]) for c in range(variable.classes)]
    return labels, [str(array[i]) for i in first], variable.words


def cut(inputs: AuditInputs, strata: Tensor, names: list[str]) -> list[Part]:
    """Returns the strata of the samples."""
    parts = []
    for value, name in enumerate(names):
        rows = (strata == value).nonzero().squeeze(1)
        pi, alpha, groups = inputs.pi[rows], inputs.alpha[rows], inputs.groups[rows]
        note, zero = "", False
        count = len(groups.unique())
        if not _varies(pi) or not _varies(alpha):
            note, zero = "one side does not vary: the information is 0", True
        elif len(rows) < MINIMUM:
            note = f"left out: fewer than {MINIMUM} samples"
        elif count < INDEPENDENT_MINIMUM:
            note = f"left out: fewer than {INDEPENDENT_MINIMUM} groups"
        of = None if note else _select(inputs, pi, alpha, groups)
        parts.append(Part(name, rows, of, note, zero))
    if not any(_varies(inputs.alpha[part.rows]) for part in parts):
        raise ValueError(
            "given must leave something of alpha to audit, but alpha does not vary within any of "
            f"its {len(names)} values: given must not be alpha, or determine it"
        )
    if all(part.inputs is None and not part.zero for part in parts):
        raise ValueError(
            f"given leaves no stratum to audit: a stratum needs {MINIMUM} samples and "
            f"{INDEPENDENT_MINIMUM} groups, the largest of the {len(names)} has "
            f"{max(len(part.rows) for part in parts)} samples"
        )
    return parts


def _varies(x: Tensor) -> bool:
    return bool((x != x[:1]).any())


def _select(inputs: AuditInputs, pi: Tensor, alpha: Tensor, groups: Tensor) -> AuditInputs:
    classes = inputs.classes
    if classes:
        names, alpha = alpha.unique(return_inverse=True)
        classes = len(names)
    else:
        alpha = alpha[:, (alpha != alpha[:1]).any(0)]
    return inputs._replace(
        pi=pi[:, (pi != pi[:1]).any(0)],
        alpha=alpha,
        groups=groups.unique(return_inverse=True)[1],
        classes=classes,
        warnings=(),
        known=None,
    )


def shares_margin(strata: int, units: int, delta: float) -> float:
    r"""Returns how far the shares of strata can be from the true shares, in total variation.

    .. math:: \tfrac{1}{2} \Big( \sqrt{\tfrac{K - 1}{G}} + \sqrt{\tfrac{2 \ln(1 / \delta)}{G}} \Big)

    The first term bounds the mean of the L1 distance, by Cauchy-Schwarz. One group of G changes the
    distance by at most 2 / G, so the second term follows from McDiarmid's inequality.

    Arguments:
        strata: The number :math:`K` of strata.
        units: The number :math:`G` of independent groups.
        delta: The probability that the shares are further apart.
    """
    return (math.sqrt((strata - 1) / units) + math.sqrt(2 * math.log(1 / delta) / units)) / 2


def combined(
    inputs: AuditInputs,
    parts: list[Part],
    examine: Callable[[AuditInputs, float], AuditReport],
    confidence: float,
    epsilon: float | None,
    words: str,
) -> AuditReport:
    r"""Returns the audit of all strata: the weighted sum of their audits.

    The certified bound is :math:`\sum_y \hat{p}(y) \, l_y - (\max l - \min l) \, \tau` with the
    bounds :math:`l_y` of the strata and the margin :math:`\tau` of their shares. Each of the K
    bounds and the margin fails with probability at most :math:`\delta / (K + 1)`, so the sum holds
    with confidence :math:`1 - \delta`. A stratum that was left out counts as 0.

    Arguments:
        inputs: All samples.
        parts: Their strata.
        examine: Audits some samples at a confidence.
        confidence: The confidence of the sum.
        epsilon: The target in nats.
        words: How the given labels were read.
    """
    n, delta = len(inputs.pi), (1 - confidence) / (len(parts) + 1)
    reports = [None if p.inputs is None else examine(p.inputs, 1 - delta) for p in parts]
    shares = [len(p.rows) / n for p in parts]
    audited = [(w, r) for w, r in zip(shares, reports, strict=True) if r is not None]
    # Strata in which one side does not vary have 0 information, and count.
    whole = sum(w for w, _ in audited) + sum(
        w for w, p in zip(shares, parts, strict=True) if p.zero
    )
    left_out = sum(len(p.rows) for p in parts if p.inputs is None and not p.zero) / n

    def mean(name: str, of: list[tuple[float, AuditReport]] = audited) -> float:
        return float(sum(w * float(getattr(r, name)) for w, r in of)) / whole

    bounds = [0.0 if r is None else r.lower_bound for r in reports]
    weights = _group_shares(inputs.groups, [p.rows for p in parts])
    units = int(inputs.groups.max()) + 1
    margin = shares_margin(len(parts), units, delta)
    bound = sum(w * b for w, b in zip(weights, bounds, strict=True))
    bound = max(0.0, bound - (max(bounds) - min(bounds)) * margin)

    mi, error = mean("mi"), _error(inputs, parts, reports, whole)
    log_z = mean("log_z")
    off = sum(w * abs(r.log_z) for w, r in audited) / whole
    settled = all(r.settled for _, r in audited)
    conclusive = left_out <= MOST_LEFT_OUT and not any(
        p.inputs is not None and p.inputs.inconclusive for p in parts
    )
    warnings = list(inputs.warnings)
    for part, report in zip(parts, reports, strict=True):
        told = report.warnings if report is not None else ()
        warnings += [f"{part.name}: {text}" for text in told]
    if left_out > 0:
        never = ", and the verdict is never below" if left_out > MOST_LEFT_OUT else ""
        warnings.append(
            f"strata with {100 * left_out:.1f} % of the samples are too small to be audited: the "
            f"estimate is about the other strata{never}"
        )
    first = audited[0][1] if audited else None
    missed = mean("missed")
    missed_error = _summed([w / whole * r.missed_error for w, r in audited], inputs, parts)
    most = highest(mi, error, missed, missed_error)
    warnings += doubts(mi, error, most, epsilon) if settled and conclusive else ()
    verdict = decide(mi, error, off, bound, epsilon, settled, conclusive, most)
    report = AuditReport(
        mi=mi,
        standard_error=error,
        log_z=log_z if normalized(mi, off) else max((r.log_z for _, r in audited), key=abs),
        dv=mean("dv"),
        lower_bound=bound,
        confidence=confidence,
        ceiling=mean("ceiling") if audited else ceiling(max(2, units // 2)),
        p_value=min([1.0, *(len(audited) * r.p_value for _, r in audited)]),
        null=mean("null"),
        accuracy=mean("accuracy") if audited else 0.5,
        samples=n,
        groups=units,
        epsilon=epsilon,
        verdict=verdict,
        classes=inputs.classes,
        panel=_panel(audited),
        warnings=tuple(warnings),
        seed=first.seed if first else 0,
        settled=settled,
        alpha=inputs.words,
        given=words,
        missed=missed,
        missed_error=missed_error,
        strata=tuple(_stratum(p, w, r) for p, w, r in zip(parts, shares, reports, strict=True)),
    )
    return _with_labels(report, audited)


def _group_shares(groups: Tensor, rows: list[Tensor]) -> list[float]:
    """Returns the share of each stratum, averaged over groups."""
    sizes = groups.bincount().double()
    return [float((1 / sizes[groups[r]]).sum()) / len(sizes) for r in rows]


def _error(
    inputs: AuditInputs, parts: list[Part], reports: list[AuditReport | None], whole: float
) -> float:
    """Returns the standard error of the weighted mean, for errors of strata and of their shares."""
    n, units = len(inputs.pi), int(inputs.groups.max()) + 1
    terms, spread, total = [], 0.0, 0.0
    for part, report in zip(parts, reports, strict=True):
        share = len(part.rows) / n / whole
        if report is not None:
            terms.append(share * report.standard_error)
            total += share * report.mi
            spread += share * report.mi**2
    spread = max(0.0, spread - total**2) / units
    return math.sqrt(_summed(terms, inputs, parts) ** 2 + spread)


def _summed(errors: list[float], inputs: AuditInputs, parts: list[Part]) -> float:
    """Returns the standard error of a sum over strata."""
    units = int(inputs.groups.max()) + 1
    apart = sum(len(inputs.groups[p.rows].unique()) for p in parts) == units
    # If groups are in several strata, errors correlate. Assume the worst case, correlation 1.
    return math.hypot(*errors) if apart else sum(errors)


def _panel(audited: list[tuple[float, AuditReport]]) -> dict[str, float]:
    """Returns the mean of each member over the strata that chose it."""
    names = {name for _, r in audited for name in r.panel}
    return {
        name: sum(w * r.panel[name] for w, r in audited if name in r.panel)
        / sum(w for w, r in audited if name in r.panel)
        for name in sorted(names)
    }


def _stratum(part: Part, share: float, report: AuditReport | None) -> Stratum:
    if report is None:
        mi = 0.0 if part.zero else None
        return Stratum(part.name, share, len(part.rows), mi, mi, 0.0, part.note)
    found = (report.mi, report.standard_error, report.lower_bound)
    return Stratum(part.name, share, len(part.rows), *found)


def _with_labels(report: AuditReport, audited: list[tuple[float, AuditReport]]) -> AuditReport:
    """Returns the report with the recognition of labels, averaged over strata if known."""
    found: dict[str, Any] = {}
    for name in ("label_accuracy", "label_chance", "label_auc", "label_balanced_accuracy"):
        told = [(w, r) for w, r in audited if getattr(r, name) is not None]
        if not told:
            continue
        whole = sum(w for w, _ in told)
        value = sum(w * getattr(r, name) for w, r in told) / whole
        found[name] = value
        if name != "label_chance":
            # The ends of independent intervals add up in squares.
            low, high = (
                sum(
                    (w * (getattr(r, f"{name}_interval")[end] - getattr(r, name))) ** 2
                    for w, r in told
                )
                ** 0.5
                / whole
                for end in (0, 1)
            )
            found[f"{name}_interval"] = (max(0.0, value - low), min(1.0, value + high))
    return replace(report, **found)
