r"""Critics that are evaluated on the same batch, such as T and T'."""

__all__ = ["Critics", "MakeCritic"]

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from .. import functional
from .._checks import (
    Shape,
    alpha_shape,
    as_alpha,
    as_shape,
    check_attribute,
    check_codes,
    check_given,
    check_labels,
    check_part,
)
from .._frozen import call_frozen
from ..critics import as_critic, default_critic
from ..estimators import Estimator
from ..memory import Memory, scattered
from ..pairs import AllNegatives, ClassNegatives, Negatives, ShiftedNegatives
from ..ranks import Ranks
from ..scaling import Standardization
from ..weights import MovingAverage
from ._given import Given
from ._readings import Batch, Paired, Reading, accuracy, said_of
from .penalty import Penalty, informed

BLOCK = 128
"""The smallest number of consecutive codes that critics see together."""

MakeCritic = Callable[[], nn.Module]


class Critics(nn.Module):
    """Creates critics of one kind with different initialisations, and their inputs and estimators.

    Critic i learns from `rows[i]` codes per step: those of the batch, and remembered ones if the
    batch is smaller. If the batch is large enough for all critics, each learns from the largest of
    these numbers. If all are 0, they learn from the batch.
    """

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape | None,
        classes: int | None,
        make: MakeCritic | None,
        estimators: Sequence[Estimator],
        negatives: Negatives | None,
        ranks: Ranks | None,
        rows: Sequence[int],
        given_features: Shape | None = None,
        given_classes: int | None = None,
    ) -> None:
        super().__init__()

        self.pi_shape = seen = as_shape(pi_features)
        self.alpha_shape = alpha_shape(alpha_features, classes)
        self.classes = classes
        self.ranks = Ranks() if ranks is None else ranks
        if isinstance(make, nn.Module):
            raise TypeError(
                "critic must be a function that makes a network at each call, got "
                f"{type(make).__name__}: pass the class, or a lambda that returns a new network"
            )
        if make is not None and not callable(make):
            raise TypeError(
                f"critic must be a function that makes a network at each call, got {make!r}"
            )
        for estimator in estimators:
            check_part("estimator", estimator, Estimator, "mireg.estimators.NWJ()")
        check_part("negatives", negatives, Negatives, "mireg.pairs.ShiftedNegatives(4)")
        check_part("ranks", ranks, Ranks, "mireg.Ranks(gather=True)")
        self.given: Given | None = None
        if given_features is not None or given_classes is not None:
            self.given = Given(given_features, given_classes, alpha_features, classes)
            seen = self.given.beside(self.pi_shape)
        makers = make or (lambda: default_critic(seen, alpha_features, classes))
        made = [makers() for _ in estimators]
        if len({id(critic) for critic in made}) < len(made):
            raise ValueError(
                "critic must be a function that makes a new network at each call, got one that "
                "returns the same network twice"
            )
        self.critics = nn.ModuleList(map(as_critic, made))
        self.negatives = negatives or self.default_negatives()
        self.estimators = nn.ModuleList(estimators)
        given_shape = None if self.given is None else self.given.shape
        shapes = {"pi": self.pi_shape, "alpha": self.alpha_shape, "given": given_shape}
        self.scales = nn.ModuleDict(
            {name: Standardization(shape) for name, shape in shapes.items() if shape}
        )
        self.memory = None
        if max(rows):
            memory = Memory(self.pi_shape, self.alpha_shape, given_shape=given_shape)
            self.memory = memory if memory.capacity else None
        self.rows = tuple(rows)
        # How often recent batches had no marginal pair, and how often only one label.
        self.empty = MovingAverage(0.9)
        self.alike = MovingAverage(0.9)

    def default_negatives(self) -> Negatives:
        """Returns all pairs if they are cheap for the critics, and four per sample otherwise."""
        if self.classes is not None:
            return ClassNegatives(self.classes)
        cheap = all(getattr(critic, "all_pairs", False) for critic in self.critics)
        return AllNegatives() if cheap else ShiftedNegatives(4)

    def forward(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Reading:
        """Returns the reading of the critics for a batch."""
        batch, felt, observed, codes = self.assemble(pi, alpha, groups, given)
        n = len(pi)
        losses, estimates, accuracies = [], [], []
        mi: Tensor | None = None
        paired = self.paired(batch, n)
        for i, (critic, (part, pool, pairs, own)) in enumerate(
            zip(self.critics, paired, strict=True)
        ):
            reader = cast(Estimator, self.estimators[i])
            logits = said_of(critic, part.pi, pool, pairs)
            losses.append(self.ranks.average(functional.critic_loss(*logits)))
            losses += [] if own is None else [self.ranks.average(own)]
            if pairs.marginal_weights is not None:
                observed["empty"] = self.on_all_ranks((pairs.marginal_weights <= 0).all())
            # T is evaluated on a large batch as a whole, T' only on the part it learns from.
            seen = min(n, len(part.pi))
            first = pairs.first(seen, self.ranks)
            said = logits.first(seen, first)
            wanted = torch.is_grad_enabled() and felt.requires_grad
            if i == 0 and (wanted or seen < n):
                # A second pass with constant critic parameters, for gradients of the codes only.
                if seen < n:
                    _, pool, first, _ = self.pair(batch.learnt(n))
                said = said_of(partial(call_frozen, critic), felt, pool, first)
                mi = reader(said, self.ranks)
            said = said.detached()
            with torch.no_grad():
                estimates.append(reader(said, self.ranks) if i or mi is None else mi.detach())
                observed[f"estimator{i}"] = reader.observe(said, self.ranks)
                accuracies.append(self.ranks.average(accuracy(said)))
        total = torch.stack(losses).sum()
        return Reading(
            estimates[0] if mi is None else mi, estimates, accuracies, total, observed, codes
        )

    def loss(
        self,
        pi: Tensor,
        alpha: Tensor,
        groups: Tensor | None = None,
        given: Tensor | None = None,
    ) -> Tensor:
        """Returns the loss of all critics, a scalar."""
        batch, *_ = self.assemble(pi.detach(), alpha, groups, given)
        losses = []
        paired = self.paired(batch, len(pi))
        for critic, (part, pool, pairs, own) in zip(self.critics, paired, strict=True):
            logits = said_of(critic, part.pi, pool, pairs)
            losses += [functional.critic_loss(*logits)] + ([] if own is None else [own])
        return self.ranks.average(torch.stack(losses).sum())

    def paired(self, batch: Batch, n: int) -> list[Paired]:
        """Returns the training data of each critic. The first `n` codes are those of the step."""
        most = max(self.rows)
        parts = [batch.learnt((most if n >= most else rows) or n) for rows in self.rows]
        made = {len(part.pi): self.pair(part) for part in parts}
        return [made[len(part.pi)] for part in parts]

    def pair(self, batch: Batch) -> Paired:
        """Returns the pairs of a batch."""
        _, alpha, groups, counted, y, block = batch
        if self.given is None or y is None:
            return Paired(batch, *self.negatives(alpha, groups, counted, block, self.ranks))
        if self.given.classes is not None:
            pool, pairs = self.negatives(alpha, groups, counted, block, self.ranks, strata=y)
            return Paired(batch, pool, pairs)
        pool, pairs = self.negatives(alpha, groups, counted, block, self.ranks)
        return Paired(batch, pool, *self.given.learn(y, pool, pairs, self.ranks))

    def assemble(
        self, pi: Tensor, alpha: Tensor, groups: Tensor | None, given: Tensor | None = None
    ) -> tuple[Batch, Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Returns the batch with remembered codes, its codes with gradients, moments, and codes."""
        self.ranks.check_size(pi)
        alpha = as_alpha(alpha, self.alpha_shape)
        check_codes(pi, alpha, groups, self.pi_shape, self.alpha_shape)
        home = next(self.critics.parameters(), pi).device
        if home != pi.device:
            raise ValueError(
                f"the codes must be on the device of the critics, {home}, got {pi.device}: move "
                "the constraint with .to(device) before you create its optimizer"
            )
        if self.classes is not None:
            check_labels(alpha, self.classes)
        check_attribute(alpha)
        y = check_given(given, len(pi), *self.condition())
        if y is not None and self.given is not None and self.given.classes is not None:
            check_labels(y, self.given.classes, "the labels given")
        block, newest, blocks = self.blocks(len(pi))
        if block < len(pi):
            # Batches may be ordered by alpha, but each block needs samples of all kinds.
            mixed = scattered(torch.arange(len(pi), device=pi.device)).argsort()
            pi, alpha = pi[mixed], alpha[mixed]
            groups, y = (None if x is None else x[mixed] for x in (groups, y))
        codes = {"pi": pi.detach(), "alpha": alpha.detach()}
        if y is not None:
            codes["given"] = y
        observed: dict[str, Tensor] = {}
        counted, felt = None, pi
        remembered: dict[str, Tensor] = {}
        held = dict(codes)
        if self.memory is not None:
            held["groups"] = self.identities(len(pi)) if groups is None else groups.long()
            if groups is not None:
                codes["groups"] = held["groups"]
            if newest or blocks:
                pi_, alpha_, groups_, counted_, given_ = self.memory.recall(newest, blocks, block)
                remembered = {"pi": pi_, "alpha": alpha_, "groups": groups_}
                if given_ is not None:
                    remembered["given"] = given_
                counted = torch.cat((torch.ones_like(held["groups"], dtype=torch.bool), counted_))
        parts = {
            name: torch.cat((x, remembered[name])) if remembered else x for name, x in held.items()
        }
        if self.classes is not None:
            known = parts["alpha"] >= 0
            labels = self.ranks.collect(codes["alpha"])
            highest, lowest = labels.amax(), labels.where(labels >= 0, self.classes).amin()
            observed["alike"] = self.on_all_ranks(highest == lowest)
            counted = known if counted is None else counted & known
            parts["alpha"] = parts["alpha"].clamp(min=0)
        if y is not None and self.given is not None and self.given.classes is not None:
            known = parts["given"] >= 0
            counted = known if counted is None else counted & known
        of_batch = None
        if self.labelled() and counted is not None:
            # Codes without a label may be anything, even NaN: they take no part.
            of_batch = counted[: len(pi)]
            observed["known"] = self.on_any_rank(of_batch.any())
            parts = {k: only(x, counted) for k, x in parts.items()}
            felt = only(felt, of_batch)
        kind = self.kind(pi)
        for name in [x for x in parts if x != "groups" and x not in self.scales]:
            # Codes that are not standardised must also have the dtype of the critics.
            if parts[name].is_floating_point():
                parts[name] = parts[name].to(kind)
            felt = felt.to(kind) if name == "pi" else felt
        for name, scale in self.scales.items():
            unit = cast(Standardization, scale).measure(codes[name], self.ranks, of_batch)
            observed[name] = unit.observed
            parts[name] = unit(parts[name]).to(kind)
            felt = unit(felt).to(kind) if name == "pi" else felt
        identity, y = parts.get("groups", groups), parts.get("given")
        if self.given is not None and y is not None:
            parts["pi"] = self.given.append(parts["pi"], y)
            felt = self.given.append(felt, y[: len(felt)])
        batch = Batch(parts["pi"], parts["alpha"], identity, counted, y, block)
        return batch, felt, observed, codes

    def labelled(self) -> bool:
        """Returns whether alpha or the condition y is a label, which may be unknown."""
        return self.classes is not None or (
            self.given is not None and self.given.classes is not None
        )

    def condition(self) -> tuple[tuple[int, ...] | None, int | None]:
        """Returns the shape of the condition y, `None` without one, and its number of classes."""
        return (None, None) if self.given is None else (self.given.shape, self.given.classes)

    def kind(self, x: Tensor) -> torch.dtype:
        """Returns the dtype of the critics' parameters."""
        parameter = next(self.critics.parameters(), x)
        return parameter.dtype

    def blocks(self, n: int) -> tuple[int, int, int]:
        """Returns the block size, and the numbers of newest rows and of blocks to recall."""
        if self.memory is None:
            return n, 0, 0
        if n >= max(self.rows):
            # Split a large batch, since the cost of all pairs is quadratic in the block size.
            sizes = (size for size in range(BLOCK, BLOCK // 2, -1) if n % size == 0)
            return next(sizes, n), 0, 0
        size = min(max(n, BLOCK), max(self.rows), max(n, self.memory.capacity))
        blocks = min(-(-max(self.rows) // size) - 1, self.memory.capacity // size)
        return size, size - n, blocks

    def on_all_ranks(self, fact: Tensor) -> Tensor:
        """Returns 1 if a fact holds on every rank and 0 otherwise, a scalar."""
        return (self.ranks.average(fact.to(torch.float32)) >= 1).to(torch.float32)

    def on_any_rank(self, fact: Tensor) -> Tensor:
        """Returns 1 if a fact holds on some rank and 0 otherwise, a scalar."""
        return (self.ranks.average(fact.to(torch.float32)) > 0).to(torch.float32)

    def identities(self, n: int) -> Tensor:
        """Returns a unique identity for each sample of a batch, with shape :math:`(N,)`."""
        first = cast(Memory, self.memory).count
        return (first + torch.arange(n, device=first.device)) * self.ranks.count + self.ranks.index

    def check(self, penalty: Penalty) -> None:
        """Raises if a penalty does not come from :meth:`forward` with codes of these shapes."""
        seen, names = (
            penalty.observed,
            {*self.scales, *map("estimator{}".format, range(len(self.rows)))},
        )
        names |= seen.keys() & {"empty", "alike", "known"}
        own = names == seen.keys() and ("alike" in seen) == bool(self.classes)
        own = own and ("given" in penalty.codes) == (self.given is not None)
        own = own and len(penalty.codes) > 0 and penalty.codes["pi"].shape[1:] == self.pi_shape
        if not own or penalty.codes["alpha"].shape[1:] != self.alpha_shape:
            raise ValueError(
                "update takes the penalty that it returned for this step, got one for other "
                "codes or parts"
            )

    @torch.no_grad()
    def calibrate(
        self, penalty: Penalty, held_out: Penalty | None, known: Tensor, average: MovingAverage
    ) -> None:
        """Moves estimators by a penalty: of held-out codes alone, once there are some.

        Arguments:
            penalty: The penalty of this step.
            held_out: That of held-out codes, if there are any in this step.
            known: Whether the first is accepted.
            average: An average over held-out codes so far.
        """
        alone = known & ~average.started()
        source, accepted = (penalty, alone) if held_out is None else (held_out, informed(held_out))
        for i, estimator in enumerate(self.estimators):
            cast(Estimator, estimator).update(source.observed[f"estimator{i}"], accepted)

    @torch.no_grad()
    def update(self, penalty: Penalty, accepted: Tensor) -> None:
        """Moves averages and stores codes by the result of :meth:`forward`, if `accepted`."""
        for name, scale in self.scales.items():
            cast(Standardization, scale).update(penalty.observed[name], accepted)
        for name in ("empty", "alike"):
            if name in penalty.observed:
                cast(MovingAverage, getattr(self, name)).update(penalty.observed[name], accepted)
        if self.memory is not None:
            codes = dict(penalty.codes)
            if "groups" not in codes:
                codes["groups"] = self.identities(len(codes["pi"]))
            self.memory.remember(codes, accepted)
        self.negatives.update()


def only(x: Tensor, rows: Tensor) -> Tensor:
    """Returns codes with all other rows set to 0, and labels unchanged."""
    if not x.is_floating_point():
        return x
    return torch.where(rows.view(-1, *[1] * (x.ndim - 1)), x, 0)
