"""The model with γ = 1, Table 1 d."""

__all__ = ["Fixed"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class FixedOptions:
    """The model with γ = 1."""

    mu: float = 1.0
    """The rate of the multiplier λ, and the weight of the square of the violation."""


@method
class Fixed(Method):
    """Creates the model with γ = 1, Table 1 d."""

    Options = FixedOptions
    source = "Table 1 d"
    adds = "L_MI and γ KL with γ = 1"
    column = "d"
    keeps_epsilon = True
    trials = {
        "puppets": tuple({"mu": x} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"mu": x} for x in (4.0, 12.0)),
    }
    proportional = ("mu",)

    @classmethod
    def gamma_and_multiplier(cls, options: FixedOptions) -> dict[str, nn.Module]:
        return {"gamma": weights.FixedGamma(1), "multiplier": weights.Multiplier(options.mu)}
