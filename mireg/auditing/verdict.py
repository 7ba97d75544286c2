r"""The verdict of an audit on a target, as a word and as a sentence."""

__all__ = [
    "Verdict",
    "decide",
    "doubts",
    "estimate_warnings",
    "exit_status",
    "expected_miss",
    "highest",
    "normalized",
    "samples_needed",
    "sentence",
]

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from .inputs import FEW_GROUPS

if TYPE_CHECKING:
    from .report import AuditReport

DOUBLINGS = 8
"""How many more doublings of the training codes may raise an estimate as much as the last ones."""

NEGATIVE = -0.005
"""The estimate in nats below which the report warns that it is negative."""

PER_WEIGHT = 2.5
"""The samples for each weight of a linear critic, times the target in nats."""

RARE = 0.02
"""The p-value of random pairings up to which a report says that something is probably revealed."""

Verdict = Literal["below", "above", "undecided", "not settled", "not asked"]


def normalized(mi: float, log_z: float) -> bool:
    """Returns whether log Z is near 0: within 0.1 nats, or within a tenth of the estimate."""
    return abs(log_z) <= max(0.1, 0.1 * abs(mi))


def estimate_warnings(mi: float, error: float, log_z: float, units: int) -> Iterator[str]:
    """Gives warnings about the estimate itself."""
    if not normalized(mi, log_z):
        text = f"log Z is {log_z:.2f}, far from 0: do not trust the estimate, only the "
        yield text + "certified bound"
    if mi + 2 * error < 0 and mi < NEGATIVE:
        yield (
            "the estimate is negative, which information cannot be: what critics learnt does not "
            "hold for other samples, as with few groups. It counts as 0"
        )
    if mi > 0.6 * math.log(units):
        yield "the information is larger than this number of samples can measure"


def expected_miss(rise: float, weights: int, codes: float) -> float:
    r"""Returns what critics are expected to miss, in nats.

    .. math:: m = \max \big( 8 r, \tfrac{p}{2 n} \big)

    If a doubling of the training codes raises the estimate by r, the next 8 doublings may raise it
    as much each: codes that were trained against critics hide what is left where every doubling
    shows a little more. A linear critic that learns from n codes has p weights and misses
    :math:`p / 2 n`, even if its form is right. If that is more than there is, critics find nothing,
    and the curve does not rise.

    References:
        | A New Look at the Statistical Model Identification (Akaike, 1974)

    Arguments:
        rise: What a doubling of the training codes adds to the estimate: the last rise of the
            learning curve, or its mean rise if that is more.
        weights: The number p of weights of a linear critic.
        codes: The number n of training codes, or of training groups if codes come in groups.

    Example:
        >>> expected_miss(0.001, 40, 1000)
        0.02
    """
    return max(DOUBLINGS * rise, weights / (2 * codes))


def highest(mi: float, error: float, missed: float = 0.0, missed_error: float = 0.0) -> float:
    r"""Returns an extrapolation, in nats: what 256 times as many samples may show.

    .. math:: \max(0, \hat{I}) + \max(0, m) + 2 \sqrt{\sigma^2 + \sigma_m^2}

    Arguments:
        mi: The estimate in nats.
        error: Its standard error.
        missed: What critics are expected to miss.
        missed_error: Its standard error.

    Example:
        >>> highest(0.03, 0.006, 0.01, 0.008)
        0.06
    """
    return max(0.0, mi) + max(0.0, missed) + 2 * math.hypot(error, missed_error)


def samples_needed(weights: int, epsilon: float) -> int:
    """Returns how many samples show that a code which reveals 0.4 ε reveals less than ε.

    Arguments:
        weights: The number of weights of a linear critic.
        epsilon: The target in nats, above 0.

    Example:
        >>> samples_needed(36, 0.05)
        1800
    """
    return round(PER_WEIGHT * weights / epsilon)


def doubts(
    mi: float, error: float, most: float, epsilon: float | None, enough: int = 0
) -> tuple[str, ...]:
    """Returns a warning if only what more samples may add keeps the verdict from `below`.

    Arguments:
        mi: The estimate in nats.
        error: Its standard error.
        most: What more samples may raise it to.
        epsilon: The target.
        enough: How many samples usually suffice; 0 if more samples than these did not.
    """
    if epsilon is None or not mi + 2 * error < epsilon <= most:
        return ()
    usual = f"; about {enough:,} suffice for a code that reveals 0.4 epsilon" if enough else ""
    warning = (
        f"more samples may raise the estimate to {most:.3f} nats: audit more samples (of more "
        f"groups, if there are groups: more samples of the same ones do not help{usual}), or "
        "train with a smaller epsilon"
    )
    return (warning,)


