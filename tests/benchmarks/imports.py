"""What `import mireg` adds to `import torch`: `python tests/benchmarks/imports.py`, the median over processes."""

import argparse
import json
import statistics
import subprocess
import sys

CODE = """
import time
import torch
start = time.perf_counter()
import mireg
print(1000 * (time.perf_counter() - start))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    times = [
        float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(options.rounds)
    ]
    print(json.dumps({"milliseconds": statistics.median(times), "rounds": options.rounds}))


if __name__ == "__main__":
    main()
