r"""What an audit found, for people and for programs."""

__all__ = ["AuditReport", "Stratum"]

import datetime
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curve import LearningCurve, Recognition
from .page import to_html
from .rows import Row, rows_of
from .verdict import Verdict, normalized, sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE = (
    "Samples alone bound mutual information from below, never from above: another critic may find more. "
    "Only a variational bound bounds from above. 0.69 nats (ln 2) tell for certain which of two equal classes it is."
)


def _version() -> str:
    import mireg

    return mireg.__version__


def _today() -> str:
    return datetime.date.today().isoformat()


@dataclass(frozen=True)
class Stratum:
    """Holds what was found where what is given has one value."""

    name: str
    """The value."""
    share: float
    """Its share of the samples."""
    samples: int
    """The number of its samples."""
    mi: float | None
    """The estimate in nats, `None` where the stratum was left out."""
    standard_error: float | None
    """Its standard error."""
    lower_bound: float
    """What is certified, at the confidence that makes all strata and their shares hold together."""
    note: str = ""
    """Why it was left out, or needed no critic."""


@dataclass(frozen=True)
class AuditReport:
    r"""Holds what fresh critics found in frozen codes, in nats. `print` shows it, the verdict first.

    Example:
        >>> report = AuditReport(0.31, 0.02, 0.01, 0.30, 0.22, 0.95, 4.2, 0.01, 0.02, 0.66, 5000, 5000)
        >>> report.interval
        (0.27..., 0.34...)
    """

    mi: float
    r"""The estimate of :math:`I(\pi, \alpha)`: the mean held-out logit of joint pairs, less log Z where that is below 0."""
    standard_error: float
    """Its standard error, over groups where there are some."""
    log_z: float
    r"""The logarithm of :math:`\mathbb{E}_{p(\pi) p(\alpha)} e^T` on held-out pairs: the estimate is to be believed where this is near 0."""
    dv: float
    """The estimate of Donsker and Varadhan: the mean held-out logit of joint pairs less `log_z`."""
    lower_bound: float
    r"""What :math:`I(\pi, \alpha)` is at least, with `confidence`."""
    confidence: float
    """The confidence of the lower bound."""
    ceiling: float
    """About the most that so many samples can certify."""
    p_value: float
    """How often a random pairing of the held-out samples looked as dependent."""
    null: float
    """The 95 % quantile of what random pairings gave, less their mean."""
    accuracy: float
    """How well joint and marginal pairs are told apart; 0.5 is chance."""
    samples: int
    """The number of samples."""
    groups: int
    """The number of groups, that of samples where none were given."""
    epsilon: float | None = None
    """The target that was asked about."""
    verdict: Verdict = "not asked"
    r"""Where :math:`I(\pi, \alpha)` is to :math:`\epsilon`, as far as the panel sees: `below`, `above`, `undecided`, `not settled`, or `not asked`."""
    classes: int = 0
    """The number of labels, 0 where α is a code."""
    label_accuracy: float | None = None
    """How well the label is predicted from π."""
    label_chance: float | None = None
    """How often the most frequent label is right."""
    variational_bound: float | None = None
    """The bound from above of eq. (9), where a posterior was given."""
    panel: dict[str, float] = field(default_factory=dict)
    """What each member of the panel found on the samples that told it when to stop."""
    curve: LearningCurve | None = None
    """What the best critic finds after learning from a quarter, half and all of the training codes."""
    settled: bool = True
    """Whether more codes are not expected to raise the estimate: the curve no longer rises, and there are enough groups."""
    recognition: Recognition | None = None
    """How well π reveals the group, if groups of several samples were given."""
    warnings: tuple[str, ...] = ()
    """What stands against taking the numbers at their word."""
    seed: int = 0
    """The seed of the audit."""
    seconds: float = 0.0
    """How long it took."""
    alpha: str = ""
    """How α was read."""
    label_accuracy_interval: tuple[float, float] | None = None
    """The 95 % interval of `label_accuracy`, over groups."""
    label_auc: float | None = None
    """The area under the ROC curve of each label against the rest, averaged over the labels; 0.5 is chance."""
    label_auc_interval: tuple[float, float] | None = None
    """Its 95 % interval, over groups."""
    label_balanced_accuracy: float | None = None
    """How often a label is recognised, averaged over the labels; 1 / C is chance."""
    label_balanced_accuracy_interval: tuple[float, float] | None = None
    """Its 95 % interval, over groups."""
    label_shares: tuple[float, ...] = ()
    """The share of each label."""
    given: str = ""
    """What is known beside π, where the information is conditional."""
    strata: tuple[Stratum, ...] = ()
    """What was found for each value of what is given."""
    source: str = ""
    """The file that the codes came from, where there is one."""
    date: str = field(default_factory=_today)
    """The day of the audit."""
    version: str = field(default_factory=_version)
    """The version of the library."""

    @property
    def interval(self) -> tuple[float, float]:
        """The estimate less and plus 1.96 standard errors."""
        return self.mi - 1.96 * self.standard_error, self.mi + 1.96 * self.standard_error

    @property
    def reliable(self) -> bool:
        """Whether the critics' logits are normalised well enough for the estimate to be believed."""
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
        """The finding in a sentence."""
        return sentence(self)

    def from_file(self, name: str) -> "AuditReport":
        """Returns the report with the name of the file that the codes came from."""
        return replace(self, source=name)

    def to_dict(self) -> dict[str, Any]:
        """Returns all numbers by name, as plain values, with the sentences and the meaning of each row."""
        texts = {"title": self.title, "summary": self.summary, "reliable": self.reliable}
        parts = {
            name: None if part is None else part._asdict()
            for name, part in (("curve", self.curve), ("recognition", self.recognition))
        }
        rows = [row._asdict() for row in self.rows()]
        numbers = {**asdict(self), **parts, "interval": self.interval}
        return {**texts, **numbers, "rows": rows, "note": NOTE}

    def to_json(self) -> str:
        """Returns :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[Row]:
        """Returns the report as rows of a name, a text and what it means."""
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
        """Draws estimate, interval, certified bound and target, and the learning curve where there is one; needs matplotlib.

        Arguments:
            ax: Where to draw the first; a new figure by default, with the curve below.

        Returns:
            The axis of the estimate.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        from .plotting import draw

        return draw(self, ax)

    def to_html(self) -> str:
        """Returns the report as one page that needs nothing else."""
        return to_html(self, NOTE)

    def save_html(self, path: str | Path) -> None:
        """Writes :meth:`to_html` to a file."""
        Path(path).write_text(self.to_html(), encoding="utf-8")