def decide(
    mi: float,
    error: float,
    log_z: float,
    bound: float,
    epsilon: float | None,
    settled: bool = True,
    conclusive: bool = True,
    most: float | None = None,
) -> Verdict:
    """Returns the verdict, by the certified bound or by the estimates and two standard errors.

    `above` takes precedence: more samples cannot make found information disappear.

    Arguments:
        mi: The estimate in nats.
        error: Its standard error.
        log_z: The logarithm of the mean of e^T over marginal pairs.
        bound: The certified lower bound.
        epsilon: The target, or `None`.
        settled: Whether the estimate has stopped rising with the number of training codes.
        conclusive: Whether the samples suffice for `below`.
        most: What many more samples may raise the estimate to, from :func:`highest`; by default
            without anything missed.
    """
    if epsilon is None:
        return "not asked"
    # mi - |log_z| is the lower of the mean logit and its DV bound. `mi` is the higher.
    if bound > epsilon or mi - abs(log_z) - 2 * error > epsilon:
        return "above"
    if not settled:
        return "not settled"
    most = highest(mi, error) if most is None else most
    cleared = conclusive and normalized(mi, log_z) and most < epsilon
    return "below" if cleared else "undecided"


def exit_status(verdict: Verdict, allow_undecided: bool = False) -> int:
    """Returns 0 for `below` and `not asked`, 1 for `above`, 2 for `undecided` and `not settled`.

    Arguments:
        verdict: The verdict.
        allow_undecided: Whether to return 0 instead of 2.
    """
    if verdict == "above":
        return 1
    return 2 * (verdict in ("undecided", "not settled") and not allow_undecided)


def sentence(report: "AuditReport") -> str:
    """Returns the finding in one to four sentences, without formulas and names of methods."""
    found = f"about {max(0.0, report.mi):.3f} nats"
    amount = report.correlations
    if amount is not None and amount.significant and amount.lowest > max(0.0, report.mi):
        found += f" (correlations amount to {amount.nats:.3f})"
    target = f"the target of {report.epsilon:g} nats" if report.epsilon is not None else ""
    beyond = " beyond what is given" if report.given else ""
    proved = f"at least {report.lower_bound:.3f} with {100 * report.confidence:g} % confidence"
    if report.lower_bound <= 0:
        proved = "none of it certified"
    about = f"about alpha{beyond} than {target}: {found}"
    more = ""
    if report.epsilon is not None and report.highest >= report.epsilon:
        more = f"; more samples may show {report.highest:.3f}"
    unsettled = "More samples may raise the estimate"
    if report.groups < FEW_GROUPS:
        unsettled = f"{report.groups} groups are too few"
    text = {
        "above": f"The code reveals more {about}, {proved}.",
        "below": f"The critics found less {about}. "
        "This is not a proof: other critics may find more.",
        "undecided": f"These samples do not show whether the code reveals less {about}, "
        f"{proved}{more}.",
        "not settled": f"{unsettled}, so {target} is not shown to be met: "
        f"{found} so far, {proved}{more}.",
        "not asked": f"The code reveals {found} about alpha{beyond}, {proved}. "
        "No target was given.",
    }[report.verdict]
    likely = report.p_value <= RARE and report.interval[1] >= 0
    if likely and report.lower_bound <= 0 and report.verdict != "above":
        text += (
            f" Random pairings of the same codes look less dependent (p = {report.p_value:.3f}), "
            "so the code probably reveals a little, too little to certify with these samples."
        )
    chance = 1 / max(2, report.classes)
    recognised = report.label_balanced_accuracy_interval
    if report.label_balanced_accuracy is not None and (not recognised or recognised[0] > chance):
        text += (
            f" From the code, a label is recognised in {100 * report.label_balanced_accuracy:.0f} "
            f"% of cases, averaged over the labels; chance is {100 * chance:.0f} %."
        )
    return text
