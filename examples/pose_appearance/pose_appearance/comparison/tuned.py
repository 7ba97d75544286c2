"""The weights that tuning chose, which are beside the methods: comparisons read them."""

__all__ = ["TUNED", "read_record", "tuned"]

import json
from functools import cache
from pathlib import Path
from typing import Any

from ..data import DATA_SETS
from ..methods import METHODS
from ..model.presets import PRESETS

TUNED = Path(__file__).parents[1] / "methods" / "tuned"
"""What was tried and what was chosen on validation identities: `<data>/<method>.json`."""


@cache
def read_record(data: str, method: str) -> dict[str, Any]:
    """Returns the trials of a method and what was chosen, nothing where there are none.

    Arguments:
        data: The name of the data.
        method: The name of the method.
    """
    path = TUNED / data / f"{method}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def tuned(data: str, preset: str, method: str) -> dict[str, float]:
    """Returns the options that tuning chose for a method, none where it was not tuned.

    Data without trials take those of puppets. At another size than that of the trials the
    reconstruction loss is a sum over as many times more pixels: what has to outweigh it, and the
    rate at which λ gets there, is multiplied by that. γ is a price of one nat in nats, and the same
    at any size.
    """
    source = data if DATA_SETS[data].tuned_with else "puppets"
    chosen = read_record(source, method).get("chosen", {})
    factor = (PRESETS[preset].size / PRESETS[DATA_SETS[source].tuned_with].size) ** 2
    proportional = METHODS[method].proportional
    return {k: value * factor if k in proportional else value for k, value in chosen.items()}
