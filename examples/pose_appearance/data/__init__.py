"""Data sets, each read into an :class:`ImageSet`."""

from pathlib import Path

from .image_set import ImageSet

__all__ = ["ImageSet", "load"]


def load(
    name: str,
    root: Path | None = None,
    *,
    size: int = 64,
    resize: bool = True,
    test_fraction: float = 0.2,
    identities: int = 240,
    poses: int = 160,
    seed: int = 0,
    store: Path | None = None,
) -> ImageSet:
    """Loads a data set by name.

    Arguments:
        name: "puppets", which are drawn, or "sprites" or "folder", which are read.
        root: Where the files of sprites and folders are.
        size: The size of puppets, and of the images of a folder.
        resize: Whether images of a folder are scaled to it; otherwise another size is an error.
        test_fraction: The share of identities held out, for puppets and folders.
        identities: The number of puppets.
        poses: The number of poses of each puppet.
        seed: The seed of puppets and of the split.
        store: Where to keep the images of a folder in a file, instead of in memory.
    """
    if name == "puppets":
        from .puppets import puppets

        return puppets(
            identities=identities, poses=poses, size=size, seed=seed, test_fraction=test_fraction
        )
    if name not in ("sprites", "folder"):
        raise ValueError(f"the data must be 'puppets', 'sprites' or 'folder', got {name!r}")
    if root is None:
        raise ValueError(f"{name} are read from files: say where they are with --data-root DIR")
    if not Path(root).exists():
        raise FileNotFoundError(f"there is nothing at --data-root {root}")
    if name == "sprites":
        from .sprites import sprites

        return sprites(Path(root))
    from .folder import folder

    return folder(
        Path(root),
        size=size,
        test_fraction=test_fraction,
        seed=seed,
        resize=resize,
        store=store,
    )
