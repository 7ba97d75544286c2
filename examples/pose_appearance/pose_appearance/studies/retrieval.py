"""Retrieval of held-out images by pose code: other identities in the same pose should be nearest
(Fig. 1).
"""

__all__ = [
    "Retrieval",
    "matches",
    "pose_codes",
    "precision_at",
    "retrieval_picture",
    "retrieval_scores",
]

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data import ImageSet
from ..methods import METHODS
from ..model.presets import PoseAppearanceModel
from .drawing import encode
from .pictures import tile
from .run import Run, compared
from .section import Section, retrieval_table
from .study import Study, study

TEXT = (
    "The share of the nearest pose codes of other held-out identities that have the same pose, "
    "view or animation, or are within an eighth of its cycle; frames of hits are green, of misses "
    "red. Seed 0."
)

PHASE_TOLERANCE = 1 / 8
"""Phases match up to this share of a cycle."""


def pose_codes(model: PoseAppearanceModel, image_set: ImageSet) -> Tensor:
    """Returns the means of the pose codes of images, with shape (N, pi_features)."""
    return encode(
        model.pose_encoder, image_set.images, model.options.size, head=lambda output: output[0]
    )


def matches(image_set: ImageSet, queries: np.ndarray) -> dict[str, Tensor]:
    """Returns, for all that is known of poses, which images match which queries.

    Arguments:
        image_set: The images.
        queries: Indices of the queries, with shape (Q,).

    Returns:
        By name, booleans with shape (Q, N). Phases match within the same animation only, and up to
        an eighth of a cycle.
    """
    found: dict[str, np.ndarray] = {}
    pose, factors = image_set.pose, image_set.factors
    if pose is not None:
        found["pose"] = (pose[queries, None] == pose[None]) & (pose[queries, None] >= 0)
    for name in ("view", "animation"):
        if name in factors:
            found[name] = factors[name][queries, None] == factors[name][None]
    if {"view", "animation", "phase"} <= factors.keys():
        apart = np.abs(factors["phase"][queries, None] - factors["phase"][None])
        near = np.minimum(apart, 1 - apart) <= PHASE_TOLERANCE + 1e-9
        found["phase"] = found["animation"] & near
        found["view and phase"] = found["view"] & found["phase"]
    return {name: torch.from_numpy(values) for name, values in found.items()}


def precision_at(distance: Tensor, match: Tensor, allowed: Tensor, count: int) -> float:
    """Returns the share of matches among the nearest, averaged over queries.

    Arguments:
        distance: Distances of queries to the gallery, with shape (Q, G).
        match: Whether an entry matches, with the same shape.
        allowed: Whether an entry is in the gallery of the query, with the same shape.
        count: How many of the nearest to look at; all, if a gallery has fewer.
    """
    nearest = (
        distance.masked_fill(~allowed, torch.inf)
        .topk(min(count, distance.shape[1]), 1, largest=False)
        .indices
    )
    hit, counted = (x.gather(1, nearest).double() for x in (match & allowed, allowed))
    return float((hit.sum(1) / counted.sum(1)).mean())


