"""Files that are written whole or not at all."""

__all__ = ["write_json"]

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Writes JSON beside its place, then moves it there: whoever is killed meanwhile leaves what
    was there before.

    Arguments:
        path: The file.
        content: Its content.
    """
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)
