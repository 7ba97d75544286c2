"""The model with b_γ = 0, Table 1 c: nothing draws γ down."""

__all__ = ["Equal"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class EqualOptions:
    """The model with b_γ = 0."""

    initial_gamma: float = 5.0
    """The first weight γ of the variational bound."""
    mu: float = 1.0
    """The rate of the multiplier λ, and the weight of the square of the violation."""


@method
class Equal(Method):
    """Creates the model with b_γ = 0, Table 1 c: nothing draws γ down."""

    Options = EqualOptions
    source = "Table 1 c"
    adds = "as paper, with b_γ = 0: nothing draws γ down"
    column = "c"
    keeps_epsilon = True
    trials = {
        "puppets": tuple({"initial_gamma": x, "mu": 1.0} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"initial_gamma": x, "mu": 4.0} for x in (3.0, 1.0)),
    }
    proportional = ("mu",)

    @classmethod
    def gamma_and_multiplier(cls, options: EqualOptions) -> dict[str, nn.Module]:
        return {
            "gamma": weights.RobustGamma(options.initial_gamma, bias=0),
            "multiplier": weights.Multiplier(options.mu),
        }
