r"""Regularizers that keep the mutual information between two representations below a target, in nats."""

__version__ = "0.1.0"

from . import distributed, functional, leakage
from .auditing import AuditReport, audit
from .controllers import FixedGamma, MovingAverage, Multiplier, RobustGamma, VariationalGamma
from .critics import (
    ConcatenatedCritic,
    ConvolutionalCritic,
    Critic,
    LabelCritic,
    SeparableCritic,
    SumCritic,
    default_critic,
)
from .encoders import Codes, EncoderPair, diagonal_gaussian
from .estimators import CriticEstimator
from .priors import LearnableGaussian, StandardNormal
from .regularizers import ClassifierMI, Penalty, Regularizer, RobustMIConstraint, VariationalBound

__all__ = [
    "RobustMIConstraint",
    "ClassifierMI",
    "VariationalBound",
    "Regularizer",
    "Penalty",
    "audit",
    "AuditReport",
    "EncoderPair",
    "Codes",
    "diagonal_gaussian",
    "StandardNormal",
    "LearnableGaussian",
    "CriticEstimator",
    "Critic",
    "ConcatenatedCritic",
    "SeparableCritic",
    "SumCritic",
    "ConvolutionalCritic",
    "LabelCritic",
    "default_critic",
    "RobustGamma",
    "VariationalGamma",
    "FixedGamma",
    "Multiplier",
    "MovingAverage",
    "leakage",
    "functional",
    "distributed",
]
