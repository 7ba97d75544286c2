"""The regularizer of each method: the constraint of the library, and by the published recipe Table 1 of the paper."""

__all__ = ["COLUMNS", "OBJECTIVES", "build_objective"]

from collections.abc import Callable
from typing import Any

from model.presets import ModelOptions
from training.options import TrainOptions

import mireg
from mireg import weights


def build_objective(options: TrainOptions, sizes: ModelOptions) -> mireg.Regularizer:
    """Builds the regularizer of a run. T and T' are always there, so that all methods report the same numbers.

    Arguments:
        options: The options of the run.
        sizes: The sizes of the model.
    """
    features = sizes.pi_features, sizes.alpha_features
    ranks = mireg.Ranks(gather=True)
    if options.objective == "robust":
        return mireg.RobustMIConstraint(*features, epsilon=options.epsilon, ranks=ranks)
    return mireg.RobustMIConstraint.paper(
        *features,
        epsilon=options.epsilon,
        critic=lambda: mireg.ConcatenatedCritic(
            *features, sizes.critic_width, octaves=options.octaves
        ),
        negatives=mireg.pairs.ShiftedNegatives(4),
        ranks=ranks,
        **COLUMNS[options.objective](options),
    )


def watch(options: TrainOptions) -> dict[str, Any]:
    """Gives the weights of T and T' that report and never interfere: the penalty is 0."""
    return {"gamma": weights.FixedGamma(0), "multiplier": weights.FixedMultiplier(0)}


def beta(options: TrainOptions) -> dict[str, Any]:
    """Gives the weights of a KL with a fixed price, `--initial-gamma`, and nothing else."""
    return {
        "gamma": weights.FixedGamma(options.initial_gamma),
        "multiplier": weights.FixedMultiplier(0),
    }


COLUMNS: dict[str, Callable[[TrainOptions], dict[str, Any]]] = {
    # Table 1 e: eqs. (18) to (23).
    "paper": lambda options: {
        "gamma": weights.RobustGamma(options.initial_gamma),
        "multiplier": weights.Multiplier(options.mu),
    },
    # Table 1 a: no L_MI, and γ by eq. (24).
    "variational": lambda options: {
        "gamma": weights.VariationalGamma(options.initial_gamma),
        "multiplier": weights.FixedMultiplier(0),
    },
    # Table 1 b: no L_VB.
    "adversarial": lambda options: {
        "gamma": weights.FixedGamma(0),
        "multiplier": weights.Multiplier(options.mu),
    },
    # Table 1 c: nothing draws γ down.
    "equal": lambda options: {
        "gamma": weights.RobustGamma(options.initial_gamma, bias=0),
        "multiplier": weights.Multiplier(options.mu),
    },
    # Table 1 d.
    "fixed": lambda options: {
        "gamma": weights.FixedGamma(1),
        "multiplier": weights.Multiplier(options.mu),
    },
    # Higgins et al., 2017.
    "bvae": beta,
    # The rest of each of these is in the file of its name.
    "cyclevae": beta,
    "atsdm": watch,
    "drnet": watch,
    "supervised": watch,
}
"""By name, the weights γ and λ in the published recipe, in which critics learn from a batch before they are asked about it."""

OBJECTIVES = ("robust", *COLUMNS)
"""All methods."""
