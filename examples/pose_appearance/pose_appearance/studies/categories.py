"""Transfer and retrieval across categories that no pair of training images mixes (Sec. 4.3)."""

__all__ = ["Categories", "category_errors", "category_grid", "category_picks"]

from typing import Any

import numpy as np
from PIL import Image

from ..data import DATA_SETS, ImageSet
from ..data.pairs import Triplets, within_and_across
from ..model.presets import PoseAppearanceModel
from .drawing import device_of
from .pictures import grid_of
from .run import Run
from .section import Section, Table, number, retrieval_table
from .study import Study, study

TEXT = (
    "Bipeds, quadrupeds and birds: two images of a pair are always of one creature, so that "
    "nothing in training says what a pose of a bird is on a horse. View, animation and phase mean "
    "the same in all. Triplet errors within and across categories, and the precision of retrieval "
    "by pose code among creatures of other categories. Pictures: poses across, appearances down; "
    "nearest pose codes of other categories; a film."
)


def category_errors(
    image_set: ImageSet, triplets: Triplets, errors: np.ndarray
) -> dict[str, float]:
    """Splits triplet errors by whether appearance and pose come from one category.

    Arguments:
        image_set: The images of the triplets, with the factor "category".
        triplets: The indices into them.
        errors: The error of each.
    """
    parts = within_and_across(image_set.factors["category"], triplets, errors)
    return {f"mean_{name}_categories": float(values.mean()) for name, values in parts.items()}


def category_picks(image_set: ImageSet, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses `count` images of appearance and as many of pose from each category, of different
    identities where there are enough.
    """
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


@study
class Categories(Study):
    """Creates the picture of transfers across categories, and the page of Sec. 4.3."""

    def applies(self, run: Run) -> bool:
        return "category" in run.images.factors

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        category_grid(run.model, run.held_out).save(run.folder / "categories.png")
        return {}

    def section(self, runs: list[Run]) -> Section | None:
        section = Section("Sec. 4.3: across categories", TEXT)
        for run in runs:
            if not DATA_SETS[run.options.data].categories:
                continue
            triplets = run.result("triplet_error")["triplets"]
            parts = ("mean_within_categories", "mean_across_categories")
            errors = {name: triplets[name] for name in parts if name in triplets}
            header = [name.replace("_", " ") for name in errors]
            cells = [number(value, 4) for value in errors.values()]
            section.tables.append(Table(f"{run.method}: triplet errors", header, [cells]))
            retrieval = run.result("retrieval").get("retrieval", {})
            found = retrieval.get("across_categories", {})
            section.numbers[run.folder.name] = {**errors, "retrieval": found}
            if found:
                caption = f"{run.method}: precision of retrieval among other categories"
                section.tables.append(retrieval_table(caption, {"": found}))
            names = {
                "categories.png": "transfer",
                "retrieval_across.png": "nearest pose codes",
                "animation.gif": "film",
            }
            for name, title in names.items():
                section.show(f"{run.method}: {title}", run.folder / name)
        return section if section.tables else None
