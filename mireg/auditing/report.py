r"""The result of an audit."""

__all__ = ["AuditReport", "Stratum"]

import datetime
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .correlations import Correlations
from .curve import LearningCurve, Recognition
from .page import to_html
from .rows import Row, rows_of
from .verdict import Verdict, highest, normalized, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE = (
    "Samples bound mutual information from below only: another critic may find more. "
    "Of these numbers, only a variational bound is an upper bound. "
    "For scale: 0.69 nats (ln 2) identify one of two equally frequent classes with certainty."
)


def _version() -> str:
    import mireg

    return mireg.__version__


def _today() -> str:
    return datetime.date.today().isoformat()


@dataclass(frozen=True)
class Stratum:
    """The result for one value of the given labels."""

    name: str
    """The value of the given labels."""
    share: float
    """Its share of the samples."""
    samples: int
    """The number of its samples."""
    mi: float | None
    """The estimate in nats, `None` if the stratum was left out."""
    standard_error: float | None
    """Its standard error."""
    lower_bound: float
    """The certified lower bound. The bounds of all strata hold jointly with the confidence."""
    note: str = ""
    """Why the stratum was left out, or needed no critic."""


@dataclass(frozen=True)
class AuditReport:
    r"""The result of :func:`audit`: estimates in nats, a certified lower bound and a verdict.
    `print` shows all of it.

    Example:
        >>> numbers = (0.31, 0.02, 0.01, 0.30, 0.22, 0.95, 4.2, 0.01, 0.02, 0.66, 5000, 5000)
        >>> report = AuditReport(*numbers)
        >>> report.interval
        (0.27..., 0.34...)
    """

    mi: float
    r"""The estimate in nats, which is the mean held-out logit of joint pairs, minus log Z if that
    is below 0."""
    standard_error: float
    """The standard error of the estimate, over groups if groups were given."""
    log_z: float
    r"""The log mean of :math:`e^T` over held-out marginal pairs, near 0 if `mi` is reliable."""
    dv: float
    """The Donsker-Varadhan estimate, which is the mean held-out logit of joint pairs minus
    `log_z`."""
    lower_bound: float
    r"""The certified lower bound on :math:`I(\pi, \alpha)`, which holds with `confidence`."""
    confidence: float
    """The confidence of the lower bound."""
    ceiling: float
    """About the largest lower bound that this number of samples can certify."""
    p_value: float
    """The share of random pairings of the held-out samples that looked at least as dependent."""
    null: float
    """The 95 % quantile of the estimates of random pairings, minus their mean."""
    accuracy: float
    """The share of joint and marginal pairs that the critics classify correctly; 0.5 is chance."""
    samples: int
    """The number of samples."""
    groups: int
    """The number of groups; the number of samples if no groups were given."""
    epsilon: float | None = None
    """The target in nats."""
    verdict: Verdict = "not asked"
    r"""`below` or `above` :math:`\epsilon`, `undecided`, `not settled`, or `not asked`."""
    classes: int = 0
    """The number of labels; 0 if α is a code."""
    label_accuracy: float | None = None
    """How often the most probable label is right."""
    label_chance: float | None = None
    """The share of the most frequent label."""
    variational_bound: float | None = None
    """The upper bound of eq. (9), if a posterior was given."""
    panel: dict[str, float] = field(default_factory=dict)
    """The estimate of each member of the panel on its stopping samples, in nats."""
    curve: LearningCurve | None = None
    """The estimates of the best critic for a quarter, half and all of the training codes."""
    settled: bool = True
    """Whether the learning curve no longer rises and there are enough groups."""
    recognition: Recognition | None = None
    """How well π reveals the group, if groups of several samples were given."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt the numbers."""
    seed: int = 0
    """The seed of the audit."""
    seconds: float = 0.0
    """The duration of the audit."""
    alpha: str = ""
    """How α was read."""
    label_accuracy_interval: tuple[float, float] | None = None
    """The 95 % interval of `label_accuracy`, over groups."""
    label_auc: float | None = None
    """The AUC of each label against the rest, averaged over the labels; 0.5 is chance."""
    label_auc_interval: tuple[float, float] | None = None
    """The 95 % interval of `label_auc`, over groups."""
    label_balanced_accuracy: float | None = None
    """How often a label is recognised, averaged over the labels; 1 / C is chance."""
    label_balanced_accuracy_interval: tuple[float, float] | None = None
    """The 95 % interval of `label_balanced_accuracy`, over groups."""
    label_shares: tuple[float, ...] = ()
    """The share of each label."""
    given: str = ""
    """How the given labels were read, if the information is conditional."""
    strata: tuple[Stratum, ...] = ()
    """The result for each value of the given labels."""
    missed: float = 0.0
    """What critics are expected to miss, in nats: the greatest of 8 times what a doubling of the
    training codes added, the last one or a mean one; of what a linear critic misses; and of what
    significant correlations amount to beyond the estimate."""
    missed_error: float = 0.0
    """The standard error of what the last doubling added, or of the correlations."""
    correlations: Correlations | None = None
    """What correlations of π with α amount to; `None` for conditional information."""
    source: str = ""
    """The file that the codes came from, if any."""
    date: str = field(default_factory=_today)
    """The day of the audit."""
    version: str = field(default_factory=_version)
    """The version of the library."""

    @property
    def interval(self) -> tuple[float, float]:
        """The estimate minus and plus 1.96 standard errors."""
        return self.mi - 1.96 * self.standard_error, self.mi + 1.96 * self.standard_error

    @property
    def highest(self) -> float:
        """An extrapolation of what 256 times as many samples may show; below ε for `below`."""
        return highest(self.mi, self.standard_error, self.missed, self.missed_error)

    @property
    def reliable(self) -> bool:
        """Whether log Z is near enough to 0 for the estimate to be trusted."""
        return normalized(self.mi, self.log_z)

    @property
    def title(self) -> str:
        """The verdict, and how α was read."""
        target = "" if self.epsilon is None else f" ε = {self.epsilon:g}"
        about = {"undecided": " about", "not settled": ","}.get(self.verdict, "")
        read = f" (alpha read as {self.alpha})" if self.alpha else ""
        return f"Verdict: {self.verdict}{about}{target}{read}"

    @property
    def summary(self) -> str:
        """The finding in one to three sentences."""
        return sentence(self)

    def from_file(self, name: str) -> "AuditReport":
        """Returns a copy of the report that names the file that the codes came from."""
        return replace(self, source=name)

    def to_dict(self) -> dict[str, Any]:
        """Returns all numbers by name, as plain values, and the report's texts."""
        texts = {"title": self.title, "summary": self.summary, "reliable": self.reliable}
        parts = {
            name: None if part is None else part._asdict()
            for name, part in (
                ("curve", self.curve),
                ("recognition", self.recognition),
                ("correlations", self.correlations),
            )
        }
        rows = [row._asdict() for row in self.rows()]
        ends = {"interval": self.interval, "highest": self.highest}
        numbers = {**asdict(self), **parts, **ends}
        return {**texts, **numbers, "rows": rows, "note": NOTE}

    def to_json(self) -> str:
        """Returns :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[Row]:
        """Returns the lines of the report, each with a name, a text and its meaning."""
        return rows_of(self)

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(row.name) for row in rows)
        lines = [self.title, self.summary]
        for row in rows:
            lines.append(f"  {row.name:<{width}}  {row.text}")
            if row.meaning:
                lines.append(f"  {'':<{width}}    {row.meaning}")
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join([*lines, f"  {NOTE}"])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the report with matplotlib, and returns the axis of the estimate.

        Arguments:
            ax: The axis of the estimate. By default, a new figure, which also shows the learning
                curve.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from .plotting import draw

        return draw(self, ax)

    def to_html(self) -> str:
        """Returns the report as a self-contained HTML page."""
        return to_html(self, NOTE)

    def save_html(self, path: str | Path) -> None:
        """Writes :meth:`to_html` to a file."""
        Path(path).write_text(self.to_html(), encoding="utf-8")
