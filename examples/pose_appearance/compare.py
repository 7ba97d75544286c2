"""Compares every method of the paper on one model: `python compare.py --help` tells how."""

from pose_appearance.programs.command import run
from pose_appearance.programs.compare import CompareOptions, main

if __name__ == "__main__":
    run(main, CompareOptions)
