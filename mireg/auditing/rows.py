r"""The numbers of a report as text, each with its meaning."""

__all__ = ["Row", "fixed", "member_in_words", "rows_of"]

from typing import TYPE_CHECKING, NamedTuple

from ..leakage import accuracy_bound, auc_bound, balanced_accuracy_bound

if TYPE_CHECKING:
    from .report import AuditReport


class Row(NamedTuple):
    """One line of the report."""

    name: str
    """The name of the number."""
    text: str
    """The number, with its unit and interval."""
    meaning: str = ""
    """What the number means."""


def rows_of(report: "AuditReport") -> list[Row]:
    """Returns the rows of a report, the most important first."""
    parts = (_information, _learning, _recognition, _strata, _data)
    return [row for part in parts for row in part(report)]


def _information(r: "AuditReport") -> list[Row]:
    low, high = r.interval
    rows = [
        Row(
            "estimate",
            f"{fixed(r.mi)} nats, 95 % interval {fixed(low)} to {fixed(high)}",
            "found in held-out samples; the interval covers the noise of these samples only",
        ),
        Row(
            "more samples",
            f"may raise the estimate to {fixed(r.highest)} nats",
            "roughly, with 256 times as many: the estimate, two standard errors, and what critics "
            "miss now; if this number is not below ε, the samples do not show that the target is "
            "met",
        ),
        Row(
            "certified",
            f"at least {r.lower_bound:.3f} nats, {100 * r.confidence:g} % confidence"
            if r.lower_bound > 0
            else "nothing",
            "if samples of different groups are independent, the true value is below this bound in "
            f"at most {100 - 100 * r.confidence:g} % of audits, whatever the critics are",
        ),
    ]
    if r.variational_bound is not None:
        rows.append(
            Row(
                "variational bound",
                f"at most {r.variational_bound:.3f} nats",
                "an upper bound for samples of the posterior, up to the noise of this mean over "
                "the samples",
            )
        )
    return [
        *rows,
        Row(
            "ceiling",
            f"about {r.ceiling:.1f} nats",
            "the largest bound that this number of samples can certify, whatever the truth",
        ),
        Row(
            "log Z",
            f"{fixed(r.log_z)} ({'near 0' if r.reliable else 'far from 0'})",
            "near 0 if the critics are calibrated; if it is far from 0, do not trust the estimate",
        ),
        Row(
            "Donsker-Varadhan",
            f"{fixed(r.dv)} nats",
            "a second estimate, the mean logit minus log Z; too low if a few pairs have far too "
            "high logits",
        ),
        Row(
            "random pairings",
            f"p = {r.p_value:.3f}; 95 % of their estimates are below {r.null:.3f} nats",
            "a small p rules out luck; a large p does not show independence",
        ),
        Row(
            "pairs",
            f"{100 * r.accuracy:.1f} % classified correctly, chance 50 %",
            "how often the critics recognise whether a code and an alpha come from the same sample",
        ),
    ]


def _learning(r: "AuditReport") -> list[Row]:
    rows = []
    if r.curve is not None:
        found = ", ".join(map(fixed, r.curve.estimates))
        sizes = ", ".join(f"{size:,}" for size in r.curve.sizes)
        rows.append(
            Row(
                "learning curve",
                f"{found} nats from {sizes} training codes",
                "the estimates of one critic; if they still rise, more samples may raise the "
                "estimate above",
            )
        )
    if r.correlations is not None and r.correlations.error > 0:
        rows.append(
            Row(
                "correlations",
                f"{fixed(r.correlations.nats)} nats, standard error {r.correlations.error:.3f}",
                "what correlations of coordinates, or of products of two, amount to in nearly "
                "Gaussian codes; many weak ones are found with fewer samples than critics need",
            )
        )
    if r.recognition is not None:
        rows.append(Row("group revealed", r.recognition.numbers, r.recognition.meaning(r.mi)))
    return rows


