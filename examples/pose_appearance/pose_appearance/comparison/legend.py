"""What each method is, so that the page can be read alone."""

__all__ = ["legend"]

from ..methods import METHODS
from ..studies.run import Run
from ..studies.section import Section, Table

TEXT = (
    "Two images of one identity go in, x1 for the appearance code α and x2 for the pose code π, "
    "and a decoder draws x2 again: L_rec is the error. All methods share encoders, decoder, data "
    "order, steps and optimizers, and differ in what they add to it. ε is the target of the mutual"
    " information of π and α, in nats. T and T' estimate it in all of them, and only watch where a"
    " method has no use for them."
)


def legend(runs: list[Run]) -> Section:
    """Explains the methods of some runs."""
    names = {run.method for run in runs}
    rows = [[name, x.source, x.adds] for name, x in METHODS.items() if name in names]
    return Section("Methods", TEXT, [Table("", ["method", "source", "beside L_rec"], rows)])
