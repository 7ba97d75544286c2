"""What the encoders and the decoder are trained for: a reconstruction loss, and a regularizer."""

from .reconstruction import RECONSTRUCTIONS
from .robust import OBJECTIVES, build_objective

__all__ = ["OBJECTIVES", "RECONSTRUCTIONS", "build_objective"]