def _recognition(r: "AuditReport") -> list[Row]:
    if r.label_accuracy is None:
        return []
    chance = r.label_chance or 0.0
    rows = [
        Row(
            "accuracy",
            f"{_share(r.label_accuracy, r.label_accuracy_interval)}, chance {100 * chance:.1f} %"
            + ("" if r.given else _allowed(r, accuracy_bound(r.epsilon or 0, min(chance, 0.9999)))),
            "how often the most probable label is right; chance is to always guess the most "
            "frequent label" + (" of those with the same y" if r.given else ""),
        )
    ]
    if r.label_auc is not None:
        most = max((auc_bound(r.epsilon or 0, s) for s in _inner(r.label_shares)), default=1.0)
        rows.append(
            Row(
                "AUC",
                f"{r.label_auc:.3f}{_interval(r.label_auc_interval, 1)}, chance 0.5"
                + ("" if r.given or not r.epsilon else f", ε allows {most:.3f}"),
                "how often a sample with a label scores higher than one without it, averaged "
                "over labels",
            )
        )
    if r.label_balanced_accuracy is not None:
        shares = _inner(r.label_shares)
        allowed = ""
        if len(shares) > 1 and not r.given:
            allowed = _allowed(r, balanced_accuracy_bound(r.epsilon or 0, shares))
        rows.append(
            Row(
                "balanced accuracy",
                f"{_share(r.label_balanced_accuracy, r.label_balanced_accuracy_interval)}, "
                f"chance {100 / max(2, r.classes):.1f} %{allowed}",
                "how often a label is recognised, averaged over labels: a rare label counts as "
                "much as a frequent one",
            )
        )
    return rows


def _strata(r: "AuditReport") -> list[Row]:
    rows = []
    for s in r.strata:
        text = s.note
        if s.mi is not None:
            text = f"{fixed(s.mi)} nats, at least {s.lower_bound:.3f}" + (
                f"; {s.note}" * bool(s.note)
            )
        rows.append(Row(f"given {s.name}", f"{text} ({s.samples:,} samples)"))
    return rows


def _data(r: "AuditReport") -> list[Row]:
    of = f"{r.samples:,} samples"
    if r.groups != r.samples:
        of += f" in {r.groups:,} groups"
    if r.source:
        of = f"{r.source}, {of}"
    return [
        Row("alpha", r.alpha or "not said", "how alpha was read; kind= and classes= change this"),
        *(
            [
                Row(
                    "given",
                    r.given,
                    "labels known in addition to pi: every number is about what pi adds to them",
                )
            ]
            * bool(r.given)
        ),
        Row("data", f"{of}; seed {r.seed}, {r.seconds:.0f} s"),
        Row("made", f"{r.date} with mireg {r.version}"),
    ]


def fixed(value: float) -> str:
    """Returns a number with three digits, without a minus sign if it rounds to 0."""
    return f"{round(value, 3) + 0.0:.3f}"


def _inner(shares: tuple[float, ...]) -> list[float]:
    return [s for s in shares if 0 < s < 1]


def _share(value: float, interval: tuple[float, float] | None) -> str:
    return f"{100 * value:.1f} %{_interval(interval, 100)}"


def _interval(interval: tuple[float, float] | None, unit: int) -> str:
    digits = 1 if unit == 100 else 3
    if interval is None:
        return ""
    return f" ({unit * interval[0]:.{digits}f} to {unit * interval[1]:.{digits}f})"


def _allowed(r: "AuditReport", bound: float) -> str:
    return "" if r.epsilon is None else f", ε allows {100 * bound:.1f} %"


KINDS = {
    "linear": "a linear critic",
    "squares": "a linear critic of coordinates and their squares",
    "products": "a linear critic of chosen products of two coordinates",
    "small": "a small network",
    "large": "a large network",
    "towers": "two networks and their inner product",
    "octaves": "a network for fine detail",
    "neighbours": "nearest neighbours",
}
CODES = {"standard": "on scaled codes", "scores": "on ranks of the codes"}


def member_in_words(name: str) -> str:
    """Returns a description of a member of the panel, such as `octaves on scores`."""
    kind, _, codes = name.partition(" on ")
    words = next((text for key, text in KINDS.items() if key in kind), kind)
    count = kind.split()[0]
    if count.isdigit():
        words = f"{count} nearest neighbours"
    return f"{words}, {CODES.get(codes, f'on {codes}')}" if codes else words
