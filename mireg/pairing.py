r"""Joint and marginal pairs of codes, and a critic's logits for them.

Joint pairs are rows of the same batch index; marginal pairs are rows of different samples, and of different `groups` where these are given, since two
samples of one identity are not independent.
"""

__all__ = ["PAIRINGS", "Pairs", "all_pairs", "pairing", "roll_pairs", "rolled_index"]

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from . import distributed
from .critics import Critic
from .distributed import Joined
from .validation import check_choice


class Pairs(NamedTuple):
    """A critic's logits for joint and marginal pairs.

    Example:
        >>> pairs = Pairs(torch.ones(4), torch.zeros(4), None)
        >>> mireg.functional.mean_logit(*pairs)
        tensor(1.)
    """

    joint: Tensor
    """The logits of joint pairs, with shape :math:`(N,)`."""
    marginal: Tensor
    """The logits of marginal pairs, with shape :math:`(N,)` or :math:`(N, N)`."""
    mask: Tensor | None
    """Which marginal pairs count, with the shape of `marginal`; `None` if all do."""
    negatives: Tensor | None = None
    """How many marginal pairs count, averaged over ranks; those of `mask` if `None`."""


def rolled_index(
    n: int,
    device: torch.device | None = None,
    generator: Generator | None = None,
    count: int = 1,
) -> Tensor:
    r"""Gives cyclic shifts of `0, …, n - 1` by random steps from 1 to `n - 1`, no two the same.

    No index stays in its place, whatever the parity of `n`. A reversed batch of odd size keeps one, and a random permutation one on average.

    Arguments:
        n: The number of samples, at least 2.
        device: The device of the index.
        generator: Where the random steps come from; the global generator by default.
        count: The number of shifts; there are at most :math:`N - 1`.

    Returns:
        The shifts one after the other, with shape :math:`(N \cdot \text{count},)`.

    Raises:
        ValueError: If there are fewer than 2 samples.

    Example:
        >>> rolled_index(2)
        tensor([1, 0])
    """
    _check_batch(n)
    # The step stays a tensor: its value never has to reach the host. A generator of the CPU serves any device.
    source = generator.device if generator is not None else device
    if count == 1:
        steps = torch.randint(1, n, (1,), device=source, generator=generator)
    else:
        steps = 1 + torch.randperm(n - 1, device=source, generator=generator)[:count]
    return (torch.arange(n, device=device) + steps.to(device)[:, None]).flatten() % n


