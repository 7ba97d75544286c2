"""Data sets, each read into an :class:`ImageSet`."""

from importlib import import_module
from pathlib import Path

from .image_set import ImageSet

__all__ = ["READERS", "ImageSet", "load"]

READERS = {
    "smallnorb": "smallnorb",
    "market1501": "market1501",
    "deepfashion": "deepfashion",
    "vehicleid": "vehicleid",
    "bbcpose": "bbcpose",
    "ntu": "ntu",
    "lasot": "tracking",
    "got10k": "tracking",
}
"""The published data sets that are scaled to the model, and the modules of their readers."""


def load(
    name: str,
    root: Path | None = None,
    *,
    size: int = 64,
    resize: bool = True,
    test_fraction: float = 0.2,
    identities: int = 800,
    poses: int = 48,
    seed: int = 0,
    images_per_identity: int | None = None,
    store: Path | None = None,
) -> ImageSet:
    """Loads a data set by name.

    Arguments:
        name: "puppets" or "creatures", which are drawn, or "sprites", "folder" or one of `READERS`, which are read.
        root: Where the files are.
        size: The size of the images; sprites keep theirs.
        resize: Whether images of files are scaled to it; otherwise another size is an error.
        test_fraction: The share of identities held out, for what is drawn and for folders.
        identities: The number of characters to draw.
        poses: The number of poses of each.
        seed: The seed of what is drawn, and of the split of a folder.
        images_per_identity: The most images to take of an identity. By default the reader decides: all, or some hundred of a video.
        store: Where to keep the images of a folder in a file, instead of in memory.
    """
    if images_per_identity is not None and name not in READERS:
        raise ValueError(f"images_per_identity is for {', '.join(READERS)}, got {name!r}")
    if name == "puppets":
        from .puppets import puppets

        return puppets(
            identities=identities, poses=poses, size=size, seed=seed, test_fraction=test_fraction
        )
    if name == "creatures":
        from .creatures import creatures

        return creatures(
            identities=identities, poses=poses, size=size, seed=seed, test_fraction=test_fraction
        )
    if name not in ("sprites", "folder", *READERS):
        raise ValueError(
            f"the data must be 'puppets', 'creatures', 'sprites', 'folder', {', '.join(map(repr, READERS))}, "
            f"got {name!r}"
        )
    if root is None:
        raise ValueError(f"{name} are read from files: say where they are with --data-root DIR")
    if not Path(root).exists():
        raise FileNotFoundError(f"there is nothing at --data-root {root}")
    if name == "sprites":
        from .sprites import sprites

        return sprites(Path(root))
    if name in READERS:
        read = getattr(import_module(f".{READERS[name]}", __name__), name)
        limit = {} if images_per_identity is None else {"images_per_identity": images_per_identity}
        return read(Path(root), size=size, resize=resize, **limit)
    from .folder import folder

    return folder(
        Path(root),
        size=size,
        test_fraction=test_fraction,
        seed=seed,
        resize=resize,
        store=store,
    )
