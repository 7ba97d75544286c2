"""Data sets: each is a module that registers its reader, and becomes an :class:`ImageSet`."""

from ..registry import import_modules
from .data_set import DATA_SETS, DataSet, data_set, load, sequence
from .image_set import ImageSet

__all__ = ["DATA_SETS", "DataSet", "ImageSet", "data_set", "load", "sequence"]

import_modules(__name__, __path__)
