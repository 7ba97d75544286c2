r"""The drawings of a report with matplotlib, which only this module imports."""

__all__ = ["draw"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .report import AuditReport


def draw(report: "AuditReport", ax: "Axes | None" = None) -> "Axes":
    """Draws the figures of the HTML page: see :meth:`AuditReport.plot`."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("AuditReport.plot needs matplotlib: pip install matplotlib") from error
    curve = None
    if ax is None and report.curve is not None:
        _, (ax, curve) = plt.subplots(2, figsize=(6, 5), height_ratios=(1, 2), layout="constrained")
    elif ax is None:
        _, ax = plt.subplots(figsize=(6, 2.2), layout="constrained")
    low, high = report.interval
    errors = [[report.mi - low], [high - report.mi]]
    name = "estimate, 95 % interval"
    drawn: list[Any] = [ax.errorbar([report.mi], [0], xerr=errors, fmt="o", capsize=4, label=name)]
    ends = [high, report.highest]
    drawn += ax.plot(ends, [0, 0], ":", color="tab:blue", label="more samples")
    if report.lower_bound > 0:
        certified = ax.axvspan(0, report.lower_bound, color="tab:red", alpha=0.2, lw=0)
        certified.set_label("certified")
        drawn.append(certified)
    if report.epsilon is not None:
        drawn.append(ax.axvline(report.epsilon, color="black", linestyle="--", label="target ε"))
    right = 1.15 * max(report.highest, report.epsilon or 0, report.lower_bound, 0.05)
    ax.set(yticks=[], xlabel="I(π, α) in nats", xlim=(min(0, 1.05 * low), right))
    ax.set_title(report.title.partition(" (")[0], loc="left")
    ax.legend(handles=drawn, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.5), frameon=False)
    if curve is not None:
        _draw_curve(report, curve)
    return ax


def _draw_curve(report: "AuditReport", ax: "Axes") -> None:
    assert report.curve is not None
    sizes, estimates, errors = zip(*report.curve.points, strict=True)
    ax.errorbar(sizes, estimates, yerr=[1.96 * e for e in errors], fmt="o-", capsize=4)
    if report.epsilon is not None:
        ax.axhline(report.epsilon, color="black", linestyle="--")
    top = 1.1 * max(*(m + 1.96 * e for _, m, e in report.curve.points), report.epsilon or 0, 0.05)
    bottom = min(0.0, *(m - 1.96 * e for _, m, e in report.curve.points))
    ax.set(xscale="log", xlabel="training codes", ylabel="estimate in nats", ylim=(bottom, top))
    ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
    ax.minorticks_off()
