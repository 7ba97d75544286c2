"""Draws appearances in poses: `python synthesize.py RUN --appearance A.png --pose P.png`."""

from pose_appearance.programs.command import run
from pose_appearance.programs.synthesize import SynthesizeOptions, main

if __name__ == "__main__":
    run(main, SynthesizeOptions)
