"""PKU VehicleID of Liu et al. (2016): vehicles seen from the front and from behind by surveillance
cameras.

The authors' page, https://www.pkuml.org/resources/pku-vehicleid.html, tells how to ask for it. It
is for research.
"""

__all__ = ["vehicleid"]

from pathlib import Path

from .data_set import data_set
from .decoding import Picture, assemble
from .image_set import ImageSet
from .lists import read_rows
from .places import actual, find_root

LISTS = {"train": "train_list.txt", "test": "test_list_2400.txt"}


@data_set()
def vehicleid(
    root: Path, size: int = 64, resize: bool = True, images_per_identity: int | None = None
) -> ImageSet:
    """Reads the images that the published lists name.

    Arguments:
        root: The folder that has `image` and `train_test_split`.
        size: The side of the square images in pixels: 130,000 images of 64x64 take 1.6 GB of
            memory.
        resize: Whether images are scaled to fit, keeping their aspect, and padded; otherwise
            another size is an error.
        images_per_identity: The most images to take of a vehicle, evenly spaced; None takes all.

    Returns:
        The published split, with the largest test set that its authors report on, of 2400 vehicles.
        Poses are unknown.
    """
    root = find_root(root, ("train_test_split",), ("image",))
    pictures = []
    for split, name in LISTS.items():
        path = root / "train_test_split" / name
        for image, vehicle in read_rows(path, 2):
            if not (image.isdigit() and vehicle.isdigit()):
                raise ValueError(f"{path} must hold numbers only, got {image!r} and {vehicle!r}")
            pictures.append(Picture(actual(root / "image" / f"{image}.jpg"), int(vehicle), split))
    return assemble(pictures, "vehicleid", size, resize, images_per_identity)
