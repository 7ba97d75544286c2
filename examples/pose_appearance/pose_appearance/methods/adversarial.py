"""The model without the variational bound, Table 1 b."""

__all__ = ["Adversarial"]

from dataclasses import dataclass

from torch import nn

from mireg import weights

from .method import Method, method


@dataclass(frozen=True)
class AdversarialOptions:
    """The adversary alone."""

    mu: float = 1.0
    """The rate of the multiplier λ, and the weight of the square of the violation."""


@method
class Adversarial(Method):
    """Creates the model without the variational bound, Table 1 b."""

    Options = AdversarialOptions
    source = "Table 1 b"
    adds = "L_MI alone, no KL"
    column = "b"
    published_error = 0.0057
    trials = {
        "puppets": tuple({"mu": x} for x in (0.3, 1.0, 3.0)),
        "sprites": tuple({"mu": x} for x in (1.2, 0.4)),
    }
    proportional = ("mu",)

    @classmethod
    def gamma_and_multiplier(cls, options: AdversarialOptions) -> dict[str, nn.Module]:
        return {"gamma": weights.FixedGamma(0), "multiplier": weights.Multiplier(options.mu)}
