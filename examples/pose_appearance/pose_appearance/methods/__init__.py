"""What the encoders and the decoder are trained for: each method is a module that registers it."""

from ..registry import import_modules
from .method import METHODS, Method, RecipeOptions, Setting, Step, method

__all__ = ["METHODS", "Method", "RecipeOptions", "Setting", "Step", "method"]

import_modules(__name__, __path__)


def _order(name: str) -> tuple[bool, str, str]:
    """Sorts the constraint first, then the columns of Table 1, then all others by name."""
    column = METHODS[name].column
    return column is None, column or "", name


METHODS.sort(_order)
