"""What a regularizer adds to a step of perceptrons on vectors: `python tests/gpu/cost.py`.

Steps with each regularizer and without take turns in one process. Times are medians over rounds,
and ratios medians of the ratios of a round. Steps without are measured twice, so that the ratio of
`none again` shows how far two equal steps differ. `captured` replays a CUDA graph of all of a step.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from vector_steps import ALPHA, PI, Captured, Training, make_batch

WAYS = {
    "eager": ("none", "none again", "classifier", "robust", "paper"),
    "captured": ("none", "none again", "classifier", "robust", "paper"),
    "compiled": ("none", "none again", "robust"),
    "compiled and captured": ("none", "none again", "robust"),
}
"""The regularizers that each way is measured with. A compilation takes long."""

FAILURES = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)
"""What compilers and captures raise."""


def seconds_of(step: Callable[[], object], count: int, device: str) -> float:
    """Returns the time of a step, from the device's own clock where it has one."""
    if device != "cuda":
        start = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - start) / count
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for _ in range(count):
        step()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1000 / count


class Trainings:
    """Makes the trainings of a batch size. A compiled one is kept: it can be captured as well."""

    def __init__(self, batch: int, device: str, width: int) -> None:
        self.batch, self.device, self.width = make_batch(batch, 0, device), device, width
        self.compiled: dict[str, Training] = {}

    def step(self, way: str, kind: str) -> Callable[[], object]:
        """Returns a step that has been warmed up."""
        if way.startswith("compiled"):
            training = self.compiled.get(kind) or self.made(kind)
            if kind not in self.compiled:
                training.compile(backend="inductor" if self.device == "cuda" else "aot_eager")
                self.compiled[kind] = training
        else:
            training = self.made(kind)
        for _ in range(3):
            training.step(self.batch)
        if way.endswith("captured"):
            captured = Captured(training.step, self.batch)
            # Holds what the graph reads and writes, which its bound method alone lets go of.
            return lambda: captured.graph.replay()
        return lambda: training.step(self.batch)

    def made(self, kind: str) -> Training:
        return Training(kind.removesuffix(" again"), self.device, self.width)


def compare(steps: dict[str, Callable[[], object]], device: str, rounds: int, count: int) -> dict:
    """Lets steps take turns, and returns the time of each, and how it compares with `none`."""
    for step in steps.values():
        seconds_of(step, count, device)
    times = [
        {name: 1000 * seconds_of(step, count, device) for name, step in steps.items()}
        for _ in range(rounds)
    ]
    found = {}
    for name in steps:
        own = [x[name] for x in times]
        found[name] = {
            "ms": statistics.median(own),
            "ms_quartiles": statistics.quantiles(own, n=4)[::2] if rounds > 1 else own * 2,
            "added_ms": statistics.median(x[name] - x["none"] for x in times),
            "ratio": statistics.median(x[name] / x["none"] for x in times),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--width", type=int, default=512, help="hidden units of the networks")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--steps", type=int, default=20, help="steps in a round")
    parser.add_argument("--seconds", type=float, default=600, help="start no new row after these")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    start = time.monotonic()
    device = options.device
    on_gpu = device == "cuda"
    about = {
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "features": [PI, ALPHA],
        "width": options.width,
        "rounds": options.rounds,
        "steps": options.steps,
    }
    rows: list[dict] = []
    trainings = {batch: Trainings(batch, device, options.width) for batch in options.batch}
    for way in options.ways:
        kinds = WAYS[way]
        for batch in options.batch:
            row: dict = {"batch": batch, "way": way}
            if way.endswith("captured") and not on_gpu:
                row["skipped"] = "needs a CUDA device"
            elif time.monotonic() - start > options.seconds:
                row["skipped"] = f"no time left after {options.seconds:g} s"
            else:
                began = time.monotonic()
                try:
                    steps = {kind: trainings[batch].step(way, kind) for kind in kinds}
                    row["of"] = compare(steps, device, options.rounds, options.steps)
                except FAILURES as error:
                    # One way that fails must not take the others along.
                    row["error"] = f"{type(error).__name__}: {error}"[:2000]
                row["seconds"] = time.monotonic() - began
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.out:
                options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    if any("error" in row for row in rows):
        raise SystemExit("error: some steps could not be measured, see above")


if __name__ == "__main__":
    main()
