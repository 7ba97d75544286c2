"""Pictures of rows: the Pareto front of each task, and what was audited against what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import figures
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
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
    """Draws what was audited over what was asked, with the line where they are equal."""
    figure, ax = plt.subplots(figsize=(5.5, 4.5), layout="constrained")
    for i, method in enumerate(methods):
        own = figures.of(rows, method=method)
        ax.scatter(
            [row["setting"] * (1 + 0.06 * (i - len(methods) / 2)) for row in own],
            [max(row["leak"], 0) for row in own],
            s=16,
            marker=MARKERS[i],
            label=method,
        )
    ends = [0.004, 0.3]
    ax.plot(ends, ends, color="grey", lw=1)
    ax.plot(ends, [figures.SLACK * end for end in ends], color="grey", lw=1, ls=":")
    ax.set(xscale="log", xlabel="asked, nats", ylabel="audited, nats")
    ax.set_yscale("symlog", linthresh=0.005)
    ax.legend(fontsize=7)
    figure.savefig(path, dpi=90)
    plt.close(figure)
