"""How soon the default critic finds what frozen codes reveal: `python tests/benchmarks/frozen_codes.py --out frozen.json`.

No encoder is trained. The codes of `few_samples.py` reveal a known amount about a label of three classes, given to the critic as a label or as a code. What
critics find late, an encoder that changes every step can hide.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from few_samples import Kind, draw, shift, spread, strength_of

import mireg

KINDS: dict[str, Kind] = {
    "mean of 16 features": shift(3, 16),
    "mean of 64 features": shift(3, 64),
    "spread of 16 features": spread(3, 16),
    "spread of 64 features": spread(3, 64),
}
STEPS = (50, 100, 200, 400, 800)
NATS = (0.08, 0.3)
BATCH = 256


def readings(name: str, nats: float, as_code: bool, seed: int) -> list[float]:
    """Returns the moving average of the critic's estimate after some numbers of steps."""
    kind, random = KINDS[name], np.random.default_rng(seed)
    strength = strength_of(kind, nats)
    torch.manual_seed(seed)
    alpha = {"alpha_features": 3} if as_code else {"classes": 3}
    critic = mireg.ClassifierMI(kind.features, **alpha)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    found = []
    for step in range(1, STEPS[-1] + 1):
        x, y = draw(kind, strength, BATCH, random)
        pi, label = torch.from_numpy(x).float(), torch.from_numpy(y).long()
        one_hot = torch.nn.functional.one_hot(label, 3).float()
        noisy = one_hot + 0.05 * torch.randn(BATCH, 3)
        penalty = critic.eval()(pi, noisy if as_code else label)
        optimizer.zero_grad()
        penalty.critic_loss.backward()
        optimizer.step()
        critic.update(penalty)
        if step in STEPS:
            found.append(round(float(critic.average.value), 3))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, rows = time.process_time(), []
    print("| codes | α | nats |", " | ".join(f"{step} steps" for step in STEPS), "|")
    print("| --- " * (3 + len(STEPS)) + "|")
    for name in KINDS:
        for as_code in (False, True):
            for nats in NATS:
                found = readings(name, nats, as_code, options.seed)
                read = "code" if as_code else "label"
                rows.append({"codes": name, "alpha": read, "nats": nats, "readings": found})
                print(f"| {name} | {read} | {nats} |", *(f"{x:.3f} |" for x in found), flush=True)
    known = {"torch": torch.__version__, "machine": platform.machine(), "seed": options.seed}
    used = {"steps": STEPS, "cpu_seconds": time.process_time() - start}
    options.out.write_text(json.dumps({**known, **used, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
