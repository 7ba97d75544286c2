"""Pictures of rows: the Pareto front of each task, and what was audited against what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import figures
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from figures import Row

MARKERS = "os^vD<>pPX*h"


def pareto(rows: list[Row], path: Path) -> None:
    """Draws task quality over audited leakage: all rows as points, and a line through those that
    were best on validation data.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    count = min(3, len(tasks))
    size = (4.6 * count, 3.6 * -(-len(tasks) // count) + 1.6)
    figure, axes = plt.subplots(
        -(-len(tasks) // count), count, figsize=size, layout="constrained", squeeze=False
    )
    colours = plt.get_cmap("tab20")
    for ax, task in zip(axes.flat, tasks, strict=False):
        for i, method in enumerate(methods):
            own = figures.of(rows, task=task, method=method)
            ours = method.startswith("mireg")
            look = {
                "color": "black" if ours else colours(i % 20),
                "marker": MARKERS[i % len(MARKERS)],
                "zorder": 3 if ours else 2,
            }
            leaks = [max(row["leak"], 0) for row in own]
            ax.scatter(leaks, [row["quality"] for row in own], s=14, alpha=0.5, **look)
            best = figures.front(own)
            ax.plot(
                [max(row["leak"], 0) for row in best],
                [row["quality"] for row in best],
                ms=4,
                lw=1.8 if ours else 0.8,
                label=method,
                ls="--" if method == "mireg.Eraser" else "-",
                **look,
            )
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set(title=task, xlabel="audited leakage, nats", ylabel="task quality")
    for ax in list(axes.flat)[len(tasks) :]:
        ax.set_axis_off()
    labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", ncols=5, fontsize=7)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def asked(rows: list[Row], methods: Sequence[str], path: Path) -> None:
    """Draws audited over asked leakage with its interval: a panel a method, a colour a task."""
    there = [method for method in methods if figures.of(rows, method=method)]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    settings = sorted({row["setting"] for row in rows if row["method"] in there})
    columns = min(3, len(there))
    count = -(-len(there) // columns)
    figure, axes = plt.subplots(
        count,
        columns,
        figsize=(1.5 + 3 * columns, 3 * count),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for ax in axes.flat[len(there) :]:
        ax.set_visible(False)
    for ax, method in zip(axes.flat, there, strict=False):
        for i, task in enumerate(tasks):
            own = figures.of(rows, method=method, task=task)
            ratios = [row["leak"] / row["setting"] for row in own]
            ends = [[row[end] / row["setting"] for row in own] for end in ("low", "high")]
            ax.errorbar(
                [settings.index(row["setting"]) + 0.09 * (i - len(tasks) / 2) for row in own],
                ratios,
                yerr=abs(np.array(ends) - ratios) if own else None,
                fmt="o",
                ms=4,
                lw=1,
                label=task,
            )
        ax.axhline(1, color="grey", lw=1)
        ax.axhline(figures.SLACK, color="grey", lw=1, ls=":")
        ax.set_xticks(range(len(settings)), [f"{x:g}" for x in settings])
        ax.tick_params(labelbottom=True)
        ax.set(
            title=method, xlabel="asked, nats", ylabel="audited / asked" if ax in axes[:, 0] else ""
        )
    # After all points are drawn, since the panels share this axis.
    axes.flat[0].set_ylim(bottom=0)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside right", fontsize=7)
    figure.savefig(path, dpi=90)
    plt.close(figure)
