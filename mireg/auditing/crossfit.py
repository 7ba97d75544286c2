r"""Cross-fitting of critics: each kind is trained for all folds at once."""

__all__ = ["CrossFit"]

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from .evaluation import PAIRS, Evidence, Member, evaluate
from .features import PREPROCESSING, Squares, Whitened, with_radius
from .fitting import BATCH, FoldData, contrastive_loss, fit, label_loss
from .inputs import AuditInputs, Folds
from .linear import CanonicalCritic, are_judges, logistic_regression
from .members import (
    CodeCritics,
    LabelCritics,
    Nearest,
    Neighbours,
    OneCoordinate,
    code_members,
    label_members,
)
from .screening import Products, screen

EPOCHS = 100
"""The most passes over the training samples."""

FEWEST_STEPS, MOST_STEPS = 600, 1500

NEIGHBOURS = (10, 50)
"""The numbers of nearest neighbours."""

MOST_SQUARED = 1000
"""The most features of both codes, or of a code and labels, for critics of squares."""

MOST_FITTED = 50_000
"""The most training codes of a fold for canonical correlations of squares."""

MOST_COMPARED, FEWEST_ASKED, MOST_ASKED = 2_000_000_000, 5_000, 20_000
"""The most comparisons in a search for neighbours, and limits on the training codes to search."""


MOST_VOTES = 4_000_000
"""The most counts of labels in a table of neighbours in one coordinate."""


class Prepared(NamedTuple):
    """All samples in one preprocessing, as each fold sees them."""

    train: list[FoldData]
    stop: list[FoldData]
    test: list[FoldData]
    linear: list[CanonicalCritic]


def _prepare(inputs: AuditInputs, folds: Folds, name: str) -> Prepared:
    prepared = Prepared([], [], [], [])
    for rows in zip(folds.train, folds.stop, folds.test, strict=True):
        train = rows[0]
        of_x = PREPROCESSING[name](inputs.pi[train])
        x = [of_x(inputs.pi[part]) for part in rows]
        y = [inputs.alpha[part] for part in rows]
        base = [(part[:, :1], part[:, :1]) for part in x]
        if not inputs.classes:
            of_y = PREPROCESSING[name](inputs.alpha[train])
            y = [of_y(part) for part in y]
            linear = _canonical(x[0], y[0], inputs.groups[train])
            prepared.linear.append(linear)
            base = [linear.variables(*codes) for codes in zip(x, y, strict=True)]
            y = [with_radius(part) for part in y]
        for i, part in enumerate((prepared.train, prepared.stop, prepared.test)):
            u, v = base[i]
            groups = inputs.groups[rows[i]]
            part.append(FoldData(with_radius(x[i]), y[i], u.float(), v.float(), groups))
    if prepared.linear:
        for part in (prepared.train, prepared.stop, prepared.test):
            part[:] = _of_one_rank(part, prepared.linear)
    return prepared


def _canonical(x: Tensor, y: Tensor, groups: Tensor) -> CanonicalCritic:
    judges = are_judges(groups)
    return CanonicalCritic(x[~judges], y[~judges], x[judges], y[judges])


def _rank(linear: list[CanonicalCritic]) -> int:
    return max(1, max(critic.count for critic in linear))


def _of_one_rank(folds: list[FoldData], linear: list[CanonicalCritic]) -> list[FoldData]:
    """Returns folds with as many canonical variables as the fold with the most."""
    rank = _rank(linear)

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (0, rank - x.shape[1]))

    return [fold._replace(base_x=padded(fold.base_x), base_y=padded(fold.base_y)) for fold in folds]


