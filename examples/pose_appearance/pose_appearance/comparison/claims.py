"""What the comparison must show, judged on its numbers."""

__all__ = ["claims", "leak"]

import numpy as np

from ..methods import METHODS
from ..studies.run import Run, compared
from ..studies.section import Section, Table

TEXT = (
    "Two claims of the paper, judged on the numbers above. Honest methods are those in whose codes "
    "fresh critics find at most 2 ε, of the appearance code or of the type of body. A critic is "
    "overpowered if in a run it reads at most ε, and fresh critics or the shadow at least 3 ε."
)


def leak(run: Run) -> float:
    """Returns the most that fresh critics find in the pose codes of a run, in nats.

    That is of the appearance code, or of the type of body.
    """
    found = run.result("audit")
    return max(report["mi"] for report in found.values())


def claims(runs: list[Run]) -> Section | None:
    """Judges whether robust is best among honest methods, and the adversarial one overpowered."""
    section = Section("What it shows", TEXT)
    rows = []
    for data, of_one in compared(runs).items():
        for name, judge in (("robust is best", _best), ("overpowering", _overpowered)):
            verdict = judge(of_one)
            if verdict is not None:
                shown, why = verdict
                rows.append([data, name, "yes" if shown else "no", why])
                section.numbers[f"{data}: {name}"] = {"shown": shown, "why": why}
    section.tables.append(Table("", ["data", "claim", "shown", "why"], rows))
    return section if rows else None


def _means(runs: list[Run], method: str) -> dict[str, float]:
    """Returns what makes a method best, averaged over its seeds."""
    chosen = [run for run in runs if run.method == method]
    return {
        "fresh": float(np.mean([leak(run) for run in chosen])),
        "median": float(np.mean([np.median(run.errors) for run in chosen])),
    }


def _best(runs: list[Run]) -> tuple[bool, str] | None:
    """Judges whether `robust` has the lowest median triplet error among honest methods.

    Methods that are given the poses do not compete.
    """
    methods = [m for m in dict.fromkeys(r.method for r in runs) if not METHODS[m].given_poses]
    if "robust" not in methods or len(methods) < 2:
        return None
    epsilon = runs[0].options.epsilon
    means = {method: _means(runs, method) for method in methods}
    honest = {m: v["median"] for m, v in means.items() if v["fresh"] <= 2 * epsilon}
    if "robust" not in honest:
        return False, f"fresh critics find {means['robust']['fresh']:.3f} nats in its codes"
    order = sorted(honest, key=lambda method: honest[method])
    listed = ", ".join(f"{method} {honest[method]:.4f}" for method in order)
    return order[0] == "robust", f"medians of honest methods: {listed}"


def _overpowered(runs: list[Run]) -> tuple[bool, str] | None:
    """Judges whether a run without the bound shows what the bound is for."""
    chosen = [run for run in runs if run.method == "adversarial"]
    if not chosen:
        return None
    epsilon, shown, seeds = runs[0].options.epsilon, False, []
    for run in chosen:
        fresh = leak(run)
        mi, shadow = run.metrics["mi_average"], run.metrics["mi_shadow_average"]
        shown |= mi <= epsilon and max(shadow, fresh) >= 3 * epsilon
        seeds.append(f"I_T {mi:.3f}, I_T' {shadow:.3f}, fresh critics {fresh:.3f}")
    return shown, f"{'; '.join(seeds)}; ε {epsilon:g}"