def roll_pairs(
    critic: nn.Module,
    pi: Tensor,
    alpha: Tensor,
    groups: Tensor | None = None,
    generator: Generator | None = None,
    joined: Joined | None = None,
    negatives: int = 1,
) -> Pairs:
    r"""Pairs each sample with itself and with a few others, in a single pass of the critic.

    Arguments:
        critic: Takes `(pi, alpha)` and gives a logit for each row, with shape :math:`(N,)`.
        pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
        alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`.
        groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are no negatives.
        generator: Where the random shifts come from: in the same state on every rank.
        negatives: The number of marginal pairs a sample; there are at most :math:`N - 1`.
        joined: The codes of all ranks, if the partners come from any of them.

    Returns:
        The logits of :math:`N` joint pairs, and of :math:`N` marginal ones for each of the negatives.

    Raises:
        ValueError: If there are fewer than 2 samples, or the critic does not give one logit a row.

    Example:
        >>> pairs = roll_pairs(mireg.SeparableCritic(2, 3), torch.randn(8, 2), torch.randn(8, 3), negatives=4)
        >>> pairs.joint.shape, pairs.marginal.shape
        (torch.Size([8]), torch.Size([32]))
    """
    n = len(pi)
    everyone = joined or Joined(alpha, groups, slice(0, n))
    index = rolled_index(len(everyone.alpha), pi.device, generator, negatives)
    if everyone.ranks > 1 and generator is None:
        # Each rank has drawn shifts of its own.
        index = distributed.agree(index, everyone.process_group)
    index = index.view(-1, len(everyone.alpha))
    own = index[:, everyone.own].flatten()
    if isinstance(critic, Critic):
        # Each code passes through its own layers once, and not once a pair.
        u, v = critic.of_pi(pi), critic.of_alpha(alpha)
        if everyone.ranks > 1:
            v = tuple(map(torch.cat, zip(v, critic.of_alpha(everyone.alpha), strict=True)))
            own = own + n
        # Rows are selected, and not indexed: the gradient of an index takes ten times as long.
        rows = torch.cat((torch.arange(n, device=pi.device), own))
        partners = tuple(y.index_select(0, rows).unflatten(0, (-1, n)) for y in v)
        logits = critic.compare(tuple(x[None] for x in u), partners).flatten()
    else:
        alphas = torch.cat((alpha, everyone.alpha.index_select(0, own)))
        copies = pi.repeat(len(alphas) // n, *[1] * (pi.dim() - 1))
        logits = _logits(critic, copies, alphas)
    joint, marginal = logits.split((n, len(own)))
    if everyone.groups is None:
        return Pairs(joint, marginal, None)
    different = everyone.groups != everyone.groups[index]
    mask = different[:, everyone.own].flatten()
    return Pairs(joint, marginal, mask, different.sum() / everyone.ranks)


def all_pairs(
    critic: nn.Module,
    pi: Tensor,
    alpha: Tensor,
    groups: Tensor | None = None,
    generator: Generator | None = None,
    joined: Joined | None = None,
) -> Pairs:
    r"""Pairs each sample with itself and with all others.

    Critics with a method `pairwise` (all of :mod:`mireg.critics`) pay for the first layers once a sample; others see :math:`N^2` rows.

    Arguments:
        critic: Takes `(pi, alpha)` and gives a logit for each row, with shape :math:`(N,)`.
        pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
        alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`.
        groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are no negatives.
        generator: Ignored: nothing here is random.
        joined: The codes of all ranks, if each sample meets those of every rank.

    Returns:
        The logits of :math:`N` joint pairs, and of all :math:`N \times N` pairs with a mask of the marginal ones. With
        :math:`R` ranks joined there are :math:`N \times R N`.

    Raises:
        ValueError: If there are fewer than 2 samples, or the critic does not give one logit a row.

    Example:
        >>> pairs = all_pairs(mireg.SeparableCritic(2, 3), torch.randn(8, 2), torch.randn(8, 3))
        >>> pairs.marginal.shape, int(pairs.mask.sum())
        (torch.Size([8, 8]), 56)
    """
    n = len(pi)
    _check_batch(n)
    everyone = joined or Joined(alpha, groups, slice(0, n))
    logits = _all_logits(critic, pi, everyone.alpha)
    identity = everyone.groups
    if identity is None:
        identity = torch.arange(len(everyone.alpha), device=pi.device)
    different = identity[:, None] != identity
    return Pairs(
        logits[:, everyone.own].diagonal(),
        logits,
        different[everyone.own],
        different.sum() / everyone.ranks,
    )


def _all_logits(critic: nn.Module, pi: Tensor, alpha: Tensor) -> Tensor:
    """Gives a critic's logits of every row of `pi` with every row of `alpha`."""
    pairwise: Callable[[Tensor, Tensor], Tensor] | None = getattr(critic, "pairwise", None)
    if pairwise is not None:
        return pairwise(pi, alpha)
    n, m = len(pi), len(alpha)
    rows, columns = torch.arange(n, device=pi.device), torch.arange(m, device=pi.device)
    return _logits(critic, pi[rows.repeat_interleave(m)], alpha[columns.repeat(n)]).view(n, m)


def _check_batch(n: int) -> None:
    if n < 2:
        raise ValueError(f"marginal pairs need a batch of at least 2 samples, got {n}")


def _logits(critic: nn.Module, pi: Tensor, alpha: Tensor) -> Tensor:
    """Gives a critic's logits of paired rows, and raises if they are not one a pair."""
    logits: Tensor = critic(pi, alpha)
    if logits.shape != pi.shape[:1]:
        raise ValueError(
            f"a critic must give one logit for each pair, with shape {(len(pi),)}, got {tuple(logits.shape)} "
            f"from {type(critic).__name__}"
        )
    return logits


PAIRINGS: dict[str, Callable[..., Pairs]] = {"roll": roll_pairs, "all": all_pairs}
"""The ways to pair a batch, by the name that `pairs=` takes."""


def pairing(pairs: str | int) -> Callable[..., Pairs]:
    """Gives the way to pair a batch that `pairs=` asks for: a name, or the number of negatives a sample."""
    if isinstance(pairs, str):
        check_choice("pairs", pairs, PAIRINGS)
        return PAIRINGS[pairs]
    if pairs < 1:
        raise ValueError(f"pairs must be 1 negative a sample or more, got {pairs}")
    return partial(roll_pairs, negatives=pairs)
