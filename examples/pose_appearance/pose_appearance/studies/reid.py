"""Whether a drawn image shows the identity that it should: re-identification among real images, as
in Table 2.
"""

__all__ = ["average_precision", "batch_hard_loss", "reid_scores", "train_reid"]

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import ImageSet
from ..data.pairs import PairSampler, Triplets
from .drawing import encode
from .fitting import fit, small_encoder

FEATURES = 64


def batch_hard_loss(codes: Tensor, groups: Tensor) -> Tensor:
    r"""Returns the batch-hard triplet loss with a soft margin, eq. (5) of Hermans et al., 2017,
    with :math:`\log(1 + e^x)` for the hinge.

    Arguments:
        codes: The codes, with shape (N, C).
        groups: Their identities, with shape (N,): at least 2 of them, with at least 2 codes each.
    """
    # A root of 0 has no gradient.
    square = (codes[:, None] - codes[None]).square().sum(2)
    distance = square.clamp(min=1e-9).sqrt()
    same = groups[:, None] == groups[None]
    farthest = distance.masked_fill(~same, 0).amax(1)
    nearest = distance.masked_fill(same, torch.inf).amin(1)
    return F.softplus(farthest - nearest).mean()


def train_reid(
    train: ImageSet, size: int, device: torch.device, steps: int = 600, seed: int = 0
) -> nn.Module:
    """Trains an encoder for re-identification on real images.

    Arguments:
        train: Images of training identities.
        size: The size to pad them to.
        device: Where to train.
        steps: The number of steps.
        seed: The seed.
    """
    network = small_encoder(size, FEATURES, seed).to(device)
    identities = min(16, len(np.unique(train.identity)))
    views = 3
    sampler = PairSampler(train, identities, views, size, seed)

    def loss_at(step: int) -> Tensor:
        x1, x2, groups = sampler.batch_at(step).to(device)
        codes = network(torch.cat((x1, x2)))
        return batch_hard_loss(codes, torch.cat((groups, groups.repeat_interleave(views))))

    fit([network], loss_at, steps, 1e-3, "re-identification")
    return network


def average_precision(distance: Tensor, relevant: Tensor, allowed: Tensor) -> Tensor:
    """Returns the average precision of each query.

    Arguments:
        distance: Distances of queries to the gallery, with shape (Q, G).
        relevant: Whether an entry is what the query looks for, with the same shape.
        allowed: Whether an entry is in the gallery of the query, with the same shape.

    Returns:
        The averages, over the relevant entries, of the precision down to them, with shape (Q,): nan
        where there are none.
    """
    order = distance.masked_fill(~allowed, torch.inf).argsort(dim=1, stable=True)
    hit = (relevant & allowed).gather(1, order).double()
    precision = hit.cumsum(1) / torch.arange(1, hit.shape[1] + 1, device=hit.device)
    return (precision * hit).sum(1) / hit.sum(1)


def reid_scores(
    network: nn.Module,
    size: int,
    held_out: ImageSet,
    triplets: Triplets,
    drawn: dict[str, np.ndarray],
) -> dict[str, float]:
    """Lets images query the real held-out ones, all but the two that made them.

    Arguments:
        network: The encoder of :func:`train_reid`.
        size: The size that it takes.
        held_out: The gallery.
        triplets: Their x1 says which identity a query should find. Neither x1 nor the target is in
            its gallery.
        drawn: The queries by name, uint8 with shape (N, H, W, 3).

    Returns:
        The mean average precision by name; "real" is that of the targets themselves, "chance" the
        share of relevant images.
    """
    gallery = encode(network, held_out.images, size)
    identity = torch.from_numpy(held_out.identity)
    allowed = torch.ones(len(triplets.x1), len(gallery), dtype=torch.bool)
    for index in (triplets.x1, triplets.target):
        allowed[torch.arange(len(allowed)), torch.from_numpy(index)] = False
    relevant = identity[triplets.x1][:, None] == identity[None]
    scores = {}
    for name, images in {"real": held_out.images[triplets.target], **drawn}.items():
        codes = encode(network, images, size)
        precision = average_precision(torch.cdist(codes, gallery), relevant, allowed)
        scores[name] = float(precision.nanmean())
    scores["chance"] = float((relevant & allowed).sum() / allowed.sum())
    return scores
