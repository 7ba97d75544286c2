r"""The mixture of the members of a panel into one critic, fitted on other samples."""

__all__ = ["CodeMixture", "LabelMixture"]

from collections.abc import Callable

import torch
from torch import Tensor

from ..functional import critic_loss


def _minimize(loss: Callable[[Tensor], Tensor], size: int, samples: int) -> Tensor:
    free = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # Regularised, so that few samples do not select a single member.
        total = loss(free) + free.square().sum() * 0.5 / samples
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(closure)
    return free.detach()


def _scale(free: Tensor) -> Tensor:
    """Returns a scale of at most 1.2, and of 1 at 0."""
    return 1.2 * torch.sigmoid(free + 1.609)


class CodeMixture:
    """Creates the mixture of code critics (scale, bias and weights) with the lowest loss.

    Arguments:
        joint: The logits of each member for joint pairs, with shape (M, N).
        marginal: Its logits for marginal pairs, with shape (M, K, N).
        mask: Which marginal pairs count, with shape (K, N).
    """

    def __init__(self, joint: Tensor, marginal: Tensor, mask: Tensor) -> None:
        joint, marginal = joint.double(), marginal.double()[:, mask]

        def loss(free: Tensor) -> Tensor:
            return critic_loss(self._mix(free, joint), self._mix(free, marginal))

        self.free = _minimize(loss, len(joint) + 2, joint.shape[1])
        # In heavy tails, a few marginal pairs have larger logits than any joint pair. Clip them, or
        # they dominate all means.
        self.most = float(self._mix(self.free, joint).max())

    @staticmethod
    def _mix(free: Tensor, logits: Tensor) -> Tensor:
        mixed = torch.tensordot(free[:-2].softmax(0), logits, 1)
        return torch.add(_scale(free[-2]) * mixed, free[-1])

    def __call__(self, logits: Tensor) -> Tensor:
        """Returns the logits, with shape (K, N), for members' logits with shape (M, K, N)."""
        return self._mix(self.free.to(logits.dtype), logits).clamp(max=self.most)


class LabelMixture:
    """Creates the mixture of classifiers with the lowest cross-entropy, by scale and weights.

    Arguments:
        ratios: The logits of each member for every label, with shape (M, C, N).
        labels: The labels, with shape (N,).
        log_prior: The logarithm of each label's frequency, with shape (C,).
    """

    def __init__(self, ratios: Tensor, labels: Tensor, log_prior: Tensor) -> None:
        self.log_prior = log_prior
        of = ratios.double()

        def loss(free: Tensor) -> Tensor:
            mixed = self._mix(free, of)
            rows = torch.arange(len(labels))
            return -(mixed[labels, rows] + log_prior.double()[labels]).mean()

        self.free = _minimize(loss, len(ratios) + 1, len(labels))

    def _mix(self, free: Tensor, ratios: Tensor) -> Tensor:
        mixed = _scale(free[-1]) * torch.tensordot(free[:-1].softmax(0), ratios, 1)
        return torch.sub(mixed, torch.logsumexp(mixed + self.log_prior[:, None].to(mixed.dtype), 0))

    def __call__(self, ratios: Tensor) -> Tensor:
        """Returns the logits, with shape (C, N), for members' logits with shape (M, C, N)."""
        return self._mix(self.free.to(ratios.dtype), ratios)
