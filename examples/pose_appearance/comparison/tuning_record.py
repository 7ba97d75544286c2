"""The weights that tuning chose: `compare.py --tune` makes the record, and comparisons at that size of the model read it."""

__all__ = ["RECORDS", "TUNED", "read_record", "tuned"]

import json
from functools import cache
from pathlib import Path
from typing import Any

from model.presets import PRESETS

RECORDS = Path(__file__).parents[1] / "results" / "tuning"
"""What was tried and what was best on validation identities, a file for each preset."""


TUNED = "tiny"
"""The preset that tuning is made with."""

WEIGHTS = {"mu", "cycle_weight", "adversary_weight", "similarity_weight"}
"""The options that are in proportion to the reconstruction loss."""


@cache
def read_record(preset: str) -> dict[str, dict[str, Any]]:
    """Gives the trials and the best one of each method, nothing where a preset was not tuned.

    Arguments:
        preset: The name of the sizes of the model.
    """
    path = RECORDS / f"{preset}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def tuned(preset: str, method: str) -> dict[str, float]:
    """Gives the options that tuning chose for a method, none where it was not tuned.

    Trials are made at the size of `tiny`. At another size the reconstruction loss is a sum over as many times more pixels: what has to outweigh it,
    and the rate at which λ gets there, is multiplied by that. γ is a price of one nat in nats, and the same at any size.
    """
    chosen = read_record(TUNED).get(method, {}).get("chosen", {})
    factor = (PRESETS[preset].size / PRESETS[TUNED].size) ** 2
    return {name: value * factor if name in WEIGHTS else value for name, value in chosen.items()}
