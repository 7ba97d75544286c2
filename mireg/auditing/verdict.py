r"""What the numbers of an audit say of a target, in a word and in a sentence."""

__all__ = ["Verdict", "decide", "exit_status", "normalized", "sentence"]

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .report import AuditReport

Verdict = Literal["below", "above", "undecided", "not settled", "not asked"]


def normalized(mi: float, log_z: float) -> bool:
    """Tells whether log Z is near 0, beside the estimate that it belongs to."""
    return abs(log_z) <= max(0.1, 0.1 * abs(mi))


def decide(
    mi: float,
    error: float,
    log_z: float,
    bound: float,
    epsilon: float | None,
    settled: bool = True,
    conclusive: bool = True,
) -> Verdict:
    """Judges by the certified bound, and else by the estimates and two standard errors.

    Arguments:
        mi: The estimate in nats.
        error: Its standard error.
        log_z: The logarithm of the mean of e^T over marginal pairs.
        bound: The certified lower bound.
        epsilon: The target, or `None`.
        settled: Whether the estimate has stopped rising with the number of training codes.
        conclusive: Whether the samples are such that finding little shows something.

    Returns:
        `above` comes first: what was found is there, whatever more would be found.
    """
    if epsilon is None:
        return "not asked"
    # The lower of the mean logit and its DV bound: `mi` is the higher.
    if bound > epsilon or mi - abs(log_z) - 2 * error > epsilon:
        return "above"
    if not settled:
        return "not settled"
    cleared = conclusive and normalized(mi, log_z) and mi + 2 * error < epsilon
    return "below" if cleared else "undecided"


def exit_status(verdict: Verdict, allow_undecided: bool = False) -> int:
    """Returns the exit status of the command: 0 for below, 1 for above, 2 where the target was neither shown to be kept nor to be missed.

    Arguments:
        verdict: The verdict; `not asked` is 0.
        allow_undecided: Whether 2 is 0.
    """
    if verdict == "above":
        return 1
    return 2 * (verdict in ("undecided", "not settled") and not allow_undecided)


def sentence(report: "AuditReport") -> str:
    """Returns the finding in one sentence, and for labels one more: no formula, no name of a method."""
    found = f"about {max(0.0, report.mi):.3f} nats"
    target = f"the target of {report.epsilon:g} nats" if report.epsilon is not None else ""
    of = "the code reveals of alpha" + (" beyond what is given" if report.given else "")
    proved = f"at least {report.lower_bound:.3f} with {100 * report.confidence:g} % confidence"
    if report.lower_bound <= 0:
        proved = "none of it certified"
    text = {
        "above": f"What {of} is more than {target}: {found}, {proved}.",
        "below": f"What new critics found of what {of} stays below {target}: {found}. No one has proved that others cannot find more.",
        "undecided": f"Whether what {of} is below {target} cannot be told from these samples: {found}, {proved}.",
        "not settled": f"Do not call {target} kept: critics still find more the more codes they learn from, {found} so far.",
        "not asked": f"What {of}: {found}, {proved}. No target was given.",
    }[report.verdict]
    if report.label_balanced_accuracy is not None:
        chance = 1 / max(2, report.classes)
        text += (
            f" With the code, labels are recognised in {100 * report.label_balanced_accuracy:.0f} % of cases, "
            f"averaged over the labels; without it in {100 * chance:.0f} %."
        )
    return text
