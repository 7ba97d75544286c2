"""A β-VAE (Higgins et al., ICLR 2017)."""

__all__ = ["BetaVAE"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class BetaVAEOptions:
    """The β-VAE."""

    beta: float = 5.0
    """The weight β of the KL."""


@method
class BetaVAE(Method):
    """Creates a β-VAE (Higgins et al., ICLR 2017)."""

    Options = BetaVAEOptions
    source = "Higgins et al., 2017"
    adds = "β KL, with β fixed"
    published_error = 0.047
    trials = {
        "puppets": tuple({"beta": x} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"beta": x} for x in (1.0, 3.0)),
    }

    @classmethod
    def gamma_and_multiplier(cls, options: BetaVAEOptions) -> dict[str, nn.Module]:
        gamma = weights.FixedGamma(options.beta)
        return {"gamma": gamma, "multiplier": weights.FixedMultiplier(0)}
