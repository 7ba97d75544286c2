r"""The drawings of a report as inline SVG: the interval and target, and the learning curve."""

__all__ = ["curve_svg", "interval_svg", "ticks"]

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import AuditReport

WIDTH, LEFT, RIGHT = 400, 24, 376


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Returns round numbers from `low` to `high`, at most `most` + 1 of them."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def interval_svg(report: "AuditReport") -> str:
    """Returns a drawing of estimate, interval, certified bound and target on one axis in nats."""
    low, high = report.interval
    right = 1.15 * max(report.highest, report.epsilon or 0, report.lower_bound, 0.05)
    left = min(0.0, 1.05 * low)

    def at(value: float) -> str:
        return f"{LEFT + (RIGHT - LEFT) * (value - left) / (right - left):.1f}"

    parts = []
    if report.lower_bound > 0:
        width = float(at(report.lower_bound)) - float(at(0))
        parts.append(
            f'<rect x="{at(0)}" y="24" width="{width:.1f}" height="32" class="certified"/>'
        )
    if report.epsilon is not None:
        x = at(report.epsilon)
        parts.append(f'<line x1="{x}" x2="{x}" y1="6" y2="64" class="epsilon"/>')
    parts += [
        f'<line x1="{at(high)}" x2="{at(report.highest)}" y1="40" y2="40" class="more"/>',
        f'<line x1="{at(low)}" x2="{at(high)}" y1="40" y2="40" class="interval"/>',
        f'<circle cx="{at(report.mi)}" cy="40" r="5" class="estimate"/>',
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="64" y2="64" class="axis"/>',
    ]
    for value in ticks(left, right):
        x = at(value)
        parts.append(f'<line x1="{x}" x2="{x}" y1="64" y2="68" class="axis"/>')
        parts.append(f'<text x="{x}" y="82">{value:g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="98">information in nats</text>')
    target = "" if report.epsilon is None else f", target {report.epsilon:g}"
    label = f"estimate {report.mi:.3f}, interval {low:.3f} to {high:.3f}"
    label += f", more samples may show {report.highest:.3f}"
    label += f", certified {report.lower_bound:.3f}{target}"
    return _svg(104, label, parts)


def curve_svg(report: "AuditReport") -> str:
    """Returns a drawing of the estimate against the number of training codes."""
    points = report.curve.points if report.curve else []
    lows, highs = [m - 1.96 * s for _, m, s in points], [m + 1.96 * s for _, m, s in points]
    bottom = min(0.0, *lows)
    top = 1.1 * max(*highs, report.epsilon or 0, 0.05)
    first, last = math.log(points[0][0]), math.log(points[-1][0])

    def x_at(size: int) -> str:
        share = 0.5 if last == first else (math.log(size) - first) / (last - first)
        return f"{84 + 258 * share:.1f}"

    def y_at(value: float) -> str:
        return f"{150 - 138 * (value - bottom) / (top - bottom):.1f}"

    parts = []
    for value in ticks(bottom, top, 4):
        y = y_at(value)
        parts.append(f'<line x1="60" x2="{RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="54" y="{float(y) + 4:.1f}" class="end">{value:g}</text>')
    if report.epsilon is not None:
        y = y_at(report.epsilon)
        parts.append(f'<line x1="60" x2="{RIGHT}" y1="{y}" y2="{y}" class="epsilon"/>')
    path = " ".join(f"{x_at(n)},{y_at(m)}" for n, m, _ in points)
    parts.append(f'<polyline points="{path}" class="curve"/>')
    for (n, m, _), low, high in zip(points, lows, highs, strict=True):
        x = x_at(n)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{y_at(low)}" y2="{y_at(high)}" class="bar"/>')
        parts.append(f'<circle cx="{x}" cy="{y_at(m)}" r="4" class="estimate"/>')
        parts.append(f'<text x="{x}" y="168">{n:,}</text>')
    parts.append('<text x="213" y="186">training codes</text>')
    parts.append('<text x="-81" y="14" transform="rotate(-90)">estimate in nats</text>')
    label = "; ".join(f"{n} codes: {m:.3f} nats" for n, m, _ in points)
    return _svg(192, label, parts)


def _svg(height: int, label: str, parts: list[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">'
    return f"{head}{''.join(parts)}</svg>"
