"""GOT-10k of Huang, Zhao and Huang (2019): objects in videos, cut out by their boxes.

http://got-10k.aitestunion.com/downloads has, after a registration, 9515 tracks with boxes, 66 GB.
"""

__all__ = ["got10k"]

from pathlib import Path

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .places import contents, find_root
from .tracks import FRAMES, frames_of, tracks_in


@data_set()
def got10k(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = FRAMES
) -> ImageSet:
    """Reads `train/GOT-10k_Train_000001/00000001.jpg` … with `groundtruth.txt` beside the frames.

    Arguments:
        root: The folder that has `train` and `val`.
        size: The side of the square images in pixels.
        resize: Whether the squares around the boxes are scaled to it; otherwise another size is an
            error.
        images_per_identity: The most frames to take of a track, evenly spaced; None takes all.

    Returns:
        The published training and validation tracks: the boxes of the test are not public. Frames
        where the object is absent are left out. Poses are unknown.
    """
    root = find_root(root, ("train",), ("val",))
    pictures: list[Picture] = []
    for split in ("train", "val"):
        tracks = tracks_in(root / split)
        if not tracks:
            raise FileNotFoundError(
                f"{root / split} must have tracks like "
                f"GOT-10k_{split.title()}_000001/groundtruth.txt: "
                f"{contents(root / split)}"
            )
        for track in tracks:
            pictures += frames_of(track, track, split, [track / "absence.label"])
    return assemble(pictures, "got10k", size, resize, images_per_identity)