class CrossFit:
    """Creates the cross-fitting of some codes: it trains and evaluates the critics of all folds.

    Arguments:
        inputs: The codes.
        folds: The training, stopping and test samples.
        preprocessing: The names of the preprocessings.
        generator: The source of batches and pairs.
    """

    def __init__(
        self,
        inputs: AuditInputs,
        folds: Folds,
        preprocessing: Iterable[str],
        generator: Generator,
    ) -> None:
        self.inputs, self.folds, self.generator = inputs, folds, generator
        self.prepared = {name: _prepare(inputs, folds, name) for name in preprocessing}
        count = len(folds.test)
        self.log_prior = _log_prior(inputs, folds) if inputs.classes else torch.zeros(count, 0)
        self.loss = label_loss if inputs.classes else contrastive_loss
        self.made: dict[str, dict[str, Member]] = {}
        epoch = len(folds.train[0]) / BATCH
        self.steps = int(min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * epoch)))

    def makers(
        self, preprocessing: str, which: slice = slice(None)
    ) -> dict[str, Callable[[], nn.Module]]:
        """Returns the makers of the critics of some folds, by kind."""
        of = self.prepared[preprocessing]
        if self.inputs.classes:
            return label_members(self.log_prior[which], of.train[0].x.shape[1])
        first = of.train[0]
        widths = (codes.shape[1] for codes in (first.base_x, first.x, first.y))
        return code_members(of.linear[which], *widths)

    def trial(self, preprocessing: str, kind: str) -> float:
        """Returns the lowest stopping loss of a critic of fold 0, with a third of the steps."""
        of = self.prepared[preprocessing]
        network = self.makers(preprocessing, slice(0, 1))[kind]()
        parts = of.train[:1], of.stop[:1]
        _, lowest = fit(network, self.loss, *parts, self.steps // 3, self.generator)
        return float(lowest)

    def train(
        self, preprocessing: str, kind: str, progress: Callable[[float], None] | None = None
    ) -> tuple[Member, float]:
        """Returns the trained critics of all folds, and their mean loss on the stopping samples."""
        of = self.prepared[preprocessing]
        network = self.makers(preprocessing)[kind]()
        trained, lowest = fit(
            network, self.loss, of.train, of.stop, self.steps, self.generator, progress=progress
        )
        return Member(trained, of.stop, of.test), float(lowest.mean())

    def untrained(self, preprocessing: str) -> dict[str, Member]:
        """Returns the members that are not trained on batches, which are made once.

        Those of labels are nearest neighbours, those of codes are linear. Both have critics that
        are linear in the coordinates and their squares, and in products that were chosen. Critics
        of codes whiten the coordinates; of labels, one sees them whitened.
        """
        if preprocessing not in self.made:
            make = self._of_labels if self.inputs.classes else self._of_codes
            made = make(self.prepared[preprocessing])
            if self.inputs.classes:
                made |= self._of_one_preprocessing(preprocessing)
            self.made[preprocessing] = {f"{k} on {preprocessing}": x for k, x in made.items()}
        return self.made[preprocessing]

    def _of_labels(self, of: Prepared) -> dict[str, Member]:
        asked = max(FEWEST_ASKED, min(MOST_ASKED, MOST_COMPARED // len(self.inputs.pi)))
        nearest = Nearest(of.train, max(NEIGHBOURS), asked)
        made = {
            f"{k} neighbours": Member(Neighbours(self.log_prior, nearest, k), of.stop, of.test)
            for k in NEIGHBOURS
        }
        if self.inputs.pi.shape[1] + self.inputs.classes <= MOST_SQUARED:
            squares = Squares()
            codes = [squares(fold.x) for fold in of.train]
            made["squares"] = self._regressed(of, squares, codes)
            if products := _products(of.train, lambda y: F.one_hot(y, self.inputs.classes)):
                codes = [products.of_fold(k, fold.x) for k, fold in enumerate(of.train)]
                made["products"] = self._regressed(of, products, codes)
        return made

    def _of_one_preprocessing(self, name: str) -> dict[str, Member]:
        """Returns critics of labels that gain nothing from another preprocessing.

        Ranks are noisy, and hide directions of little variance. They hide nothing in a coordinate.
        """
        of = self.prepared[name]
        if self.inputs.pi.shape[1] + self.inputs.classes > MOST_SQUARED:
            return {}
        if name == "scores":
            most = min(MOST_ASKED, MOST_VOTES // self.inputs.classes)
            nearest = OneCoordinate(self.log_prior, of.train, NEIGHBOURS, most)
            return {"one coordinate": Member(nearest, of.stop, of.test)}
        whitened = Whitened([fold.x for fold in of.train])
        codes = [whitened.of_fold(k, fold.x) for k, fold in enumerate(of.train)]
        return {"whitened": self._regressed(of, whitened, codes)}

    def _regressed(self, of: Prepared, shown: nn.Module, codes: list[Tensor]) -> Member:
        """Returns the logistic regressions on a function of codes.

        Arguments:
            of: All samples.
            shown: The function of the codes of all folds.
            codes: Its values for the training codes of each fold.
        """
        labels, groups = [fold.y for fold in of.train], [fold.groups for fold in of.train]
        linear = logistic_regression(codes, labels, groups, self.log_prior)
        return Member(LabelCritics(self.log_prior, shown, linear), of.stop, of.test)

    def _of_codes(self, of: Prepared) -> dict[str, Member]:
        critics = CodeCritics(of.linear, _rank(of.linear))
        made = {"linear": Member(critics, of.stop, of.test)}
        if self.inputs.pi.shape[1] + self.inputs.alpha.shape[1] <= MOST_SQUARED:
            squares = Squares()
            fitted = [fold.at(slice(MOST_FITTED)) for fold in of.train]
            made["squares"] = _canonical_member(of, fitted, lambda k, x: squares(x))
            if products := _products(fitted, squares):
                made["products"] = _canonical_member(of, fitted, products.of_fold)
        return made

    def evaluate(self, members: dict[str, Member], folds: Folds, pairs: int = PAIRS) -> Evidence:
        """Returns the logits of members on held-out samples."""
        return evaluate(members, folds, self.inputs, self.log_prior, self.generator, pairs)


def _products(train: list[FoldData], targets: Callable[[Tensor], Tensor]) -> Products | None:
    """Returns the products that were chosen in each fold.

    Returns `None` if no fold has a product of two coordinates: critics of squares have the others.

    Arguments:
        train: The training samples of each fold.
        targets: The functions of α that products may be correlated with.
    """
    chosen = []
    for fold in train:
        kept = (~are_judges(fold.groups)).nonzero().squeeze(1)[:MOST_FITTED]
        chosen.append(screen(fold.x[kept], targets(fold.y[kept])))
    first, second = torch.cat(chosen).T
    return Products(chosen) if ((first > 0) & (first < second)).any() else None


def _canonical_member(
    of: Prepared, fitted: list[FoldData], shown: Callable[[int, Tensor], Tensor]
) -> Member:
    r"""Returns critics that are linear in a function of :math:`\pi`, and in α and its squares.

    Arguments:
        of: All samples.
        fitted: The training samples of each fold.
        shown: The function of the fold and of codes, with shape (N, D).
    """
    squares = Squares()
    linear = [
        _canonical(shown(k, fold.x), squares(fold.y), fold.groups) for k, fold in enumerate(fitted)
    ]
    parts = []
    for part in (of.stop, of.test):
        folds = []
        for k, (fold, critic) in enumerate(zip(part, linear, strict=True)):
            u, v = critic.variables(shown(k, fold.x), squares(fold.y))
            folds.append(fold._replace(base_x=u.float(), base_y=v.float()))
        parts.append(_of_one_rank(folds, linear))
    return Member(CodeCritics(linear, _rank(linear)), *parts)


def _log_prior(inputs: AuditInputs, folds: Folds) -> Tensor:
    counts = [
        torch.bincount(inputs.alpha[torch.cat(rows)], minlength=inputs.classes)
        for rows in zip(folds.train, folds.stop, strict=True)
    ]
    # Classes that are missing from a fold get a small share.
    return torch.stack([((c + 0.5) / (c + 0.5).sum()).log() for c in counts])
