"""From a command line to a function, and from errors to what a user reads."""

__all__ = ["run"]

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from ..training.trainer import Diverged

Options = TypeVar("Options")


def run(main: Callable[[Options], int | None], options: type[Options]) -> None:
    """Reads options from the command line, calls a function with them, and ends the process.

    Arguments:
        main: The function: it may return an exit code.
        options: The type of its options.
    """
    try:
        sys.exit(main(tyro.cli(options)))
    except (Diverged, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
