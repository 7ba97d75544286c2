"""What each method is, so that the page can be read alone."""

__all__ = ["legend"]

from pathlib import Path

from .finished import FinishedRun
from .section import Section, Table

TEXT = (
    "Two images of one identity go in, x1 for the appearance code α and x2 for the pose code π, and a decoder draws x2 again: L_rec is the error. All methods share encoders, decoder, data order, steps "
    "and optimizers, and differ in what they add to it. ε is the target of the mutual information of π and α, in nats. T and T' estimate it in all of them, and only watch where a method has no use for them."
)

MEANINGS = {
    "robust": ("mireg.RobustMIConstraint", "L_MI, which holds the greater of I_T and I_T' at ε, and γ KL; λ finds the scale of L_rec, and γ is a fraction of it"),
    "paper": ("Table 1 e", "L_MI, which holds I_T at ε, and γ KL, whose γ rises where I_T' exceeds I_T, eqs. (18) to (23)"),
    "variational": ("Table 1 a", "γ KL alone, whose γ rises where I_T' exceeds ε, eq. (24)"),
    "adversarial": ("Table 1 b", "L_MI alone, no KL"),
    "equal": ("Table 1 c", "as paper, with b_γ = 0: nothing draws γ down"),
    "fixed": ("Table 1 d", "L_MI and γ KL with γ = 1"),
    "bvae": ("Higgins et al., 2017", "β KL, with β fixed"),
    "cyclevae": ("Jha et al., 2018", "β KL; one random pose drawn with two appearances is encoded alike"),
    "atsdm": ("Hadad et al., 2018", "α from a classifier of identities, frozen; an adversary must not tell the identity from π"),
    "drnet": ("Denton and Birodkar, 2017", "α of two images of an identity alike; a judge of two π must not tell whether they are of one identity"),
    "supervised": ("for VUNet, Esser et al., 2018", "nothing: π comes from the true keypoints"),
}  # fmt: skip
"""Source of each method, and what it adds to L_rec."""


def legend(runs: list[FinishedRun], out: Path) -> Section | None:
    """Explains the methods of some runs.

    Arguments:
        runs: The finished runs.
        out: The folder of the comparison.
    """
    names = dict.fromkeys(run.method for run in runs)
    rows = [[name, *MEANINGS[name]] for name in MEANINGS if name in names]
    return Section("Methods", TEXT, [Table("", ["method", "source", "beside L_rec"], rows)])
