"""Saves the averaged weights of a run of the flagship: `python tests/gpu/weights.py RUN FILE`.

`torch.load` gives them back, for `load_state_dict` of a model of the same preset.
"""

import sys
from pathlib import Path

import torch


def main(run: Path, target: Path) -> None:
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    torch.save({name: x.clone() for name, x in state["averaged"].items()}, target)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
