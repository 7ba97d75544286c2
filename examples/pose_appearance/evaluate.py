"""Evaluates a run on characters that it never saw: `python evaluate.py RUN`."""

from pose_appearance.programs.command import run
from pose_appearance.programs.evaluate import EvaluateOptions, main

if __name__ == "__main__":
    run(main, EvaluateOptions)
