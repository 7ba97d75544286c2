"""Prints what a folder of `run.sh` holds as a short table: `python tests/gpu/summary.py FOLDER`."""

import json
import re
import sys
from pathlib import Path


def read(path: Path) -> dict:
    """Reads a JSON file, or gives nothing where there is none."""
    return json.loads(path.read_text()) if path.is_file() else {}


def parts(folder: Path) -> list[str]:
    """Says how each part ended."""
    ends = {"0": "ok", "124": "stopped by its limit", "137": "killed", "skipped": "no time left"}
    path = folder / "parts.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = []
    for line in lines:
        name, code, seconds = line.split()
        rows.append(f"{name:9} {ends.get(code, f'failed ({code})'):21} {seconds:>4} s")
    return rows


def tests(folder: Path) -> list[str]:
    """Returns pytest's last line, and the failures."""
    path = folder / "tests.txt"
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    failed = [line[:160] for line in lines if re.match(r"(FAILED|ERROR) ", line)]
    return failed + [f"tests: {line}" for line in lines[-1:]]


def cost(folder: Path) -> list[str]:
    """Returns a line for each way and batch."""
    found = read(folder / "cost.json")
    if not found:
        return []
    rows = [f"cost on {found['device']}, torch {found['torch']}: ms a step (ratio)"]
    for row in found["rows"]:
        name = f"  {row['way']}, {row['batch']}:"
        if "of" not in row:
            rows.append(f"{name} {row.get('error') or row.get('skipped')}"[:160])
            continue
        times = [f"{kind} {x['ms']:.3f} ({x['ratio']:.2f})" for kind, x in row["of"].items()]
        rows.append(f"{name} {', '.join(times)}")
    return rows


def flagship(folder: Path) -> list[str]:
    """Returns what the run and its judges say."""
    metrics = read(folder / "run" / "metrics.json")
    rows = []
    if metrics:
        chosen = ("steps", "seconds", "images_per_second", "data_share", "mi_average", "kl")
        shown = (f"{name} {metrics[name]:.4g}" for name in chosen if name in metrics)
        rows.append(f"flagship: {', '.join(shown)}")
    triplets = read(folder / "run" / "evaluation.json").get("triplets")
    if triplets:
        rows.append(f"triplets: mean {triplets['mean']:.5f}, median {triplets['median']:.5f}")
    judged = read(folder / "audited" / "evaluation.json")
    for name in ("audit", "audit_body"):
        if name in judged:
            report = judged[name]
            shown = (f"{key} {report[key]:.4g}" for key in ("mi", "standard_error", "lower_bound"))
            rows.append(f"{name}: {', '.join(shown)}, verdict {report['verdict']}")
    return rows


def main(folder: Path) -> None:
    for line in parts(folder) + tests(folder) + cost(folder) + flagship(folder):
        print(line)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
