r"""What an audit found, for people and for programs."""

__all__ = ["AuditReport", "Verdict", "normalized"]

import html
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .curve import LearningCurve, Recognition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Verdict = Literal["below", "above", "undecided", "not settled", "not asked"]

NOTE = (
    "Samples alone bound mutual information from below, never from above: another critic may find more. "
    "Only a variational bound bounds from above."
)


def normalized(mi: float, log_z: float) -> bool:
    """Tells whether log Z is near 0, beside the estimate that it belongs to."""
    return abs(log_z) <= max(0.1, 0.1 * abs(mi))


@dataclass(frozen=True)
class AuditReport:
    r"""Holds what fresh critics found in frozen codes, in nats. `print` shows it as a short table.

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
    r"""Where :math:`I(\pi, \alpha)` is to :math:`\epsilon`, as far as the panel sees."""
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

    @property
    def interval(self) -> tuple[float, float]:
        """The estimate less and plus 1.96 standard errors."""
        return self.mi - 1.96 * self.standard_error, self.mi + 1.96 * self.standard_error

    @property
    def reliable(self) -> bool:
        """Whether the critics' logits are normalised well enough for the estimate to be believed."""
        return normalized(self.mi, self.log_z)

    def to_dict(self) -> dict[str, Any]:
        """Gives all numbers by name, as plain values."""
        parts = {
            name: None if part is None else part._asdict()
            for name, part in (("curve", self.curve), ("recognition", self.recognition))
        }
        return {
            **asdict(self),
            **parts,
            "warnings": list(self.warnings),
            "reliable": self.reliable,
        }

    def to_json(self) -> str:
        """Gives :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[tuple[str, str]]:
        """Gives the report as pairs of a name and a text."""
        low, high = self.interval
        rows = [
            ("estimate", f"{self.mi:.3f} nats, 95 % interval {low:.3f} to {high:.3f}"),
            (
                "certified",
                f"at least {self.lower_bound:.3f} nats, {100 * self.confidence:g} % confidence",
            ),
            ("ceiling", f"{self.ceiling:.1f} nats is about the most that so many samples certify"),
            ("log Z", f"{self.log_z:.3f} ({'good' if self.reliable else 'far from 0'})"),
            ("Donsker-Varadhan", f"{self.dv:.3f} nats"),
            (
                "chance",
                f"p = {self.p_value:.3f} under random pairings, 95 % of which give less than {self.null:.3f}",
            ),
            ("joint or marginal", f"{100 * self.accuracy:.1f} % of pairs told apart, chance 50 %"),
        ]
        if self.curve is not None:
            found = ", ".join(f"{value:.3f}" for value in self.curve.estimates)
            sizes = ", ".join(f"{size:,}" for size in self.curve.sizes)
            rows.append(("learning curve", f"{found} nats from {sizes} training codes"))
        if self.recognition is not None:
            rows.append(("group revealed", self.recognition.in_words(self.mi)))
        if self.label_accuracy is not None:
            rows.append(
                (
                    "label predicted",
                    f"{100 * self.label_accuracy:.1f} %, chance {100 * (self.label_chance or 0):.1f} %",
                )
            )
        if self.variational_bound is not None:
            rows.append(("variational bound", f"at most {self.variational_bound:.3f} nats"))
        if self.epsilon is not None:
            about = " about" if self.verdict in ("undecided", "not settled") else ""
            rows.append(("verdict", f"{self.verdict}{about} ε = {self.epsilon:g}"))
        of = f"{self.samples:,} samples"
        if self.groups != self.samples:
            of += f" in {self.groups:,} groups"
        rows.append(("data", f"{of}; seed {self.seed}, {self.seconds:.0f} s"))
        return rows

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = ["Mutual information of pi and alpha"]
        lines += [f"  {name:<{width}}  {text}" for name, text in self.rows()]
        lines += [f"  warning: {text}" for text in self.warnings]
        return "\n".join([*lines, f"  {NOTE}"])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draws estimate, interval, certified bound and target on one axis; needs matplotlib.

        Arguments:
            ax: Where to draw; a new figure by default.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "AuditReport.plot needs matplotlib: pip install matplotlib"
            ) from error
        if ax is None:
            _, ax = plt.subplots(figsize=(6, 1.8), layout="constrained")
        low, high = self.interval
        ax.errorbar(
            [self.mi],
            [0],
            xerr=[[self.mi - low], [high - self.mi]],
            fmt="o",
            capsize=4,
            label="estimate",
        )
        if self.lower_bound > 0:
            ax.axvspan(0, self.lower_bound, color="tab:red", alpha=0.15, lw=0, label="certified")
        if self.epsilon is not None:
            ax.axvline(self.epsilon, color="black", linestyle="--", label="ε")
        ax.set(yticks=[], xlabel="I(π, α) in nats", xlim=(min(0, low) - 0.01, None))
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def to_html(self) -> str:
        """Gives the report as one page that needs nothing else."""
        body = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self.rows()
        )
        panel = "".join(
            f"<tr><th>{html.escape(name)}</th><td class=number>{value:.3f}</td></tr>"
            for name, value in sorted(self.panel.items(), key=lambda item: -item[1])
        )
        warnings = "".join(f"<p class=warning>{html.escape(text)}</p>" for text in self.warnings)
        return _PAGE.format(
            drawing=self._drawing(), body=body, panel=panel, warnings=warnings, note=NOTE
        )

    def save_html(self, path: str | Path) -> None:
        """Writes :meth:`to_html` to a file."""
        Path(path).write_text(self.to_html(), encoding="utf-8")

    def _drawing(self) -> str:
        low, high = self.interval
        right = 1.15 * max(high, self.epsilon or 0, self.lower_bound, 0.05)
        left = min(0.0, low)

        def at(value: float) -> float:
            return 20 + 600 * (value - left) / (right - left)

        parts = [
            f'<rect x="{at(0):.1f}" y="22" width="{at(self.lower_bound) - at(0):.1f}" height="36" class="certified"/>',
            f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="40" y2="40" class="interval"/>',
            f'<circle cx="{at(self.mi):.1f}" cy="40" r="6"/>',
            '<line x1="20" x2="620" y1="70" y2="70" class="axis"/>',
            f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="70" y2="74" class="axis"/>',
            f'<text x="{at(self.mi):.1f}" y="14">{self.mi:.3f}</text>',
        ]
        zero = at(0)
        if self.epsilon is not None:
            x = at(self.epsilon)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="70" class="epsilon"/>')
            parts.append(f'<text x="{max(x, zero + 60):.1f}" y="88">ε = {self.epsilon:g}</text>')
        parts.append(f'<text x="{zero:.1f}" y="88">0</text>')
        return f'<svg viewBox="0 0 640 96" role="img" aria-label="estimate">{"".join(parts)}</svg>'


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit of mutual information</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0 }}
th, td {{ text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; font-weight: normal }}
th {{ white-space: nowrap; color: #555 }} .warning {{ background: #fff3cd; padding: .5rem .8rem }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }} .key {{ color: #555; font-size: 14px; margin: 0 }}
svg {{ width: 100% }} text {{ font-size: 12px; text-anchor: middle }} circle {{ fill: #1f5fa8 }}
.interval {{ stroke: #1f5fa8; stroke-width: 3 }} .axis {{ stroke: #999 }} .epsilon {{ stroke: #222; stroke-dasharray: 4 }}
.certified {{ fill: #d9534f; opacity: .25 }}
</style></head><body><h1>Mutual information of π and α</h1>
{drawing}<p class=key>Point and line: estimate and its 95 % interval. Shaded: certified. Dashed: ε. In nats.</p>
<table>{body}</table>{warnings}
<h2>The panel</h2><p>What each critic found where it stopped (Donsker-Varadhan, nats).</p><table>{panel}</table>
<p>{note}</p></body></html>
"""
