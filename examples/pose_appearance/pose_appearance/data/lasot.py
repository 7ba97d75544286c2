"""LaSOT of Fan et al. (2019): objects in videos, cut out by their boxes.

http://vision.cs.stonybrook.edu/~lasot/ has 1400 tracks, 230 GB.
"""

__all__ = ["lasot"]

from pathlib import Path

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .lists import read_rows
from .places import contents, find_root, visible
from .tracks import FRAMES, frames_of, tracks_in


@data_set()
def lasot(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = FRAMES
) -> ImageSet:
    """Reads `airplane/airplane-1/img/00000001.jpg` … with `groundtruth.txt` beside `img`.

    Arguments:
        root: The folder of the categories, with `testing_set.txt`, which names the tracks of the
            test.
        size: The side of the square images in pixels.
        resize: Whether the squares around the boxes are scaled to it; otherwise another size is an
            error.
        images_per_identity: The most frames to take of a track, evenly spaced; None takes all, 280
            GB of them.

    Returns:
        The published split, protocol II: 1120 tracks to train on and 280 for the test. Frames where
        the object is fully occluded or out of view are left out. Poses are unknown.
    """
    root = find_root(root, ("testing_set.txt",))
    tested = {name for (name,) in read_rows(root / "testing_set.txt", 1)}
    categories = [path for path in visible(root) if path.is_dir()]
    tracks = [track for category in categories for track in tracks_in(category)]
    if not tracks:
        raise FileNotFoundError(
            f"{root} must have tracks like airplane/airplane-1/groundtruth.txt: {contents(root)}"
        )
    pictures: list[Picture] = []
    for track in tracks:
        hidden = [f"{track}/full_occlusion.txt", f"{track}/out_of_view.txt"]
        split = "test" if track.name in tested else "train"
        pictures += frames_of(track, track / "img", split, [Path(path) for path in hidden])
    return assemble(pictures, "lasot", size, resize, images_per_identity)
