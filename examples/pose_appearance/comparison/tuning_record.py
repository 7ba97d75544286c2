"""The weights that tuning chose: `compare.py --tune` makes the records, and comparisons read them."""

__all__ = ["RECORDS", "TUNED", "read_record", "tuned"]

import json
from functools import cache
from pathlib import Path
from typing import Any

from model.presets import PRESETS

RECORDS = Path(__file__).parents[1] / "results" / "tuning"
"""What was tried and what was chosen on validation identities, a file for each data."""

TUNED = {"puppets": "tiny", "sprites": "small"}
"""The data that tuning is made on, and the preset that it is made with."""

WEIGHTS = {"mu", "cycle_weight", "adversary_weight", "similarity_weight"}
"""The options that are in proportion to the reconstruction loss."""


@cache
def read_record(data: str) -> dict[str, dict[str, Any]]:
    """Gives the trials of each method and what was chosen, nothing where there are none.

    Arguments:
        data: The name of the data.
    """
    path = RECORDS / f"{data}.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    if "paper" not in record and "robust" in record:
        # Records of version 0.1, where the full model of the paper was named so.
        record["paper"] = record.pop("robust")
    return record


def tuned(data: str, preset: str, method: str) -> dict[str, float]:
    """Gives the options that tuning chose for a method, none where it was not tuned. Data without trials take those of puppets.

    At another size than that of the trials the reconstruction loss is a sum over as many times more pixels: what has to outweigh it,
    and the rate at which λ gets there, is multiplied by that. γ is a price of one nat in nats, and the same at any size.
    """
    source = data if data in TUNED else "puppets"
    chosen = read_record(source).get(method, {}).get("chosen", {})
    factor = (PRESETS[preset].size / PRESETS[TUNED[source]].size) ** 2
    return {name: value * factor if name in WEIGHTS else value for name, value in chosen.items()}
