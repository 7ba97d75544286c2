"""The model without L_MI, Table 1 a, with γ by eq. (24)."""

__all__ = ["Variational"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class VariationalOptions:
    """The variational bound alone."""

    initial_gamma: float = 5.0
    """The first weight γ of the variational bound."""


@method
class Variational(Method):
    """Creates the model without L_MI, Table 1 a, with γ by eq. (24)."""

    Options = VariationalOptions
    source = "Table 1 a"
    adds = "γ KL alone, whose γ rises where I_T' exceeds ε, eq. (24)"
    column = "a"
    published_error = 0.0068
    keeps_epsilon = True
    trials = {
        "puppets": tuple({"initial_gamma": x} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"initial_gamma": x} for x in (1.0, 3.0)),
    }

    @classmethod
    def gamma_and_multiplier(cls, options: VariationalOptions) -> dict[str, nn.Module]:
        gamma = weights.VariationalGamma(options.initial_gamma)
        return {"gamma": gamma, "multiplier": weights.FixedMultiplier(0)}
