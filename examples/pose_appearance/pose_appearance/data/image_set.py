"""The one type that every data set becomes."""

__all__ = ["ImageSet"]

from dataclasses import dataclass, field, replace

import numpy as np

from .stored import StoredImages


@dataclass(frozen=True)
class ImageSet:
    """Images of identities in poses."""

    images: np.ndarray | StoredImages
    """The images, uint8 with shape (N, H, W, 3): in memory, or in a file."""
    identity: np.ndarray
    """The identity of each image, int64 with shape (N,)."""
    split: np.ndarray
    """The split of each image, "train", "val" or "test", with shape (N,): an identity is in one
    only."""
    pose: np.ndarray | None = None
    """The pose of each image, int64 with shape (N,): equal numbers mean the same pose, -1 an
    unknown one."""
    keypoints: np.ndarray | None = None
    """The keypoints of each image in pixels, x then y, float32 with shape (N, K, 2)."""
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    """What else is known of each image, by name, each with shape (N,): words, or numbers like the
    phase of an animation in [0, 1)."""
    name: str = "images"
    """What the set is called."""

    def __post_init__(self) -> None:
        images = self.images
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 with shape (N, H, W, 3), got {images.dtype} with shape "
                f"{images.shape}"
            )
        fields = ("identity", "split", "pose", "keypoints")
        known = {**{name: getattr(self, name) for name in fields}, **self.factors}
        for name, values in known.items():
            if values is not None and len(values) != len(images):
                raise ValueError(
                    f"{name} must have one entry for each of {len(images)} images, got "
                    f"{len(values)}"
                )
        unknown = set(np.unique(self.split)) - {"train", "val", "test"}
        if unknown:
            raise ValueError(f"splits must be train, val or test, got {sorted(unknown)}")
        _, first, inverse = np.unique(self.identity, return_index=True, return_inverse=True)
        stray = self.split != self.split[first][inverse]
        if stray.any():
            raise ValueError(
                "an identity must be in one split only, "
                f"got identity {self.identity[stray][0]} in several"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """The longer side of the images, in pixels."""
        return max(self.images.shape[1:3])

    def subset(self, *splits: str) -> "ImageSet":
        """Returns the images of some splits: a view where they lie together, as readers sort them,
        else a copy.
        """
        chosen = np.isin(self.split, splits)
        rows = np.flatnonzero(chosen)
        together = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
        return self.take(slice(rows[0], rows[-1] + 1) if together else chosen)

    def take(self, rows: slice | np.ndarray) -> "ImageSet":
        """Returns some of the images: a view of a slice, else a copy."""
        fields = ("images", "identity", "split", "pose", "keypoints")
        values = {name: getattr(self, name) for name in fields}
        kept = {name: None if v is None else v[rows] for name, v in values.items()}
        return replace(self, **kept, factors={k: v[rows] for k, v in self.factors.items()})

    def mean_colour(self) -> np.ndarray:
        """Returns the mean colour of some 500 images on [-1, 1], float32 with shape (3,)."""
        some = np.asarray(self.images[:: max(1, len(self) // 500)])
        return (some.mean((0, 1, 2)) / 127.5 - 1).astype(np.float32)

    def in_memory(self, most: int | None = None) -> "ImageSet":
        """Returns the set with its images in memory; if they are in a file, at most so many of
        them, evenly spread.
        """
        if isinstance(self.images, np.ndarray):
            return self
        count = min(len(self), most or len(self))
        return self.take(np.linspace(0, len(self) - 1, count).astype(np.int64))