def retrieval_scores(
    codes: Tensor,
    image_set: ImageSet,
    counts: tuple[int, ...] = (1, 5, 10),
    queries: int = 2000,
    seed: int = 1,
    across: str | None = None,
) -> dict[str, dict[str, float]]:
    """Measures retrieval by pose code among the images of other identities.

    Arguments:
        codes: The pose codes of the images, with shape (N, C).
        image_set: The images.
        counts: How many of the nearest to look at.
        queries: The number of queries, or all images if there are fewer.
        seed: Chooses the queries.
        across: A factor, like "category": only images that differ in it are in the gallery of a
            query.

    Returns:
        For all that is known of poses ("pose", "view" …), the precision at each count ("top_5" …)
        and that of a random order ("chance").
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(image_set))[:queries])
    allowed = torch.from_numpy(image_set.identity[chosen, None] != image_set.identity[None])
    if across is not None:
        values = image_set.factors[across]
        allowed &= torch.from_numpy(values[chosen, None] != values[None])
    # A query of which nothing is like it can find nothing.
    distance = torch.cdist(codes[chosen], codes)
    scores = {}
    for name, match in matches(image_set, chosen).items():
        rows = (match & allowed).any(1)
        if rows.any():
            parts = distance[rows], match[rows], allowed[rows]
            scores[name] = {f"top_{n}": precision_at(*parts, n) for n in counts}
            share = (parts[1] & parts[2]).sum(1) / parts[2].sum(1)
            scores[name]["chance"] = float(share.double().mean())
    return scores


def retrieval_picture(
    codes: Tensor,
    image_set: ImageSet,
    count: int = 10,
    queries: int = 8,
    seed: int = 0,
    across: str | None = None,
) -> Image.Image:
    """Draws queries in the first column, and the nearest images of other identities, one of each,
    in the order of their distance.

    Where poses are known, the same pose has a green frame, or the same view and phase, and another
    a red one.

    Arguments:
        codes: The pose codes of the images, with shape (N, C).
        image_set: The images.
        count: How many of the nearest to draw.
        queries: The number of queries.
        seed: Chooses the queries.
        across: A factor in which the images must differ from the query.
    """
    random = np.random.default_rng(seed)
    rows: list[list[np.ndarray | None]] = []
    for query in random.permutation(len(image_set))[:queries]:
        others = image_set.identity != image_set.identity[query]
        if across is not None:
            values = image_set.factors[across]
            others &= values != values[query]
        distance = torch.cdist(codes[query : query + 1], codes)[0].numpy()
        order = np.argsort(np.where(others, distance, np.inf), kind="stable")[: others.sum()]
        _, first = np.unique(image_set.identity[order], return_index=True)
        nearest = order[np.sort(first)][:count]
        known = list(matches(image_set, np.array([query])).values())
        hits = known[-1][0][nearest].tolist() if known else [None] * len(nearest)
        found = [_framed(image_set.images[i], hit) for i, hit in zip(nearest, hits, strict=True)]
        rows.append([_framed(image_set.images[query], None), *found])
    return tile(rows, zoom=max(1, 128 // image_set.size))


def _framed(image: np.ndarray, hit: bool | None) -> np.ndarray:
    """Draws a frame around an image: green for a hit, red for a miss, dark where neither is
    known.
    """
    colour = {True: (46, 139, 87), False: (205, 60, 50), None: (60, 60, 60)}[hit]
    framed = np.full_like(image, colour)
    framed[2:-2, 2:-2] = image[2:-2, 2:-2]
    return framed


@study
class Retrieval(Study):
    """Creates the study of nearest pose codes; across categories too, where there are some."""

    help = "Find held-out images of other characters in the same pose, by their pose codes."
    scope = "explained"

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        gallery = run.gallery
        codes = pose_codes(run.model, gallery)
        retrieval_picture(codes, gallery).save(run.folder / "retrieval.png")
        result: dict[str, Any] = {"gallery": len(gallery), **retrieval_scores(codes, gallery)}
        if "category" in gallery.factors:
            picture = retrieval_picture(codes, gallery, across="category")
            picture.save(run.folder / "retrieval_across.png")
            result["across_categories"] = retrieval_scores(codes, gallery, across="category")
        return {"retrieval": result}

    def section(self, runs: list[Run]) -> Section | None:
        section = Section("Fig. 1: retrieval by pose code", TEXT)
        order = list(METHODS)
        for data, of_one in compared(runs).items():
            chosen = [run for run in of_one if run.result("retrieval")]
            chosen.sort(key=lambda run: order.index(run.method))
            found = {run.method: run.result("retrieval")["retrieval"] for run in chosen}
            for run in chosen:
                section.numbers[run.folder.name] = found[run.method]
                if run.method == "robust":
                    section.show(f"{run.method}, {data}", run.folder / "retrieval.png")
            if found:
                count = found[chosen[0].method]["gallery"]
                caption = f"{data}: precision of retrieval among {count} images"
                section.tables.append(retrieval_table(caption, found))
        return section if section.tables else None
