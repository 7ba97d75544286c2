"""Removal of a concept from frozen embeddings, by a map that is fitted once."""

from .eraser import Eraser

__all__ = ["Eraser"]
