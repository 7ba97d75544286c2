"""The full model of the paper, Table 1 e: eqs. (18) to (23) by the published recipe."""

__all__ = ["Paper"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class PaperOptions:
    """The full model of the paper."""

    initial_gamma: float = 5.0
    """The first weight γ of the variational bound."""
    mu: float = 1.0
    """The rate of the multiplier λ, and the weight of the square of the violation."""


@method
class Paper(Method):
    """Creates the full model of the paper, Table 1 e: eqs. (18) to (23) by the published recipe."""

    Options = PaperOptions
    source = "Table 1 e"
    adds = (
        "L_MI, which holds I_T at ε, and γ KL, whose γ rises where I_T' exceeds I_T, "
        "eqs. (18) to (23)"
    )
    column = "e"
    published_error = 0.0026
    keeps_epsilon = True
    trials = {
        "puppets": tuple({"initial_gamma": x, "mu": 1.0} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"initial_gamma": x, "mu": 4.0} for x in (1.0, 3.0)),
    }
    proportional = ("mu",)

    @classmethod
    def gamma_and_multiplier(cls, options: PaperOptions) -> dict[str, nn.Module]:
        return {
            "gamma": weights.RobustGamma(options.initial_gamma),
            "multiplier": weights.Multiplier(options.mu),
        }
