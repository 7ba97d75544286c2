r"""Legs, arms, wings and tails."""

__all__ = ["arm", "leg", "tail", "wing"]

import numpy as np

from .parts import Body


def leg(
    body: Body,
    root: np.ndarray,
    swing: float,
    bend: float,
    length: np.ndarray,
    radii: tuple[float, float, float],
    toe: float,
) -> np.ndarray:
    r"""Adds a leg of two segments and its foot; returns where the foot is."""
    thigh, shin = swing + 0.9 * bend, swing - 0.75 * bend
    knee = root + length[:, None] * [0.0, -np.cos(thigh), np.sin(thigh)]
    foot = knee + length[:, None] * [0.0, -np.cos(shin), np.sin(shin)]
    thick = body.look["build"] ** 0.5
    upper, middle, lower = (radius * thick for radius in radii)
    slim = radii[0] < 0.03
    body.add(root, knee, (upper, middle), "legs" if slim else "coat", coat=not slim)
    body.add(knee, foot, (middle, lower), "legs")
    tip = foot + toe * np.array([0.0, -0.1, 1.0])
    body.add(foot, tip, (1.1 * lower, lower), "legs")
    return foot


def arm(body: Body, shoulder: np.ndarray, side: int, raised: float, spread: float) -> np.ndarray:
    r"""Adds an arm of two segments; returns where the hand is."""

    def along(swing: float, wide: float) -> np.ndarray:
        return np.array(
            [side * np.sin(wide), -np.cos(wide) * np.cos(swing), np.cos(wide) * np.sin(swing)]
        )

    elbow = shoulder + 0.085 * along(raised, spread)
    hand = elbow + 0.08 * along(raised + 0.5, 0.75 * spread)
    body.add(shoulder, elbow, (0.042, 0.036), "coat", coat=True)
    body.add(elbow, hand, (0.036, 0.034), "legs")
    return hand


def wing(
    body: Body, chest: np.ndarray, up: np.ndarray, ahead: np.ndarray, side: int, raised: float
) -> np.ndarray:
    r"""Adds a wing, folded back at 0 and spread at 1; returns its tip."""
    out = np.array([float(side), 0.0, 0.0])
    angle = -0.5 + 1.5 * raised
    open_ = min(1.0, 1.4 * raised)
    shoulder = chest + 0.1 * body.look["build"][:, None] * out + 0.02 * up
    direction = open_ * (np.cos(angle) * out + np.sin(angle) * up) - (1 - open_) * (
        ahead + 0.25 * up
    )
    direction /= np.linalg.norm(direction)
    middle = shoulder + 0.09 * direction
    tip = middle + (0.07 + 0.09 * open_) * (direction - 0.45 * ahead)
    colour = 0.82 * body.look["coat"]
    body.add(shoulder, middle, (0.06, 0.064), colour, coat=True)
    body.add(middle, tip, (0.058, 0.018), colour)
    return tip


def tail(body: Body, root: np.ndarray, raised: float) -> None:
    r"""Adds a tail."""
    look = body.look
    length = np.select([look["tail"] == "short", look["tail"] == "long"], [0.03, 0.13], 0.1)
    width = np.where(look["tail"] == "bushy", 0.05, 0.024)
    direction = np.array([0.0, np.sin(raised), -np.cos(raised)])
    end = root + length[:, None] * direction
    body.add(root, end, (0.028, np.where(look["tail"] == "short", 0.036, width)), "coat", coat=True)
    body.joints["tail"] = end
