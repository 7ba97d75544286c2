"""Writes the arrays of all tasks, for a machine without their packages: `python
tests/benchmarks/leaderboard/prepare.py FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tasks


def main() -> None:
    """Writes them, and prints what is left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    tasks.prepare(parser.parse_args().folder)


if __name__ == "__main__":
    main()
