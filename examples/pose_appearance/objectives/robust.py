"""The full model of the paper, eqs. (18) to (23)."""

__all__ = ["robust"]

import mireg

OCTAVES = 5
"""How fine the critics look at the pose code: its noise is some 0.07 where it is used most, and they must see as much."""


def robust(
    pi_features: int, alpha_features: int, epsilon: float, initial_gamma: float, mu: float
) -> mireg.Regularizer:
    """Builds the constraint with T, T', an adaptive weight and a multiplier: column e of Table 1."""
    critic, shadow = (
        mireg.ConcatenatedCritic(pi_features, alpha_features, octaves=OCTAVES) for _ in range(2)
    )
    return mireg.RobustMIConstraint(
        pi_features,
        alpha_features,
        epsilon=epsilon,
        critic=critic,
        shadow=shadow,
        initial_gamma=initial_gamma,
        pairs="all",
        mu=mu,
    )
