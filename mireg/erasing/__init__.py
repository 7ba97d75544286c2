"""Takes a concept out of frozen embeddings: a map is learnt once, and then called on any row."""

from .eraser import Eraser

__all__ = ["Eraser"]
