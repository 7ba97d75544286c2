"""The problems that `honesty.py` trains on, by name: two codes that must not tell of each other, and a task that would rather that they did."""

from honesty_base import Problem
from honesty_images import Letters, Puppets, Sprites
from honesty_synthetic import (
    Alike,
    AlikeSlowing,
    Dollars,
    FewLabels,
    FewVectors,
    Labels,
    NoLeak,
    Strong,
    Vectors,
    Wide,
    Wide16,
    Wide64,
)
from honesty_tables import Adult, AdultStrict, AdultWide, Age, Rare, Survey

PROBLEMS: dict[str, type[Problem]] = {
    "vectors": Vectors,
    "wide": Wide,
    "wide_16": Wide16,
    "wide_64": Wide64,
    "strong": Strong,
    "labels": Labels,
    "few_labels": FewLabels,
    "few_vectors": FewVectors,
    "alike": Alike,
    "alike_slowing": AlikeSlowing,
    "table": Survey,
    "puppets": Puppets,
    "adult_05": Adult,
    "adult_01": AdultStrict,
    "adult_wide": AdultWide,
    "rare": Rare,
    "age": Age,
    "dollars": Dollars,
    "no_leak": NoLeak,
    "letters": Letters,
    "sprites": Sprites,
}
