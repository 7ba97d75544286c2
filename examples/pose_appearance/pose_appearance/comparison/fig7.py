"""Fig. 7 of the paper: the triplet errors of all methods, beside what needs no learning."""

__all__ = ["fig7"]

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from ..methods import METHODS
from ..studies.run import Run, compared
from ..studies.section import Picture, Section, Table, number

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

HEADER = [
    "method",
    "seeds",
    "median",
    "25 %",
    "75 %",
    "mean",
    "self-reconstruction",
    "fresh critics",
    "of the body",
    "paper, sprites",
]

TEXT = (
    "The appearance of x1 in the pose of x3, of another identity, against the true image: squared "
    "error on [-1, 1] over native pixels, for triplets of held-out identities. All methods share "
    "encoders, decoder, data order, steps and optimizers. Boxes show quartiles, whiskers 5 and 95 "
    "%, crosses means; dotted lines are trivial guesses. The paper's own figures are read off its "
    "Fig. 7, which was measured on sprites: they are drawn as diamonds where ours were, too. "
    "Self-reconstruction is the mean error with the pose taken from the target."
)


def fig7(runs: list[Run], out: Path) -> Section | None:
    """Shows the distribution of the triplet error of every method.

    Arguments:
        runs: The finished runs; seeds of one method are shown as one.
        out: The folder of the comparison.
    """
    section = Section("Fig. 7: triplet errors", TEXT)
    for data, of_one in compared(runs).items():
        methods = dict.fromkeys(run.method for run in of_one)
        groups = {name: [run for run in of_one if run.method == name] for name in methods}
        groups = dict(sorted(groups.items(), key=lambda item: np.median(_errors(item[1]))))
        trivial = of_one[0].result("triplet_error")["trivial"]
        path = out / f"fig7_{data}.png"
        _box_plot(groups, trivial, data, path)
        section.tables.append(
            Table(f"{data}: methods", HEADER, [_row(*item) for item in groups.items()])
        )
        section.tables.append(
            Table(
                f"{data}: what needs no learning",
                [name.replace("_", " ") for name in trivial],
                [[number(value, 4) for value in trivial.values()]],
            )
        )
        section.pictures.append(Picture(f"Triplet errors on {data}", path))
        section.numbers[data] = {
            "methods": {name: _numbers(group) for name, group in groups.items()},
            "trivial": trivial,
            "paper_on_sprites": _published(METHODS),
        }
    return section


def _published(names: Iterable[str]) -> dict[str, float]:
    """Returns the errors of the paper, of those methods that it shows."""
    shown = {name: METHODS[name].published_error for name in names}
    return {name: error for name, error in shown.items() if error is not None}


def _errors(group: list[Run]) -> np.ndarray:
    """Returns the triplet errors of all seeds of a method."""
    return np.concatenate([run.errors for run in group])


def _numbers(group: list[Run]) -> dict[str, Any]:
    """Returns the numbers of a method over its seeds."""
    errors = _errors(group)
    low, median, high = np.percentile(errors, (25, 50, 75))
    audits = [run.result("audit") for run in group]
    bodies = [found["audit_body"] for found in audits if "audit_body" in found]
    triplets = [run.result("triplet_error")["triplets"] for run in group]
    reconstruction = [found["self_reconstruction_mean"] for found in triplets]
    return {
        "seeds": len(group),
        "median": float(median),
        "quartile_25": float(low),
        "quartile_75": float(high),
        "mean": float(errors.mean()),
        "mean_of_each_seed": [float(run.errors.mean()) for run in group],
        "self_reconstruction": float(np.mean(reconstruction)),
        "audit": float(np.mean([found["audit"]["mi"] for found in audits])),
        "audit_body": float(np.mean([body["mi"] for body in bodies])) if bodies else None,
    }


def _row(method: str, group: list[Run]) -> list[str]:
    """Returns the cells of a row."""
    n = _numbers(group)
    errors = ("median", "quartile_25", "quartile_75", "mean", "self_reconstruction")
    paper = METHODS[method].published_error
    return [
        method,
        str(n["seeds"]),
        *(number(n[name], 4) for name in errors),
        number(n["audit"]),
        "" if n["audit_body"] is None else number(n["audit_body"]),
        "" if paper is None else f"{paper:.4f}",
    ]


def _box_plot(
    groups: dict[str, list[Run]], trivial: dict[str, float], data: str, path: Path
) -> None:
    """Draws the distribution of each method on a logarithmic scale."""
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.42 * len(groups)), layout="constrained")
    axis.boxplot(
        [_errors(group) for group in groups.values()],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        showmeans=True,
        widths=0.6,
        meanprops={"marker": "x", "markeredgecolor": "tab:red"},
        medianprops={"color": "tab:red"},
    )
    rows = np.arange(1, len(groups) + 1)
    paper, row_of = _published(groups), dict(zip(groups, rows, strict=True))
    published = [(error, row_of[name]) for name, error in paper.items()]
    if data == "sprites" and published:
        axis.plot(*zip(*published, strict=True), "D", color="tab:blue", label="paper")
    for (name, value), colour in zip(
        trivial.items(), ("0.2", "0.4", "0.6", "tab:green"), strict=True
    ):
        label = name.replace("_", " ")
        axis.axvline(value, color=colour, linestyle=":", label=label, zorder=0)
    axis.set_yticks(rows, list(groups))
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="squared error on [-1, 1]", title=f"Held-out triplets, {data}")
    # Matplotlib's own labels of half a decade run into each other.
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3, axis="x", which="both")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
