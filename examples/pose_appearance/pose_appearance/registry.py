"""What is added as one file: a table that the modules of a package enter themselves into."""

__all__ = ["Registry", "import_modules"]

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar


class Named(Protocol):
    """Anything that a module defines: a class or a function."""

    __module__: str


T = TypeVar("T")


class Registry(dict[str, T]):
    """Creates a table of what modules register, each under the name of its module.

    Arguments:
        kind: What is registered, for errors.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()

        self.kind = kind

    def add(self, thing: T, of: Named) -> None:
        """Enters a thing under the name of the module that defines a class or a function."""
        name = of.__module__.rpartition(".")[2]
        if name in self:
            raise ValueError(f"{of.__module__} must register one {self.kind}, got two")
        self[name] = thing

    def sort(self, key: Callable[[str], Any]) -> None:
        """Sorts the table, in place.

        Arguments:
            key: Gives what a name is sorted by.
        """
        items = sorted(self.items(), key=lambda item: key(item[0]))
        self.clear()
        self.update(items)

    def __missing__(self, name: str) -> NoReturn:
        raise ValueError(f"the {self.kind} must be one of {', '.join(sorted(self))}, got {name!r}")


def import_modules(package: str, path: list[str]) -> None:
    """Imports all modules of a package, in the order of their names, so that they register.

    Arguments:
        package: The `__name__` of the package.
        path: Its `__path__`.
    """
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        importlib.import_module(f"{package}.{module}")
