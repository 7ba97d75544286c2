r"""Prints, as JSON, how many puppets a second one core draws. Run it with OMP_NUM_THREADS=1."""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "pose_appearance"))

from pose_appearance.data.puppets import make_pose, pose_grid, render, sample_appearances


def images_per_second(size: int, identities: int = 240, poses: int = 24) -> float:
    appearances = sample_appearances(identities, np.random.default_rng(0))
    pose = make_pose(*pose_grid(poses))
    render(appearances, pose[:1], size)

    start = time.perf_counter()
    for index in range(poses):
        render(appearances, pose[index : index + 1], size)
    return identities * poses / (time.perf_counter() - start)


if __name__ == "__main__":
    print(
        json.dumps(
            {f"images_per_second_{size}": round(images_per_second(size)) for size in (32, 64, 128)}
        )
    )
