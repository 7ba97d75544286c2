"""What a study of a trained model is, for `evaluate.py` and for `compare.py`."""

__all__ = ["STUDIES", "Study", "study"]

from abc import ABC, abstractmethod
from typing import Any, Literal, TypeVar

from ..registry import Registry
from .run import Run
from .section import Section


class Study(ABC):
    """Creates a study: a measurement of a trained model, with pictures into the folder of its
    run.
    """

    name: str
    """Its name, that of its module: its file in a comparison."""
    help: str | None = None
    """What the option of its name does in `evaluate.py`; without it, every evaluation has it."""
    scope: Literal["all", "compared", "explained", "main"] = "all"
    """Which runs of a comparison it looks at: all, those on data that methods are compared on,
    seed 0 of the methods that the budget explains, or seed 0 of robust."""

    def applies(self, run: Run) -> bool:
        """Returns whether the data of a run have what it needs."""
        return True

    def gather(self, run: Run) -> Any:
        """Returns what all ranks work out together, each its share. By default that is nothing."""
        return None

    @abstractmethod
    def measure(self, run: Run, gathered: Any) -> dict[str, Any]:
        """Returns the numbers by name, and writes pictures, on one rank alone.

        Arguments:
            run: The run.
            gathered: What :meth:`gather` returned.
        """

    def text(self, result: dict[str, Any]) -> str:
        """Returns what to print of the numbers."""
        return ""

    def section(self, runs: list[Run]) -> Section | None:
        """Returns the part of a report that shows what was found in some runs, if there is one."""
        return None


STUDIES: Registry[Study] = Registry("study")
"""All studies by name."""

S = TypeVar("S", bound=type[Study])


def study(cls: S) -> S:
    """Registers a study under the name of its module."""
    made = cls()
    STUDIES.add(made, of=cls)
    made.name = next(name for name, x in STUDIES.items() if x is made)
    return cls
