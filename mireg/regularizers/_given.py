r"""The condition y of conditional information: how critics see it, and how it weights pairs.

.. math:: I(\pi, \alpha \,|\, y)
    = \mathrm{KL}(p(\pi, \alpha, y) \,\|\, p(\pi | y) \, p(\alpha | y) \, p(y))

If y is a label, a marginal pair has the :math:`\alpha` of another sample with the same y. If y is a
code, no two samples share it. Every other sample is then weighted by
:math:`p(\alpha | y) / p(\alpha)`, which a critic of y and :math:`\alpha` learns.
"""

__all__ = ["Given"]

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import functional
from .._checks import Shape, as_shape, check_given_classes
from ..critics import default_critic
from ..pairs import Pairs, normalized, normalized_rows
from ..ranks import Ranks
from ..scaling import channels_at


class Given(nn.Module):
    """Creates the part that shows a condition y to critics.

    Arguments:
        features: The number of features of y; `None` if y is a label.
        classes: The number of classes of y; `None` if y is a code.
        alpha_features: The argument of the regularizer.
        alpha_classes: The argument `classes` of the regularizer.
    """

    def __init__(
        self,
        features: Shape | None,
        classes: int | None,
        alpha_features: Shape | None,
        alpha_classes: int | None,
    ) -> None:
        super().__init__()

        self.classes = check_given_classes(features, classes)
        self.shape: tuple[int, ...] = () if features is None else as_shape(features)
        self.width = self.classes or self.shape[0]
        if features is not None:
            self.critic = default_critic(self.width, alpha_features, alpha_classes)

    def beside(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        r"""Returns the shape of a code :math:`\pi` with y appended to its features or channels."""
        at = channels_at(shape) - 1
        return (*shape[:at], shape[at] + self.width, *shape[at + 1 :])

    def append(self, pi: Tensor, y: Tensor) -> Tensor:
        r"""Returns codes :math:`\pi` with y appended at each position, one-hot if y is a label."""
        if self.classes is not None:
            y = F.one_hot(y.clamp(min=0), self.classes)
        at = channels_at(pi.shape[1:])
        y = y.to(pi.dtype).reshape(
            len(y), *[self.width if i == at else 1 for i in range(1, pi.ndim)]
        )
        sizes = [-1 if i == at else size for i, size in enumerate(pi.shape)]
        return torch.cat((pi, y.expand(sizes)), at)

    def learn(self, y: Tensor, pool: Tensor, pairs: Pairs, ranks: Ranks) -> tuple[Pairs, Tensor]:
        """Returns pairs weighted by the ratio of the critic of y, and the loss of that critic.

        Arguments:
            y: The standardised codes y, with shape :math:`(N, D)`.
            pool: The pool of partners.
            pairs: The pairs, regardless of y.
            ranks: The ranks that share the batch.
        """
        joint, marginal = cast(tuple[Tensor, Tensor], self.critic(y, pool, pairs))
        loss = functional.critic_loss(joint, marginal, *pairs.weights)
        if pairs.marginal is not None:
            # A few partners are not a sample of p(α | y): do not normalise ratios per row.
            ratio = marginal.detach().clamp(max=10).exp()
            if pairs.marginal_weights is not None:
                ratio = ratio * pairs.marginal_weights
            return pairs._replace(marginal_weights=normalized(ratio, ranks)), loss
        # Ratios are normalised per row, so scale the largest to 1 to avoid overflow.
        ratio = (marginal - marginal.amax(1, keepdim=True)).detach().exp()
        if pairs.marginal_weights is not None:
            ratio = ratio * pairs.marginal_weights
        of_joint, of_marginal = normalized_rows(ratio, 1, ranks)
        return pairs._replace(joint_weights=of_joint, marginal_weights=of_marginal), loss

    def extra_repr(self) -> str:
        return f"classes={self.classes}" if self.classes else f"features={self.width}"
