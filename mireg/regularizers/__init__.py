r"""Regularizers: their interface, the three of the paper, and one for several attributes."""

from .attributes import PerAttribute, joint_label
from .base import Regularizer, Scaled, Sum
from .classifier import ClassifierMI
from .metrics import MetricName, Metrics
from .penalty import Penalty
from .robust import RobustMIConstraint
from .variational import VariationalBound

__all__ = [
    "ClassifierMI",
    "MetricName",
    "Metrics",
    "Penalty",
    "PerAttribute",
    "Regularizer",
    "RobustMIConstraint",
    "Scaled",
    "Sum",
    "VariationalBound",
    "joint_label",
]
