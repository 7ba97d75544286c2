r"""Regularizers: what they share, and the three of the paper."""

from .base import Penalty, Regularizer, Scaled, Sum
from .classifier import ClassifierMI
from .robust import RobustMIConstraint
from .variational import VariationalBound

__all__ = [
    "ClassifierMI",
    "Penalty",
    "Regularizer",
    "RobustMIConstraint",
    "Scaled",
    "Sum",
    "VariationalBound",
]
