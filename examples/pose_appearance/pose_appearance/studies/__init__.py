"""What a trained model is worth, in numbers and pictures: each study is a module."""

from ..registry import import_modules
from .run import Effort, Run
from .study import STUDIES, Study, study

__all__ = ["STUDIES", "Effort", "Run", "Study", "study"]

import_modules(__name__, __path__)
