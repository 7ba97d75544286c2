"""Every method by name."""

__all__ = ["build_method"]

from data.image_set import ImageSet
from data.pairs import PairSampler
from model.presets import PoseAppearanceModel
from training.options import TrainOptions

import mireg

from .atsdm import ATSDM
from .cyclevae import CycleVAE
from .drnet import DrNet
from .objective import Objective
from .supervised import Supervised


def build_method(
    options: TrainOptions, model: PoseAppearanceModel, image_set: ImageSet
) -> Objective:
    """Builds the objective of a run.

    Arguments:
        options: The options of the run.
        model: The model, whose pose encoder `supervised` replaces.
        image_set: All images of the data, training and held out.
    """
    ranks = mireg.Ranks().count
    if options.objective in ("atsdm", "drnet") and ranks > 1:
        raise ValueError(
            f"{options.objective} trains networks of its own, which no rank averages: "
            f"start one process, got {ranks} ranks"
        )
    sizes = model.options
    if options.objective == "cyclevae":
        return CycleVAE(options.cycle_weight)
    if options.objective == "atsdm":
        count = options.identities_per_batch * options.views
        sampler = PairSampler(image_set.subset("train"), count, 1, sizes.size, options.seed)
        return ATSDM(
            sizes.pi_features,
            sizes.alpha_features,
            sampler,
            options.adversary_weight,
            first_step=options.classifier_share,
        )
    if options.objective == "drnet":
        if options.views < 2:
            raise ValueError(f"drnet needs pairs of poses: --views 2 or more, got {options.views}")
        return DrNet(sizes.pi_features, options.similarity_weight, options.adversary_weight)
    if options.objective == "supervised":
        Supervised.prepare(model, image_set)
        return Supervised()
    return Objective()
