"""What the encoders and the decoder are trained for: a reconstruction loss, a regularizer, and what a method adds."""

from .methods import build_method
from .objective import Objective, Step
from .reconstruction import RECONSTRUCTIONS
from .robust import COLUMNS, OBJECTIVES, build_objective

__all__ = [
    "COLUMNS",
    "OBJECTIVES",
    "RECONSTRUCTIONS",
    "Objective",
    "Step",
    "build_method",
    "build_objective",
]
