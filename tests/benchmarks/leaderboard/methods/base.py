"""What a method is: a function from a task and one setting to codes, and the six settings that it
may be tried with.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

from tasks import Missing
from training import Codes


class Method(NamedTuple):
    """How codes are made, and the settings that are tried."""

    run: Callable[..., Codes]
    """Called with task, setting, seed and device."""
    settings: tuple[float, ...]
    of: str
    """What a setting is."""
    target: bool = False
    """Whether a setting asks for a leak in nats. Control errors are of these methods alone."""
    needs_attribute: bool = False
    """Whether the attribute has to be known where codes are made."""


TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def require(module: str, line: str) -> None:
    """Raises the line that installs a package if it is not there."""
    if importlib.util.find_spec(module) is None:
        raise Missing(line)
