"""Transfer and retrieval across categories that no pair of training images mixes (Sec. 4.3)."""

__all__ = ["category_errors", "category_grid", "category_picks"]

import numpy as np
from data.image_set import ImageSet
from data.pairs import Triplets
from model.presets import PoseAppearanceModel
from PIL import Image

from .drawing import device_of
from .pictures import grid_of


def category_errors(
    image_set: ImageSet, triplets: Triplets, errors: np.ndarray
) -> dict[str, float]:
    """Splits triplet errors by whether appearance and pose come from one category.

    Arguments:
        image_set: The images of the triplets, with the factor "category".
        triplets: The indices into them.
        errors: The error of each.
    """
    category = image_set.factors["category"]
    same = category[triplets.x1] == category[triplets.x3]
    parts = {"mean_within_categories": errors[same], "mean_across_categories": errors[~same]}
    return {name: float(values.mean()) for name, values in parts.items() if len(values)}


def category_picks(image_set: ImageSet, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses `count` images of appearance and as many of pose from each category, of different identities where there are enough."""
    random = np.random.default_rng(seed)
    category, identity = image_set.factors["category"], image_set.identity
    picks: list[list[int]] = [[], []]
    for value in np.unique(category):
        names = random.permutation(np.unique(identity[category == value]))
        for i in range(2 * count):
            index = np.flatnonzero(identity == names[i % len(names)])
            picks[i // count].append(int(random.choice(index)))
    return np.array(picks[0]), np.array(picks[1])


def category_grid(
    model: PoseAppearanceModel, image_set: ImageSet, count: int = 3, seed: int = 0
) -> Image.Image:
    """Draws poses across and appearances down, `count` of each category.

    Arguments:
        model: The model.
        image_set: The images to choose from, with the factor "category".
        count: How many poses and appearances of each category.
        seed: Chooses the images.
    """
    appearance, pose = category_picks(image_set, count, seed)
    size, device = model.options.size, device_of(model)
    return grid_of(model.transfer, image_set, appearance, pose, size, device)
