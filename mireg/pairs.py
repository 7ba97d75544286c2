r"""Which samples of a batch are paired, as indices and weights.

A joint pair is a code :math:`\pi` with its own :math:`\alpha`. A marginal pair is a code
:math:`\pi` with the :math:`\alpha` of another sample. If groups are given, it is a sample of
another group, since two samples of one identity are not independent.
"""

__all__ = ["AllNegatives", "ClassNegatives", "Negatives", "Pairs", "ShiftedNegatives"]

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import check_positive
from .ranks import Ranks

GOLDEN = 40503
"""The golden ratio minus 1, times 2**16."""


class Pairs(NamedTuple):
    r"""The pairs of :math:`N` codes :math:`\pi` with a pool of :math:`M` codes :math:`\alpha`.

    Weights are those of an expectation. They sum to 1 (on average over ranks). `None` means equal
    weights.

    Example:
        >>> pool = torch.tensor([10, 20, 30])
        >>> pairs = Pairs(joint=torch.tensor([0, 1, 2]), marginal=torch.tensor([[1, 2, 0]]))
        >>> pool[pairs.joint], pool[pairs.marginal]
        (tensor([10, 20, 30]), tensor([[20, 30, 10]]))
    """

    joint: Tensor
    """The row of each sample's own partner, in the pool of its block, with shape :math:`(N,)`."""
    marginal: Tensor | None
    """The rows of marginal partners, with shape :math:`(K, N)`; `None` for all rows of a block."""
    joint_weights: Tensor | None = None
    """The weights of joint pairs, with shape :math:`(N,)`."""
    marginal_weights: Tensor | None = None
    """The weights of marginal pairs, :math:`(K, N)`, or :math:`(N, C)` for all rows of a block."""
    block: int = 0
    """The number of samples in a block; 0 for a single block."""
    columns: int = 0
    """The number :math:`C` of rows of the pool in a block; 0 for a single block."""

    @property
    def weights(self) -> tuple[Tensor | None, Tensor | None]:
        """The weights of joint and of marginal pairs."""
        return self.joint_weights, self.marginal_weights

    def first(self, n: int, ranks: Ranks) -> "Pairs":
        r"""Returns the pairs of the first `n` codes :math:`\pi`."""
        if n == len(self.joint):
            return self
        joint, marginal = self.joint_weights, self.marginal_weights
        if joint is not None:
            joint = normalized(joint[:n], ranks)
        index = self.marginal
        if marginal is not None:
            marginal = normalized(marginal[:n] if index is None else marginal[:, :n], ranks)
        if index is not None:
            index = index[:, :n]
        return self._replace(
            joint=self.joint[:n], marginal=index, joint_weights=joint, marginal_weights=marginal
        )

    def in_blocks(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Returns samples and pool with shapes :math:`(B, N / B, *)` and :math:`(B, C, *)`."""
        blocks = max(1, len(u) // self.block) if self.block else 1
        columns = self.columns or len(v)
        return u.unflatten(0, (blocks, -1)), v.unflatten(0, (-1, columns))[:blocks]


def normalized(weights: Tensor, ranks: Ranks) -> Tensor:
    """Returns the weights scaled to a sum of 1 on average over ranks; zeros if all are 0."""
    weights = weights.to(torch.float32)
    return weights / ranks.average(weights.sum()).clamp(min=1e-9)


def normalized_rows(weights: Tensor, dim: int, ranks: Ranks) -> tuple[Tensor, Tensor]:
    r"""Returns pair weights by which all samples with partners count equally.

    Strata need them: a stratum with twice as many samples has four times as many pairs.

    Arguments:
        weights: The weights of the partners of each sample, with shape :math:`(N, C)` or
            :math:`(K, N)`.
        dim: The dimension of partners.
        ranks: The ranks that share the batch.
    """
    weights = weights.to(torch.float32)
    total = weights.sum(dim, keepdim=True)
    return (
        normalized(total.squeeze(dim) > 0, ranks),
        normalized(weights / total.clamp(min=1e-9), ranks),
    )


def by_block(x: Tensor, n: int, block: int) -> Tensor:
    """Returns the rows of all ranks, `n` for each rank, by block, with shape :math:`(B, C, *)`."""
    blocks: Tensor = x.unflatten(0, (-1, n // block, block))
    return blocks.transpose(0, 1).flatten(1, 2)


class Negatives(nn.Module):
    """The interface of a rule that selects marginal pairs.

    Example:
        >>> class BySize(Negatives):  # all pairs of small batches, fewer of large ones
        ...     def forward(self, alpha, *labels, **strata):
        ...         rule = AllNegatives() if len(alpha) <= 512 else ShiftedNegatives(64)
        ...         return rule(alpha, *labels, **strata)
        >>> constraint = mireg.ClassifierMI(2, 3, negatives=BySize())
    """

    def forward(
        self,
        alpha: Tensor,
        groups: Tensor | None,
        known: Tensor | None,
        block: int,
        ranks: Ranks,
        strata: Tensor | None = None,
    ) -> tuple[Tensor, Pairs]:
        r"""
        Arguments:
            alpha: The codes :math:`\alpha` of this rank, with shape :math:`(N, *)`, or labels, with
                shape :math:`(N,)`.
            groups: The identity of each sample, with shape :math:`(N,)`.
            known: Whether the label of each sample is known, with shape :math:`(N,)`; `None` for
                all. Other samples are ignored.
            block: The number of samples in a block, which divides :math:`N`. Only samples of one
                block are paired.
            ranks: The ranks that share the batch.
            strata: A label y of each sample, with shape :math:`(N,)`, if the regularizer is
                conditional on a label. Only samples with equal y are paired, and each sample has
                equal weight.

        Returns:
            The pool of partners, with shape :math:`(M, *)`, and the pairs.
        """
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        """Advances to the pairs of the next step."""


class AllNegatives(Negatives):
    """Creates marginal pairs of each sample with every other sample.

    Example:
        >>> pool, pairs = AllNegatives()(torch.randn(4, 2), None, None, 4, mireg.Ranks())
        >>> pairs.marginal_weights.shape, int((pairs.marginal_weights > 0).sum())
        (torch.Size([4, 4]), 12)
    """

    def forward(
        self,
        alpha: Tensor,
        groups: Tensor | None,
        known: Tensor | None,
        block: int,
        ranks: Ranks,
        strata: Tensor | None = None,
    ) -> tuple[Tensor, Pairs]:
        n, place = len(alpha), torch.arange(len(alpha), device=alpha.device) % block
        joint = place + (ranks.index * block if ranks.gather else 0)
        # Without groups, each sample of each rank is its own identity.
        own = ranks.own_rows(n, alpha.device) if groups is None else groups
        taken = torch.ones_like(own, dtype=torch.bool) if known is None else known
        others, everyone = (by_block(ranks.collect(x), n, block) for x in (own, taken))
        different = own.view(-1, block, 1) != others[:, None]
        different = different & taken.view(-1, block, 1) & everyone[:, None]
        pool = by_block(ranks.collect(alpha), n, block)
        of_joint = None if known is None else normalized(known, ranks)
        if strata is None:
            weights = normalized(different.flatten(0, 1), ranks)
        else:
            alike = strata.view(-1, block, 1) == by_block(ranks.collect(strata), n, block)[:, None]
            of_joint, weights = normalized_rows((different & alike).flatten(0, 1), 1, ranks)
        return pool.flatten(0, 1), Pairs(joint, None, of_joint, weights, block, pool.shape[1])


class ShiftedNegatives(Negatives):
    """Creates marginal pairs of each sample with `count` others, by shifts that change per update.

    No sample is ever paired with itself, which neither reversing a batch of odd size nor a random
    permutation ensures. The shifts depend only on the number of updates, so all ranks use the same,
    and a resumed run continues identically.

    Arguments:
        count: The number of marginal pairs per sample, at most :math:`N - 1`.

    Raises:
        ValueError: If `count` is below 1.

    Example:
        >>> pool, pairs = ShiftedNegatives(2)(torch.randn(4, 2), None, None, 4, mireg.Ranks())
        >>> pairs.marginal
        tensor([[1, 2, 3, 0],
                [2, 3, 0, 1]])
    """

    step: Tensor

    def __init__(self, count: int = 1) -> None:
        super().__init__()

        self.count = check_positive("the number of marginal pairs per sample", count)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def shifts(self, n: int) -> Tensor:
        """Returns distinct shifts from 1 to `n - 1`, with shape :math:`(K,)`."""
        count = min(self.count, n - 1)
        # Multiples of the golden ratio visit all shifts evenly. Integers stay exact in long
        # trainings.
        phase = self.step * GOLDEN % 2**16 * (n - 1) // 2**16
        spread = torch.arange(count, device=self.step.device) * (n - 1) // count
        return 1 + (phase + spread) % (n - 1)

    def forward(
        self,
        alpha: Tensor,
        groups: Tensor | None,
        known: Tensor | None,
        block: int,
        ranks: Ranks,
        strata: Tensor | None = None,
    ) -> tuple[Tensor, Pairs]:
        own = ranks.own_rows(len(alpha), alpha.device)
        pool = ranks.collect(alpha)
        index = self.partners(len(alpha), block, ranks, own)
        if groups is None and known is None and strata is None:
            return pool, Pairs(own, index)
        counted, joint = torch.ones_like(index, dtype=torch.bool), None
        if groups is not None:
            counted = ranks.collect(groups)[index] != groups
        if known is not None:
            counted = counted & known & ranks.collect(known)[index]
            joint = normalized(known, ranks)
        if strata is None:
            return pool, Pairs(own, index, joint, normalized(counted, ranks))
        counted = counted & (ranks.collect(strata)[index] == strata)
        return pool, Pairs(own, index, *normalized_rows(counted, 0, ranks))

    def partners(self, n: int, block: int, ranks: Ranks, own: Tensor) -> Tensor:
        """Returns rows of marginal partners in the block of each sample, with shape `(K, N)`."""
        total = block * (ranks.count if ranks.gather else 1)
        # The samples of a block on all ranks are numbered consecutively.
        place = own // n * block + own % block
        partner = (place + self.shifts(total)[:, None]) % total
        return partner // block * n + own % n // block * block + partner % block

    @torch.no_grad()
    def update(self) -> None:
        self.step.add_(1)

    def extra_repr(self) -> str:
        return str(self.count)


class ClassNegatives(Negatives):
    r"""Creates pairs of each sample with each class, weighted by the class's other samples.

    Equals :class:`AllNegatives` for labels, at the cost of one logit per class.

    Arguments:
        classes: The number of classes.

    Example:
        >>> labels = torch.tensor([0, 0, 1, 2])
        >>> pool, pairs = ClassNegatives(3)(labels, None, None, 4, mireg.Ranks())
        >>> (12 * pairs.marginal_weights[0]).round()
        tensor([1., 1., 1.])
    """

    def __init__(self, classes: int) -> None:
        super().__init__()

        self.classes = classes

    def forward(
        self,
        alpha: Tensor,
        groups: Tensor | None,
        known: Tensor | None,
        block: int,
        ranks: Ranks,
        strata: Tensor | None = None,
    ) -> tuple[Tensor, Pairs]:
        n, label = len(alpha), alpha.clamp(min=0)
        one_hot = F.one_hot(label, self.classes).to(torch.float32)
        if known is not None:
            one_hot = torch.where(known[:, None], one_hot, 0)
        everyone, own = (
            by_block(ranks.collect(one_hot), n, block),
            one_hot.unflatten(0, (-1, block)),
        )
        if groups is None and strata is None:
            others = everyone.sum(1, keepdim=True) - own
        else:
            identity = ranks.own_rows(n, alpha.device) if groups is None else groups
            different = (
                identity.view(-1, block, 1) != by_block(ranks.collect(identity), n, block)[:, None]
            )
            if strata is not None:
                beside = by_block(ranks.collect(strata), n, block)
                different = different & (strata.view(-1, block, 1) == beside[:, None])
            # Autocast would count in half precision, but does not cast double precision.
            exact = torch.float32 if alpha.device.type == "mps" else torch.float64
            others = (different.to(exact) @ everyone.to(exact)).to(torch.float32)
        others, joint = others.flatten(0, 1), None
        if known is not None:
            others = torch.where(known[:, None], others, 0)
            joint = normalized(known, ranks)
        pool = torch.arange(self.classes, device=alpha.device)
        if strata is not None:
            return pool, Pairs(label, None, *normalized_rows(others, 1, ranks))
        return pool, Pairs(label, None, joint, normalized(others, ranks))

    def extra_repr(self) -> str:
        return str(self.classes)
