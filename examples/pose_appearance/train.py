"""Trains the pose/appearance model: `python train.py --help` tells how."""

from pose_appearance.programs.command import run
from pose_appearance.programs.train import main
from pose_appearance.training.options import TrainOptions

if __name__ == "__main__":
    run(main, TrainOptions)
