"""DeepFashion, In-shop Clothes Retrieval Benchmark, of Liu et al. (2016): models who wear one item,
from several sides.

The authors' page, https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html, tells how to ask for it.
It is for research.
"""

__all__ = ["deepfashion"]

from pathlib import Path

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .lists import read_rows
from .places import actual, find_root

STATUS = {"train": "train", "query": "test", "gallery": "test"}


@data_set()
def deepfashion(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = None
) -> ImageSet:
    """Reads the images that `list_eval_partition.txt` names.

    Arguments:
        root: The folder that has `Eval/list_eval_partition.txt`, or the list itself, and `Img/img`
            or `img`.
        size: The side of the square images in pixels; those of the benchmark are 256x256.
        resize: Whether images are scaled to it; otherwise another size is an error.
        images_per_identity: The most images to take of an identity, evenly spaced; None takes all.

    Returns:
        The published split, with queries and gallery in the test. An identity is an item in one
        colour, on one model: the item and the number that a file's name begins with, since
        `02_1_front.jpg` and `04_1_front.jpg` of one item look different. Poses are unknown: sides
        that are equal do not make equal poses.
    """
    lists = ("Eval/list_eval_partition.txt", "list_eval_partition.txt")
    root = find_root(root, lists, ("Img/img", "img"))
    path = next(root / name for name in lists if (root / name).is_file())
    images = next(folder for folder in (root / "Img", root) if (folder / "img").is_dir())
    rows = read_rows(path, 3, skip=2)
    count = next(iter(path.read_text().split()), "")
    if count != str(len(rows)):
        raise ValueError(
            f"{path} must name as many images as its first line says, {count!r}, got {len(rows)}: "
            "it may be truncated"
        )
    pictures = []
    for name, item, status in rows:
        if status not in STATUS:
            raise ValueError(f"{path} must say train, query or gallery of {name}, got {status!r}")
        variant = Path(name).name.split("_")[0]
        pictures.append(Picture(actual(images / name), (item, variant), STATUS[status]))
    return assemble(pictures, "deepfashion", size, resize, images_per_identity)
