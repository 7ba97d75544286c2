r"""A report as one self-contained HTML page, for desktop and phone, light and dark."""

__all__ = ["to_html"]

from html import escape
from typing import TYPE_CHECKING

from .drawing import curve_svg, interval_svg
from .rows import fixed, member_in_words

if TYPE_CHECKING:
    from .report import AuditReport


def to_html(report: "AuditReport", note: str) -> str:
    """Returns the page: verdict, summary, drawings, warnings, numbers with meanings, panel."""
    verdict, _, read = report.title.partition(" (alpha read as ")
    rows = "".join(
        f"<tr><th>{escape(row.name)}</th><td>{escape(row.text)}"
        + (f"<div class=meaning>{escape(row.meaning)}</div>" if row.meaning else "")
        + "</td></tr>"
        for row in report.rows()
    )
    warnings = "".join(f"<p class=warning>{escape(text)}</p>" for text in report.warnings)
    where = f"{escape(report.source)}, " if report.source else ""
    made = f"{report.date}, mireg {report.version}."
    said = f"alpha read as {escape(read.removesuffix(')'))}. {made}" if read else made
    parts = [
        f'<h1 class="{report.verdict.replace(" ", "-")}">{_unbroken(escape(verdict))}</h1>',
        f"<p class=summary>{escape(report.summary)}</p>",
        f"<p class=meaning>{where}{said}</p>",
        f"<figure>{interval_svg(report)}{_legend(report, False)}</figure>",
        warnings,
        f"<h2>The numbers</h2><table>{rows}</table>",
        _curve(report),
        _panel(report),
        f"<p class='meaning note'>{escape(note)}</p>",
    ]
    return _HEAD + "".join(parts) + "</main></body></html>\n"


def _unbroken(verdict: str) -> str:
    """Returns the verdict with the target on one line."""
    return verdict.replace("ε = ", "ε&nbsp;=&nbsp;")


def _legend(report: "AuditReport", curve: bool) -> str:
    """Returns the legend of a drawing."""
    dot = "<circle cx='14' cy='7' r='4' class='estimate'/>"
    mark = f"<line x1='1' x2='27' y1='7' y2='7' class='interval'/>{dot}"
    marks = [(mark, "estimate and its 95 % interval")]
    if curve:
        mark = f"<line x1='14' x2='14' y1='0' y2='14' class='bar'/>{dot}"
        marks = [(mark, "estimate of one critic and its 95 % interval")]
    else:
        mark = "<line x1='1' x2='27' y1='7' y2='7' class='more'/>"
        marks.append((mark, "what more samples may raise it to"))
        if report.lower_bound > 0:
            mark = "<rect x='1' y='1' width='26' height='12' class='certified'/>"
            marks.append((mark, f"certified with {100 * report.confidence:g} % confidence"))
    if report.epsilon is not None:
        line = "x1='1' x2='27' y1='7' y2='7'" if curve else "x1='14' x2='14' y1='0' y2='14'"
        marks.append((f"<line {line} class='epsilon'/>", f"target ε = {report.epsilon:g}"))
    items = "".join(
        f"<li><svg class=mark viewBox='0 0 28 14' aria-hidden=true>{mark}</svg>{escape(text)}</li>"
        for mark, text in marks
    )
    return f"<figcaption><ul>{items}</ul></figcaption>"


def _curve(report: "AuditReport") -> str:
    if report.curve is None:
        return ""
    said = "One critic was trained on a quarter, half and all of the training codes. The estimate "
    if report.curve.rises:
        said += "still rises: more codes are expected to raise it."
    else:
        said += (
            "does not rise by more than noise. The table has what many more codes may raise it to."
        )
    figure = f"<figure>{curve_svg(report)}{_legend(report, True)}</figure>"
    return f"<h2>The learning curve</h2><p>{said}</p>{figure}"


def _panel(report: "AuditReport") -> str:
    if not report.panel:
        return ""
    ranked = sorted(report.panel.items(), key=lambda item: -item[1])
    rows = "".join(
        f"<tr><td>{escape(member_in_words(name))}</td><td class=number>{fixed(value)}</td></tr>"
        for name, value in ranked
    )
    return (
        "<h2>The panel</h2><p>The estimate of each critic, in nats, on the samples that decide "
        "when its training stops. The verdict comes from a combination of these critics, on other "
        f"samples.</p><table>{rows}</table>"
    )


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Audit of mutual information</title><style>
:root { --ink: #1c2127; --soft: #57606a; --page: #fff; --rule: #d8dee4; --blue: #1f5fa8;
 --red: #c8362f; --green: #1a7f43;
 --amber: #8a5a00; --warn: #fff6d9 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a1a9b3; --page: #14171a;
 --rule: #363c43; --blue: #6fb1ff;
 --red: #ff7b72; --green: #56d38a; --amber: #e8b64c; --warn: #3a3115 } }
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; margin: 0; color: var(--ink);
 background: var(--page) }
main { max-width: 44rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.above { color: var(--red) } .below { color: var(--green) }
.undecided, .not-settled { color: var(--amber) }
.summary { font-size: 1.1rem; margin: .5rem 0 }
.meaning { color: var(--soft); font-size: .875rem; margin: .1rem 0 }
.warning { background: var(--warn); padding: .5rem .8rem; border-radius: 4px }
.warning::first-letter { text-transform: uppercase }
.note { margin-top: 1.5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .45rem .6rem .45rem 0; border-bottom: 1px solid var(--rule);
 vertical-align: top; font-weight: normal }
th { width: 10.5rem; color: var(--soft) }
td.number { text-align: right; white-space: nowrap; overflow-wrap: normal;
 font-variant-numeric: tabular-nums }
figure { margin: 1.2rem 0 } figure > svg { width: 100%; max-width: 30rem; height: auto;
 display: block }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0;
 margin: .3rem 0; font-size: .875rem; color: var(--soft) }
li { display: flex; align-items: center; gap: .4rem }
.mark { width: 28px; height: 14px; flex: none }
text { font-size: 13px; text-anchor: middle; fill: var(--soft) } text.end { text-anchor: end }
.estimate { fill: var(--blue) } .interval, .bar { stroke: var(--blue); stroke-width: 3 }
.bar { stroke-width: 1.5 } .more { stroke: var(--blue); stroke-width: 2; stroke-dasharray: 1 3 }
.curve { fill: none; stroke: var(--blue); stroke-width: 1.5 } .axis { stroke: var(--soft) }
.grid { stroke: var(--rule) }
.epsilon { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 5 3 }
.mark .epsilon { stroke-dasharray: 3 2 } .certified { fill: var(--red); opacity: .3 }
@media (max-width: 30rem) { tr, th, td { display: block; width: auto }
 th { border: 0; padding-bottom: 0 } td { padding-top: 0 }
 tr:has(td.number) { display: flex; justify-content: space-between;
 border-bottom: 1px solid var(--rule) }
 tr:has(td.number) td { border: 0; padding-top: .45rem } }
</style></head><body><main>
"""
