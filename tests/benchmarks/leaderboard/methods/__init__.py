"""The methods by name."""

from . import adversaries, bounds, kernels, linear, ours, plain, predictions, rlace
from .base import Method

__all__ = ["METHODS", "Method"]

METHODS: dict[str, Method] = {
    **plain.METHODS,
    **linear.METHODS,
    **rlace.METHODS,
    **adversaries.METHODS,
    **kernels.METHODS,
    **bounds.METHODS,
    **predictions.METHODS,
    **ours.METHODS,
}
