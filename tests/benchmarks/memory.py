"""Whether a pass over more images than fit into memory keeps it flat: `python tests/benchmarks/memory.py --out memory.json`.

Synthetic images are written into a file, and then served as training serves them: batches of pairs from the sampler, and all images once in random order.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "pose_appearance"))

from pose_appearance.data.image_set import ImageSet
from pose_appearance.data.pairs import PairSampler
from pose_appearance.data.stored import store_images


def resident(name: str = "VmRSS") -> float:
    """Gives the memory of this process in MB: now, or as `"VmHWM"` the highest since :func:`forget_peak`. Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1e3


def forget_peak() -> None:
    """Lets the highest memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Writes, reads and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument(
        "--folder", type=Path, help="where to put the file, a temporary folder by default"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (1000, options.size, options.size, 3), np.uint8)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        images = store_images(
            Path(folder) / "images.npy",
            (noise[i % 1000] for i in range(options.count)),
            options.count,
            options.size,
        )
        identity = np.arange(options.count) // 100
        image_set = ImageSet(images, identity, np.full(options.count, "train"))
        sampler = PairSampler(image_set.subset("train"), 8, 4, options.size, seed=0)
        sampler.batch_at(0)
        before, start, memory = resident(), time.perf_counter(), []
        order = random.permutation(options.count)
        for index, rows in enumerate(np.array_split(order, options.count // 100)):
            images[rows]
            sampler.batch_at(index)
            if index % (options.count // 1000) == 0:
                memory.append(resident())
        seconds = time.perf_counter() - start
        result = {
            "images": options.count,
            "file_mb": images.path.stat().st_size / 1e6,
            "resident_before_mb": before,
            "resident_highest_mb": max(memory),
            "resident_last_mb": memory[-1],
            "images_per_second": options.count * 1.4 / seconds,
        }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
