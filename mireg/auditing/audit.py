r"""The auditor: fresh critics on frozen codes, evaluated on held-out samples."""

__all__ = ["audit"]

import math
import operator
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._checks import check_epsilon
from .._numerics import label_entropy
from .certificate import Block, ceiling, code_bound, count_units, label_bound
from .conditional import combined, cut, read_given
from .correlations import strongest
from .crossfit import NEIGHBOURS
from .curve import estimate, log_partition, open_questions
from .evaluation import FEWEST_SHIFTS, Evidence
from .inputs import AuditInputs, make_folds, read_inputs
from .kinds import Kind
from .panel import Progress, judge
from .posterior import bound_from_above, check_posterior
from .recognition import clustered_error, of_labels, ratios_of_two, wilson_interval
from .report import AuditReport
from .verdict import decide, doubts, estimate_warnings, expected_miss, highest, samples_needed

CLUSTERED = 0.05
"""The nats that the nearest codes reveal before a report warns that codes come in clusters."""

FEW_SAMPLES = 1000
"""With fewer samples the report warns that weak or complicated dependence may go unnoticed."""

NEARLY_EMPTY = 0.5
"""If the posterior allows fewer nats about anything, the report warns of an empty code."""


def audit(
    pi: Any,
    alpha: Any,
    groups: Any = None,
    epsilon: float | None = None,
    seed: int = 0,
    *,
    given: Any = None,
    kind: Kind | None = None,
    classes: int | None = None,
    unknown: Any = (),
    posterior: Distribution | None = None,
    confidence: float = 0.95,
    folds: int | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    r"""Returns estimates of what two frozen codes reveal about each other, with fresh critics.

    No encoder was trained against these critics. The panel consists of linear critics, critics of
    coordinates and their squares, and of products of two coordinates, perceptrons of two sizes,
    towers and a network for fine detail; for labels also of nearest neighbours. It sees scaled
    codes and normal scores, and is cross-fitted: the best critics are combined and evaluated on
    samples and groups that they were not trained on. The best critic is also trained on a quarter
    and on half of the training codes. Correlations are also summed up without a critic.
    If the estimate still rises, the verdict is never `below`. It is `below` only if
    :attr:`AuditReport.highest` is below `epsilon`, so codes of more features and smaller targets
    need more samples. If the decoder sees samples of the posterior, pass samples as `pi`: the means
    of a stochastic encoder reveal more.

    Arguments:
        pi: The codes :math:`\pi`, an array or tensor with shape :math:`(N, *)`, N from 200 to
            1,000,000. With fewer than 500 samples the verdict is never `below`.
        alpha: The codes :math:`\alpha` in the same form, or labels with shape :math:`(N,)`:
            strings, bools, categories, one-hot rows, or integers with at least 20 samples per value
            on average. Other integers are ordered numbers. The report states how alpha was read.
            Arrays, tensors, lists and pandas series are accepted.
        groups: The source of each sample, with shape :math:`(N,)`: an identity, a patient, a video.
            No group is split between training and evaluation. Pass groups whenever several samples
            come from one source.
        epsilon: The target in nats.
        seed: The seed of folds and critics. The global random state of torch does not change.
        given: Labels :math:`y` with shape :math:`(N,)`, to audit :math:`I(\pi, \alpha \,|\, y)`:
            what :math:`\pi` reveals about :math:`\alpha` beyond :math:`y`. Each value of y is
            audited separately and needs 200 samples.
        kind: What alpha is, `"label"` or `"number"`. By default, the values decide.
        classes: The number of labels, if alpha consists of integers from 0 to `classes - 1`.
        unknown: The value, or the values, of alpha that mean unknown, such as -1. `None` and NaN
            mean any missing value. These samples are left out.
        posterior: The distribution :math:`q(\pi | x)` of all samples, for an additional upper
            bound.
        confidence: The confidence of the certified lower bound.
        folds: The number of folds: 5 by default, 2 for more than 100,000 samples.
        progress: A function that is called with the current stage and the share of the audit that
            is done.

    Returns:
        The report, an :class:`AuditReport`. `print` shows it.

    Raises:
        TypeError: If an argument is not an array of numbers or names.
        ValueError: If shapes or values do not fit together, or if there are too few or too many
            samples.

    Example:
        >>> pi = torch.randn(400, 2)
        >>> income = (30_000 + 20_000 * pi[:, 0] + 10_000 * torch.randn(400)).long()
        >>> report = mireg.audit(pi, income, epsilon=0.1, folds=2)
        >>> print(report.title)
        Verdict: above ε = 0.1 (alpha read as ordered numbers: ...)
    """
    start = time.monotonic()
    if epsilon is not None:
        epsilon = check_epsilon(epsilon)
    seed = operator.index(seed)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be in [0.5, 1), got {confidence}")
    inputs = read_inputs(pi, alpha, groups, kind, classes, unknown)
    odd = () if posterior is None else check_posterior(posterior, pi)
    if folds is not None and not 2 <= folds <= 20:
        raise ValueError(f"folds must be from 2 to 20, got {folds}")
    bound = None
    if posterior is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            bound = bound_from_above(posterior, inputs.known)
    if given is None:
        report = _examine(inputs, epsilon, seed, confidence, folds, progress)
    else:
        strata, names, words = read_given(given, inputs.known, len(pi))
        parts = cut(inputs, strata, names)
        told = _shared_progress(progress, sum(part.inputs is not None for part in parts))

        def examine(part: AuditInputs, confidence: float) -> AuditReport:
            return _examine(part, None, seed, confidence, folds, next(told))

        report = combined(inputs, parts, examine, confidence, epsilon, words)
    if progress is not None:
        progress("done", 1.0)
    if bound is not None and bound < NEARLY_EMPTY:
        text = (
            f"samples of this posterior reveal at most {bound:.3f} nats about anything: the code "
        )
        odd += (text + "is nearly empty, so check that the task still uses it",)
    return replace(
        report,
        variational_bound=bound,
        warnings=(*report.warnings, *odd),
        seed=seed,
        seconds=time.monotonic() - start,
    )


def _shared_progress(progress: Progress | None, parts: int) -> Iterator[Progress | None]:
    """Returns a progress function for each of several audits."""
    for part in range(parts):

        def tell(what: str, share: float, part: int = part) -> None:
            if progress is not None:
                progress(what, (part + share) / parts)

        yield tell


def _examine(
    inputs: AuditInputs,
    epsilon: float | None,
    seed: int,
    confidence: float,
    folds: int | None,
    progress: Progress | None,
) -> AuditReport:
    """Returns the report for samples that were already read and checked."""
    count = folds or (5 if len(inputs.pi) <= 100_000 else 2)
    generator = torch.Generator().manual_seed(seed)
    split = make_folds(inputs.groups, count, generator)
    # Training must work if the caller has disabled gradients for its evaluation.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        evidence = judge(inputs, split, generator, progress)

    joint = torch.cat(evidence.joint).double()
    of_joint = inputs.groups[torch.cat(evidence.rows)]
    error = clustered_error(joint - joint.mean(), of_joint)
    log_z, null, p_value, accuracy = _of_marginal(evidence)
    dv = float(joint.mean()) - log_z
    mi = estimate(evidence.joint, evidence.marginal)
    of_blocks = (evidence.joint, evidence.swapped, evidence.marginal, evidence.partners)
    blocks = [
        Block(t, s, inputs.groups[rows], m, p)
        for rows, t, s, m, p in zip(evidence.rows, *of_blocks, strict=True)
    ]
    units = count_units(blocks)
    if inputs.classes:
        labels = [inputs.alpha[rows] for rows in evidence.rows]
        bound = label_bound(blocks, labels, [*evidence.log_prior], evidence.stop, confidence)
    else:
        bound = code_bound(blocks, evidence.stop, confidence)
    few = inputs.inconclusive
    warnings = [*inputs.warnings, *([few] if few else [])]
    warnings.extend(estimate_warnings(mi, error, log_z, units))
    entropy = label_entropy(inputs.alpha) if inputs.classes else math.inf
    certifiable = min(ceiling(units), entropy)
    if epsilon is not None and epsilon >= entropy:
        warnings.append(
            f"epsilon is not below the entropy of the labels, {entropy:.3f} nats: every code "
            "meets this target"
        )
    groups_count = len(of_joint.unique())
    if groups_count == len(inputs.pi):
        warnings.extend(_of_clusters(evidence.panel))
    trained = sum(len(inputs.groups[rows].unique()) for rows in split.train) / count
    correlations = strongest(inputs, torch.Generator().manual_seed(seed))
    curve = evidence.curve
    reasons = () if curve is None else open_questions(curve, groups_count)
    rise, missed_error = (0.0, 0.0) if curve is None else (curve.expected_rise, curve.rise_error)
    missed = expected_miss(rise, inputs.weights, trained)
    # What makes a small estimate doubtful. A verdict of `above` stands in spite of it.
    doubtful = []
    if len(inputs.pi) < FEW_SAMPLES:
        doubtful.append(
            f"only {len(inputs.pi)} samples: critics find strong and smooth dependence only, so a "
            f"small estimate shows little. At most about {certifiable:.1f} nats can be "
            "certified"
        )
    doubtful.extend(reasons)
    unseen = False
    if correlations.significant:
        beyond = correlations.nats - max(0.0, mi)
        unseen = beyond > 2 * math.hypot(error, correlations.error)
        if beyond > missed:
            missed, missed_error = beyond, correlations.error
    # No code reveals more than the entropy of the labels.
    missed = min(missed, max(0.0, entropy - max(0.0, mi)))
    most = highest(mi, error, missed, missed_error)
    enough = samples_needed(inputs.weights, epsilon) if epsilon else 0
    enough = enough if enough > groups_count else 0
    doubtful.extend(() if reasons or few else doubts(mi, error, most, epsilon, enough))
    verdict = decide(mi, error, log_z, bound, epsilon, not reasons, not few, most)
    # A verdict of `below` has counted them.
    if unseen and verdict != "below":
        doubtful.append(correlations.unseen)
    if verdict != "above":
        warnings.extend(doubtful)
    elif doubtful:
        warnings.append("the code may reveal more than the estimate: more samples may show it")
    return AuditReport(
        mi=mi,
        standard_error=error,
        log_z=log_z,
        dv=dv,
        lower_bound=bound,
        confidence=confidence,
        ceiling=certifiable,
        p_value=p_value,
        null=null,
        accuracy=accuracy,
        samples=len(inputs.pi),
        groups=groups_count,
        epsilon=epsilon,
        verdict=verdict,
        classes=inputs.classes,
        panel=evidence.panel,
        curve=curve,
        settled=not reasons,
        recognition=evidence.recognition,
        warnings=tuple(warnings),
        alpha=inputs.words,
        missed=missed,
        missed_error=missed_error,
        correlations=correlations,
        **_of_labels(inputs, evidence),
    )


def _of_clusters(panel: dict[str, float]) -> tuple[str, ...]:
    """Returns a warning if codes come in clusters of one label, as those of one person do."""
    few, many = (
        max((mi for name, mi in panel.items() if name.startswith(f"{k} neighbours")), default=0.0)
        for k in NEIGHBOURS
    )
    if few < CLUSTERED or few < 2 * many:
        return ()
    text = (
        f"the nearest {NEIGHBOURS[0]} codes reveal {few:.2f} nats, the nearest {NEIGHBOURS[1]} "
        f"{max(0.0, many):.2f}: codes come in small clusters with one label. If several rows are "
        "of one person or object, pass groups: otherwise the estimate is too high"
    )
    return (text,)


def _of_labels(inputs: AuditInputs, evidence: Evidence) -> dict[str, Any]:
    """Returns how well labels are recognised, by the field names of the report."""
    if not inputs.classes:
        return {}
    rows = torch.cat(evidence.rows)
    labels, groups = inputs.alpha[rows], inputs.groups[rows]
    hits = torch.cat(evidence.hits).double()
    shares = inputs.alpha.bincount().double() / len(inputs.alpha)
    accuracy = float(hits.mean())
    error = clustered_error(hits - accuracy, groups)
    found = {
        "label_accuracy": accuracy,
        "label_accuracy_interval": wilson_interval(accuracy, error, len(groups.unique()))[1:],
        "label_chance": float(shares.max()),
        "label_shares": tuple(shares.tolist()),
    }
    ratios = _ratios(inputs, evidence, labels)
    both = None if ratios is None else of_labels(ratios, labels, groups, inputs.classes)
    for name, share in zip(("label_auc", "label_balanced_accuracy"), both or (), strict=False):
        found |= {name: share.value, f"{name}_interval": share[1:]}
    return found


def _ratios(inputs: AuditInputs, evidence: Evidence, labels: Tensor) -> Tensor | None:
    """Returns the critics' logits for every label, if known: for two labels, one logit suffices."""
    if evidence.ratios:
        return torch.cat([*evidence.ratios], dim=1)
    return ratios_of_two(torch.cat(evidence.joint), labels) if inputs.classes == 2 else None


def _of_marginal(evidence: Evidence) -> tuple[float, float, float, float]:
    """Returns log Z, the quantile of random pairings, the p-value and the accuracy."""
    log_z = log_partition(evidence.marginal)
    marginal = evidence.marginal
    right = torch.cat([_mean_of_counted(block, (block <= 0).double(), 0) for block in marginal])
    accuracy = float((torch.cat(evidence.joint) > 0).double().mean() + right.mean()) / 2

    # Random pairings use only the samples with many shifts.
    rich = [i for i, block in enumerate(marginal) if len(block) > FEWEST_SHIFTS]
    shifts = min(len(marginal[i]) for i in rich)
    pairings = torch.cat([marginal[i][:shifts] for i in rich], dim=1)
    means = _mean_of_counted(pairings, pairings.double(), 1)
    joint = torch.cat([evidence.joint[i] for i in rich]).double().mean()
    p_value = (1 + int((means >= joint).sum())) / (shifts + 1)
    null = float(means.quantile(0.95) - means.mean())
    return log_z, null, p_value, accuracy


def _mean_of_counted(logits: Tensor, values: Tensor, dim: int) -> Tensor:
    """Returns the mean of the values of pairs from two different groups."""
    counted = logits.isfinite()
    return torch.where(counted, values, 0.0).sum(dim) / counted.sum(dim).clamp(min=1)
