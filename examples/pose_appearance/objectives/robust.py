"""The full model of the paper, eqs. (18) to (23)."""

__all__ = ["robust"]

import mireg


def robust(
    pi_features: int, alpha_features: int, epsilon: float, initial_gamma: float
) -> mireg.Regularizer:
    """Builds the constraint with T, T', an adaptive weight and a multiplier: column e of Table 1."""
    return mireg.RobustMIConstraint(
        pi_features, alpha_features, epsilon=epsilon, initial_gamma=initial_gamma, pairs="all"
    )
