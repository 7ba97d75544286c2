"""The full model of the paper, eqs. (18) to (23), and what Table 1 and Fig. 7 take away from it."""

__all__ = ["OBJECTIVES", "build_objective"]

from typing import Any

import mireg


def build_objective(
    name: str,
    pi_features: int,
    alpha_features: int,
    epsilon: float,
    initial_gamma: float,
    mu: float,
    pairs: int | str = 4,
    width: int = 256,
    octaves: int = 5,
) -> mireg.Regularizer:
    """Builds the regularizer of a name. T and T' are always there, so that all objectives report the same numbers."""
    critic, shadow = (
        mireg.ConcatenatedCritic(pi_features, alpha_features, width, octaves=octaves)
        for _ in range(2)
    )
    settings: dict[str, Any] = {
        "epsilon": epsilon,
        "critic": critic,
        "shadow": shadow,
        "initial_gamma": initial_gamma,
        "gather": True,
        "mu": mu,
        "pairs": pairs,
        # In batches this small critics read high after their step, and λ gets to where it has to be in minutes, not in hours.
        "test_then_train": False,
        # Sprites came out no better with the library's own choices: see results.
        "estimator": "mean_logit",
        "shadow_violation": False,
    }
    return mireg.RobustMIConstraint(pi_features, alpha_features, **{**settings, **OBJECTIVES[name]})


WATCH: dict[str, Any] = {"gamma": "fixed", "initial_gamma": 0.0, "lagrangian": False}
"""T and T' that report and never interfere: the penalty is 0."""

OBJECTIVES: dict[str, dict[str, Any]] = {
    "robust": {},
    # Table 1 a: no L_MI, and γ by eq. (24).
    "variational": {"gamma": "variational", "lagrangian": False},
    # Table 1 b: no L_VB.
    "adversarial": {"gamma": "fixed", "initial_gamma": 0.0},
    # Table 1 c.
    "equal": {"gamma_bias": 0.0},
    # Table 1 d.
    "fixed": {"gamma": "fixed", "initial_gamma": 1.0},
    # Higgins et al., 2017: --initial-gamma is β.
    "bvae": {"gamma": "fixed", "lagrangian": False},
    # The rest of each of these is in the file of its name; --initial-gamma weighs the KL of cyclevae.
    "cyclevae": {"gamma": "fixed", "lagrangian": False},
    "atsdm": WATCH,
    "drnet": WATCH,
    "supervised": WATCH,
}
"""By name, how the regularizer of an objective differs from column e of Table 1."""
