r"""Joint and marginal pairs of codes, and a critic's logits for them.

Joint pairs are rows of the same batch index; marginal pairs are rows of different samples, and of different `groups` where these are given, since two
samples of one identity are not independent.
"""

__all__ = ["PAIRINGS", "Pairs", "all_pairs", "roll_pairs", "rolled_index"]

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from . import distributed
from .distributed import Joined


class Pairs(NamedTuple):
    """A critic's logits for joint and marginal pairs."""

    joint: Tensor
    """The logits of joint pairs, with shape :math:`(N,)`."""
    marginal: Tensor
    """The logits of marginal pairs, with shape :math:`(N,)` or :math:`(N, N)`."""
    mask: Tensor | None
    """Which marginal pairs count, with the shape of `marginal`; `None` if all do."""
    negatives: Tensor | None = None
    """How many marginal pairs count, averaged over ranks; those of `mask` if `None`."""


def rolled_index(
    n: int, device: torch.device | None = None, generator: Generator | None = None
) -> Tensor:
    """Gives a cyclic shift of `0, …, n - 1` by a random step from 1 to `n - 1`.

    No index stays in its place, whatever the parity of `n`. A reversed batch of odd size keeps one, and a random permutation one on average.

    Arguments:
        n: The number of samples, at least 2.
        device: The device of the index.
        generator: Where the random step comes from; the global generator by default.

    Returns:
        The index, with shape :math:`(N,)`.

    Example:
        >>> rolled_index(2)
        tensor([1, 0])
    """
    _check_batch(n)
    # The step stays a tensor: its value never has to reach the host. A generator of the CPU serves any device.
    source = generator.device if generator is not None else device
    step = torch.randint(1, n, (1,), device=source, generator=generator).to(device)
    return (torch.arange(n, device=device) + step) % n


def roll_pairs(
    critic: nn.Module,
    pi: Tensor,
    alpha: Tensor,
    groups: Tensor | None = None,
    generator: Generator | None = None,
    joined: Joined | None = None,
) -> Pairs:
    r"""Pairs each sample with itself and with one other, in a single pass of the critic.

    Arguments:
        critic: Takes `(pi, alpha)` and gives a logit for each row, with shape :math:`(N,)`.
        pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
        alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`.
        groups: The identity of each sample, with shape :math:`(N,)`: pairs within one are no negatives.
        generator: Where the random shift comes from: in the same state on every rank.
        joined: The codes of all ranks, if the partners come from any of them.

    Returns:
        The logits of :math:`N` joint and :math:`N` marginal pairs.
    """
    everyone = joined or Joined(alpha, groups, slice(0, len(pi)))
    index = rolled_index(len(everyone.alpha), pi.device, generator)
    if everyone.ranks > 1 and generator is None:
        # Each rank has drawn a shift of its own.
        index = distributed.agree(index, everyone.process_group)
    partners = everyone.alpha[index[everyone.own]]
    logits = _logits(critic, torch.cat((pi, pi)), torch.cat((alpha, partners)))
    joint, marginal = logits.chunk(2)
    if everyone.groups is None:
        return Pairs(joint, marginal, None)
    different = everyone.groups != everyone.groups[index]
    return Pairs(joint, marginal, different[everyone.own], different.sum() / everyone.ranks)


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
