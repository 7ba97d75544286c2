"""Sequences of poses of one identity, to drive others with."""

__all__ = ["sequence"]

import numpy as np

from .image_set import ImageSet


def sequence(
    data: str,
    image_set: ImageSet,
    identity: int,
    which: int = 0,
    *,
    identities: int,
    seed: int,
    frames: int = 24,
) -> np.ndarray:
    """Gives a sequence of images of an identity.

    Arguments:
        data: The name of the data set, as in :func:`data.load`.
        image_set: Its images, or some of them.
        identity: The identity.
        which: Which animation and view: puppets, creatures and sprites have several, and start again after the last.
        identities: How many characters were drawn; for puppets and creatures, which are drawn anew.
        seed: The seed that they were drawn with.
        frames: The number of frames of a cycle, likewise.

    Returns:
        The images, uint8 with shape (T, H, W, 3). Of a folder they are all of the identity, in the order of their names.
    """
    own = np.flatnonzero(image_set.identity == identity)
    if not len(own):
        raise ValueError(f"{image_set.name} must have images of identity {identity}, got none")
    random, size = np.random.default_rng(seed), image_set.size
    phases = np.arange(frames) / frames
    if data == "puppets":
        from . import puppets

        animation, view = _pick(puppets.ANIMATIONS, 3 * which), _pick(puppets.VIEWS, 2 + 4 * which)
        appearance = puppets.sample_appearances(identities, random)[identity]
        pose = puppets.make_pose(animation, view, phases)
        return puppets.render(appearance[None], pose, size)[0]
    if data == "creatures":
        from . import creatures

        animation, view = _pick(creatures.ANIMATIONS, which), _pick(creatures.VIEWS, 2 + 4 * which)
        appearance = creatures.sample_appearances(identities, random)[identity]
        poses = [creatures.make_motion(animation, view, phase) for phase in phases]
        return np.concatenate([creatures.render(appearance[None], pose, size)[0] for pose in poses])
    if data == "sprites" and image_set.pose is not None:
        from .sprites import LENGTHS

        ends = np.cumsum(LENGTHS)
        # A walk to the right, then the others in some order of animations and views.
        part = (11 + 7 * which) % len(LENGTHS)
        wanted = np.arange(ends[part] - LENGTHS[part], ends[part])
        order = own[np.argsort(image_set.pose[own])]
        return image_set.images[order[np.isin(image_set.pose[order], wanted)]]
    return image_set.images[own]


def _pick(names: dict, which: int) -> str:
    return list(names)[which % len(names)]
