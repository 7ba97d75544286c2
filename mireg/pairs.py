r"""Which samples of a batch are paired: indices and weights. No critic is involved.

A joint pair is a code :math:`\pi` with its own :math:`\alpha`. A marginal pair is a code :math:`\pi` with the :math:`\alpha` of another sample, of another
group if groups are given, since two samples of one identity are not independent.
"""

__all__ = ["AllNegatives", "ClassNegatives", "Negatives", "Pairs", "ShiftedNegatives"]

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import check_positive
from .ranks import Ranks

GOLDEN = 40503
"""The golden ratio less 1, times 2**16."""


class Pairs(NamedTuple):
    r"""The pairs of a batch of :math:`N` codes :math:`\pi` with a pool of :math:`M` codes :math:`\alpha`.

    Weights say how much a pair counts in an expectation. They sum to 1 (over ranks: the mean of the sums is 1); `None` means that all count alike.
    """

    joint: Tensor
    """The partner that belongs to each sample, with shape :math:`(N,)`: a row of the pool, or of the part of the pool that belongs to the block of the sample."""
    marginal: Tensor | None
    """The rows of marginal partners, with shape :math:`(K, N)`; `None` if every row that belongs to the block of a sample is a partner."""
    joint_weights: Tensor | None = None
    """With shape :math:`(N,)`."""
    marginal_weights: Tensor | None = None
    """With shape :math:`(K, N)`, or :math:`(N, C)` if every row of a block is a partner."""
    block: int = 0
    """The number of samples in a block; 0 if all are in one."""
    columns: int = 0
    """The number :math:`C` of rows of the pool that belong to a block; 0 if all do."""

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
        """Returns samples and pool as blocks, with shapes :math:`(B, N / B, *)` and :math:`(B, C, *)`; samples may be those of the first block alone."""
        blocks = max(1, len(u) // self.block) if self.block else 1
        columns = self.columns or len(v)
        return u.unflatten(0, (blocks, -1)), v.unflatten(0, (-1, columns))[:blocks]


def normalized(weights: Tensor, ranks: Ranks) -> Tensor:
    """Returns weights whose sum is 1, on average over ranks; zeros if all are 0."""
    weights = weights.to(torch.float32)
    return weights / ranks.average(weights.sum()).clamp(min=1e-9)


def normalized_rows(weights: Tensor, dim: int, ranks: Ranks) -> tuple[Tensor, Tensor]:
    r"""Returns weights of joint pairs and of marginal pairs by which each sample counts alike, or not at all if it has no partner.

    Pairs of one stratum need it: a stratum with twice as many samples has four times as many pairs.

    Arguments:
        weights: The weights of marginal pairs relative to others of the same sample, with shape :math:`(N, C)` or :math:`(K, N)`.
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
    """Returns the rows of all ranks, of `n` samples each, by block: :math:`B` blocks, with shape :math:`(B, C, *)`."""
    blocks: Tensor = x.unflatten(0, (-1, n // block, block))
    return blocks.transpose(0, 1).flatten(1, 2)


class Negatives(nn.Module):
    """The interface of a way to choose marginal pairs."""

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
            alpha: The codes :math:`\alpha` of this rank, with shape :math:`(N, *)`, or labels, with shape :math:`(N,)`.
            groups: The identity of each sample, with shape :math:`(N,)`.
            known: Whether each sample takes part, with shape :math:`(N,)`: its label is known. All do if `None`.
            block: The number of samples in a block, which divides :math:`N`. Only samples of one block are paired.
            ranks: The ranks that share the batch.
            strata: A label of each sample, with shape :math:`(N,)`. Only samples with the same label are paired, and each sample counts alike. It is passed if
                the regularizer is conditional on a label.

        Returns:
            The pool of partners, with shape :math:`(M, *)`, and the pairs.
        """
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        """Moves on to the pairs of the next step."""


class AllNegatives(Negatives):
    """Pairs each sample with every other sample.

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
        # Without groups no two samples are of one identity, on whatever ranks.
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
    """Pairs each sample with a few others: the batch is rolled by `count` different steps, which change from update to update.

    No sample is ever paired with itself, whatever the size of the batch, which a reversed batch of odd size or a random permutation does not ensure. The
    steps follow from the number of updates, so that all ranks roll alike and a resumed run continues as one that never stopped.

    Arguments:
        count: The number of marginal pairs a sample, at most :math:`N - 1`.

    Raises:
        ValueError: If there are fewer than 1.

    Example:
        >>> pool, pairs = ShiftedNegatives(2)(torch.randn(4, 2), None, None, 4, mireg.Ranks())
        >>> pairs.marginal
        tensor([[1, 2, 3, 0],
                [2, 3, 0, 1]])
    """

    step: Tensor

    def __init__(self, count: int = 1) -> None:
        super().__init__()

        self.count = check_positive("the number of marginal pairs a sample", count)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def shifts(self, n: int) -> Tensor:
        """Returns different steps from 1 to `n - 1`, as many as there are negatives, with shape :math:`(K,)`."""
        count = min(self.count, n - 1)
        # Multiples of the golden ratio visit all steps evenly, and none depends on chance. As integers they stay exact in long trainings.
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
        """Returns the rows of marginal partners, each in the block of its sample, with shape :math:`(K, N)`."""
        total = block * (ranks.count if ranks.gather else 1)
        # The samples of one block on all ranks, one after the other.
        place = own // n * block + own % block
        partner = (place + self.shifts(total)[:, None]) % total
        return partner // block * n + own % n // block * block + partner % block

    @torch.no_grad()
    def update(self) -> None:
        self.step.add_(1)

    def extra_repr(self) -> str:
        return str(self.count)


class ClassNegatives(Negatives):
    r"""Pairs each sample with each class, weighted by how often other samples have it: :class:`AllNegatives` of labels, at the cost of one logit a class.

    Arguments:
        classes: The number of classes.

    Example:
        >>> pool, pairs = ClassNegatives(3)(torch.tensor([0, 0, 1, 2]), None, None, 4, mireg.Ranks())
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
            # Autocast would count in half precision, and leaves double precision alone.
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
