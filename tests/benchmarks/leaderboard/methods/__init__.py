"""The methods by name."""

from . import adversaries, bounds, kernels, linear, ours, plain, predictions
from .base import Method

__all__ = ["METHODS", "Method"]

METHODS: dict[str, Method] = {
    **plain.METHODS,
    **linear.METHODS,
    **adversaries.METHODS,
    **kernels.METHODS,
    **bounds.METHODS,
    **predictions.METHODS,
    **ours.METHODS,
}
