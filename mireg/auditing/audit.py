r"""The auditor: fresh critics on frozen codes, judged on samples that they never saw."""

__all__ = ["audit"]

import math
import time
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from .._checks import check_epsilon
from .._numerics import log_mean_exp
from ..functional import variational_bound
from .certificate import Block, ceiling, code_bound, count_units, label_bound
from .evaluation import FEWEST_SHIFTS, Evidence
from .inputs import make_folds, read_inputs
from .panel import Progress, judge
from .report import AuditReport, Verdict, normalized


def audit(
    pi: Any,
    alpha: Any,
    groups: Any = None,
    epsilon: float | None = None,
    seed: int = 0,
    *,
    posterior: Distribution | None = None,
    confidence: float = 0.95,
    folds: int | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    r"""Judges how much two frozen codes tell of each other, with critics that no encoder has met.

    A panel of critics (linear, perceptrons of two sizes, separable, and one that sees fine detail; for labels also nearest neighbours), on scaled codes and on
    normal scores, is cross-fitted: those that do best are combined and judged on samples, and groups, that had no part in their training.
    Draw `pi` from its posterior, as the decoder sees it; the means of a stochastic encoder tell more than its samples.

    Arguments:
        pi: The codes :math:`\pi`, an array or tensor with shape :math:`(N, *)`, N from 500 to 1,000,000.
        alpha: The codes :math:`\alpha` likewise, or integer labels with shape :math:`(N,)`.
        groups: What each sample comes from, with shape :math:`(N,)`: an identity, a patient, a video. No group is split between training and evaluation.
            Give them wherever several samples share one :math:`\alpha`.
        epsilon: The target to judge, in nats.
        seed: The seed of folds and critics; the random state of torch stays as it is.
        posterior: The distribution :math:`q(\pi | x)` of all samples, for the bound from above beside the estimate.
        confidence: The confidence of the certified lower bound.
        folds: The number of folds: 5 by default, 2 for more than 100,000 samples.
        progress: Called with what is done and the share that is over.

    Returns:
        The report, an :class:`AuditReport`: `print` it.

    Raises:
        TypeError: If something is no array of numbers.
        ValueError: If shapes, sizes or values are not such that an audit means something.
    """
    start = time.monotonic()
    if epsilon is not None:
        check_epsilon(epsilon)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"the confidence must be in [0.5, 1), got {confidence}")
    inputs = read_inputs(pi, alpha, groups)
    count = folds or (5 if len(inputs.pi) <= 100_000 else 2)
    if not 2 <= count <= 20:
        raise ValueError(f"the number of folds must be from 2 to 20, got {folds}")
    generator = torch.Generator().manual_seed(seed)
    split = make_folds(inputs.groups, count, generator)
    # Critics are trained here, whatever a caller has switched off around its evaluation.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        evidence = judge(inputs, split, generator, progress)
    if progress is not None:
        progress("done", 1.0)

    joint = torch.cat(evidence.joint).double()
    of_joint = inputs.groups[torch.cat(evidence.rows)]
    error = _standard_error(joint, of_joint)
    log_z, null, p_value, accuracy = _of_marginal(evidence)
    dv = float(joint.mean()) - log_z
    # Critics that say too little of marginal pairs say too little of joint ones. Those that say too much of a few mean nothing by it.
    mi = max(float(joint.mean()), dv)
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
    warnings = list(inputs.warnings)
    if not normalized(mi, log_z):
        warnings.append(f"log Z is {log_z:.2f}: the estimate is not to be believed, only the bound")
    if mi > 0.6 * math.log(units):
        warnings.append("there is more information than so many samples can measure")
    groups_count = len(of_joint.unique())
    return AuditReport(
        mi=mi,
        standard_error=error,
        log_z=log_z,
        dv=dv,
        lower_bound=bound,
        confidence=confidence,
        ceiling=ceiling(units),
        p_value=p_value,
        null=null,
        accuracy=accuracy,
        samples=len(inputs.pi),
        groups=groups_count,
        epsilon=epsilon,
        verdict=_verdict(mi, error, log_z, bound, epsilon),
        classes=inputs.classes,
        label_accuracy=float(torch.cat(evidence.hits).double().mean()) if inputs.classes else None,
        label_chance=float(inputs.alpha.bincount().max()) / len(inputs.alpha)
        if inputs.classes
        else None,
        variational_bound=None if posterior is None else _bound_from_above(posterior),
        panel=evidence.panel,
        warnings=tuple(warnings),
        seed=seed,
        seconds=time.monotonic() - start,
    )


def _standard_error(values: Tensor, groups: Tensor) -> float:
    """Gives the standard error of a mean of samples whose groups are independent."""
    _, index = groups.unique(return_inverse=True)
    count = int(index.max()) + 1
    residuals = values - values.mean()
    sums = torch.zeros(count, dtype=values.dtype).index_add(0, index, residuals)
    return float(sums.square().sum().sqrt()) / len(values) * math.sqrt(count / (count - 1))


def _of_marginal(evidence: Evidence) -> tuple[float, float, float, float]:
    """Gives log Z, the quantile of random pairings, the p-value and the accuracy."""
    marginal = [block.double() for block in evidence.marginal]
    # Samples count alike, whatever the number of their shifts.
    of_sample = torch.cat([block.logsumexp(0) - math.log(len(block)) for block in marginal])
    log_z = float(log_mean_exp(of_sample, None))
    right = torch.cat([(block <= 0).double().mean(0) for block in marginal])
    accuracy = float((torch.cat(evidence.joint) > 0).double().mean() + right.mean()) / 2

    # Random pairings are those of the samples that have many.
    rich = [i for i, block in enumerate(marginal) if len(block) > FEWEST_SHIFTS]
    shifts = min(len(marginal[i]) for i in rich)
    means = torch.cat([marginal[i][:shifts] for i in rich], dim=1).mean(1)
    joint = torch.cat([evidence.joint[i] for i in rich]).double().mean()
    p_value = (1 + int((means >= joint).sum())) / (shifts + 1)
    null = float(means.quantile(0.95) - means.mean())
    return log_z, null, p_value, accuracy


def _verdict(mi: float, error: float, log_z: float, bound: float, epsilon: float | None) -> Verdict:
    """Judges by the certified bound, and else by the estimates and two standard errors."""
    if epsilon is None:
        return "not asked"
    # The lower of the mean logit and its DV bound: `mi` is the higher.
    if bound > epsilon or mi - abs(log_z) - 2 * error > epsilon:
        return "above"
    cleared = normalized(mi, log_z) and mi + 2 * error < epsilon
    return "below" if cleared else "undecided"


def _bound_from_above(posterior: Distribution) -> float:
    """Gives the bound of eq. (9): any prior serves, and the one with the moments of the codes is close."""
    base = posterior.base_dist if isinstance(posterior, Independent) else posterior
    shape = posterior.batch_shape + posterior.event_shape
    prior: Distribution = Normal(torch.zeros(shape[1:]), torch.ones(shape[1:]))
    if isinstance(base, Normal):
        mean, variance = base.loc.detach(), base.scale.detach().square()
        spread = (variance.mean(0) + mean.var(0)).sqrt()
        prior = Normal(mean.mean(0), spread)
    return float(variational_bound(posterior, Independent(prior, len(shape) - 1)))
