r"""Regularizers that keep the mutual information between two representations below a target."""

__version__ = "0.2.0"

from . import estimators, functional, leakage, pairs, ranks, weights
from .auditing import AuditReport, audit
from .certificates import Certificate, certify
from .critics import (
    ConcatenatedCritic,
    Critic,
    LabelCritic,
    SeparableCritic,
    SumCritic,
    default_critic,
)
from .encoders import Codes, EncoderPair, diagonal_gaussian
from .erasing import Eraser
from .priors import LearnableGaussian, StandardNormal
from .quantized import QuantizedEncoder
from .ranks import Ranks
from .regularizers import (
    ClassifierMI,
    Penalty,
    PerAttribute,
    Regularizer,
    RobustMIConstraint,
    VariationalBound,
    joint_label,
)

__all__ = [
    "RobustMIConstraint",
    "ClassifierMI",
    "VariationalBound",
    "PerAttribute",
    "joint_label",
    "Regularizer",
    "Penalty",
    "audit",
    "AuditReport",
    "certify",
    "Certificate",
    "EncoderPair",
    "Codes",
    "diagonal_gaussian",
    "QuantizedEncoder",
    "Eraser",
    "StandardNormal",
    "LearnableGaussian",
    "Critic",
    "SeparableCritic",
    "ConcatenatedCritic",
    "SumCritic",
    "LabelCritic",
    "default_critic",
    "Ranks",
    "weights",
    "estimators",
    "pairs",
    "leakage",
    "functional",
    "ranks",
]
