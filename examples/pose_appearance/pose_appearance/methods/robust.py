"""The constraint of the library, which ε alone sets."""

__all__ = ["Robust"]

import mireg

from .method import Method, NoOptions, Setting, method


@method
class Robust(Method):
    """Creates the method of the library: reconstruction and :class:`mireg.RobustMIConstraint`."""

    source = "mireg.RobustMIConstraint"
    adds = (
        "L_MI, which holds the greater of I_T and I_T' at ε, and γ KL; λ finds the scale of L_rec, "
        "and γ is a fraction of it"
    )
    column = ""
    critics_first = False
    keeps_epsilon = True
    # Nothing to tune: one trial, for the record.
    trials = {"puppets": ({},), "sprites": ({},)}

    @classmethod
    def regularizer(cls, options: NoOptions, setting: Setting) -> mireg.Regularizer:
        ranks = mireg.Ranks(gather=True)
        return mireg.RobustMIConstraint(*setting.features, epsilon=setting.epsilon, ranks=ranks)
