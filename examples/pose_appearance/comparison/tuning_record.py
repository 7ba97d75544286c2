"""The weights that tuning chose: `compare.py --tune` writes the record, and every comparison reads it."""

__all__ = ["RECORD", "tuned"]

import json
from functools import cache
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "results" / "tuning" / "tuning.json"
"""What was tried, and what was best on validation identities."""


@cache
def _chosen(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    return {name: entry["chosen"] for name, entry in json.loads(path.read_text()).items()}


def tuned(method: str) -> dict[str, Any]:
    """Gives the options that tuning chose for a method, none where it was not tuned."""
    return _chosen(RECORD).get(method, {})
