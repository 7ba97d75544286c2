r"""Networks for the critics T and T': a pair of codes goes in, one logit comes out.

Any module that takes `(pi, alpha)` and gives logits with shape :math:`(N,)` is a critic. Those here also have `pairwise`, which gives the logits of all
:math:`N \times N` pairs at the cost of the layers after the first.
"""

__all__ = [
    "ConcatenatedCritic",
    "ConvolutionalCritic",
    "Critic",
    "LabelCritic",
    "SeparableCritic",
    "SumCritic",
    "default_critic",
]

import math
from typing import cast

import torch
from torch import Tensor, nn

from .layers import LeakyReLU, mlp, shown_in_octaves
from .validation import Shape, alpha_shape, as_shape, shown

Halves = tuple[Tensor, ...]
"""What a critic makes of one code before it meets the other."""


class Critic(nn.Module):
    """The interface of a critic: logits of paired rows, and of all pairs.

    What it makes of each code alone is computed once, however many pairs the code is part of.

    Example:
        >>> class Bilinear(mireg.Critic):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(2, 3)
        ...
        ...     def of_pi(self, pi):
        ...         return (self.layer(pi),)
        ...
        ...     def of_alpha(self, alpha):
        ...         return (alpha,)
        ...
        ...     def compare(self, u, v):
        ...         return (u[0] * v[0]).sum(-1)
        >>> Bilinear().pairwise(torch.randn(4, 2), torch.randn(5, 3)).shape
        torch.Size([4, 5])
    """

    halves: int = 1
    """The number of tensors that it makes of each code."""
    sizes: str = ""
    """What `print` shows of the critic, instead of its layers."""

    def of_pi(self, pi: Tensor) -> Halves:
        r"""Gives what the critic makes of :math:`\pi` alone."""
        raise NotImplementedError

    def of_alpha(self, alpha: Tensor) -> Halves:
        r"""Gives what the critic makes of :math:`\alpha` alone."""
        raise NotImplementedError

    def compare(self, u: Halves, v: Halves) -> Tensor:
        """Gives the logits of what :meth:`of_pi` and :meth:`of_alpha` gave, paired row by row. Dimensions before that of the features broadcast."""
        raise NotImplementedError

    def forward(self, pi: Tensor, alpha: Tensor) -> Tensor:
        r"""
        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(N, *)`.

        Returns:
            The logits, with shape :math:`(N,)`.
        """
        return self.compare(self.of_pi(pi), self.of_alpha(alpha))

    def pairwise(self, pi: Tensor, alpha: Tensor) -> Tensor:
        r"""
        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(M, *)`.

        Returns:
            The logits of all pairs, with shape :math:`(N, M)`.
        """
        return self.compare(tuple(x[:, None] for x in self.of_pi(pi)), self.of_alpha(alpha))

    def __repr__(self) -> str:
        # The sizes on one line: layer by layer, two critics would fill the screen.
        return f"{type(self).__name__}({self.sizes})" if self.sizes else super().__repr__()


class ConcatenatedCritic(Critic):
    r"""Creates a multi-layer perceptron on concatenated codes.

    .. math:: T(\pi, \alpha) = \mathrm{MLP}([\pi, \alpha])

    Codes that are not vectors are flattened.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        width: The number of hidden units.
        depth: The number of hidden layers.
        octaves: The number of :class:`mireg.layers.Octaves` that :math:`\pi` is shown in. With 5 of them detail down to a tenth of the
            unit scale of the prior is seen early.

    Example:
        >>> critic = ConcatenatedCritic(3, 5)
        >>> critic(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8])
        >>> critic.pairwise(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8, 8])
    """

    def __init__(
        self,
        pi_features: Shape,
        alpha_features: Shape,
        width: int = 256,
        depth: int = 2,
        octaves: int = 0,
    ) -> None:
        super().__init__()

        # A layer on the concatenation is a sum of two layers: each code passes through its own only once.
        self.octaves, features = shown_in_octaves(math.prod(as_shape(pi_features)), octaves)
        self.pi_layer = nn.Linear(features, width)
        self.alpha_layer = nn.Linear(math.prod(as_shape(alpha_features)), width, bias=False)
        self.head = nn.Sequential(LeakyReLU(), mlp(width, width, depth - 1, 1))
        self.sizes = (
            f"{shown(pi_features)}, {shown(alpha_features)}, {width=}, {depth=}, {octaves=}"
        )

    def of_pi(self, pi: Tensor) -> Halves:
        return (self.pi_layer(self.octaves(pi.flatten(1))),)

    def of_alpha(self, alpha: Tensor) -> Halves:
        return (self.alpha_layer(alpha.flatten(1)),)

    def compare(self, u: Halves, v: Halves) -> Tensor:
        activation, layers = self.head
        # It works in place on the sum itself, and the layers see rows: on a view of it autograd would copy all gradients.
        hidden = cast(Tensor, activation(u[0] + v[0]))
        return cast(Tensor, layers(hidden.flatten(0, -2))).view(hidden.shape[:-1])


class SeparableCritic(Critic):
    r"""Creates two towers with an inner product, the critic of the authors' program.

    .. math:: T(\pi, \alpha) = \langle g(\pi), h(\alpha) \rangle

    All pairs cost one matrix product. It is weaker than :class:`ConcatenatedCritic` on most codes, and stronger on a few.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        width: The number of hidden units, and of the outputs of each tower.
        depth: The number of hidden layers.

    Example:
        >>> critic = SeparableCritic(3, 5)
        >>> critic.pairwise(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8, 8])
    """

    def __init__(
        self, pi_features: Shape, alpha_features: Shape, width: int = 256, depth: int = 2
    ) -> None:
        super().__init__()

        self.pi_tower = mlp(math.prod(as_shape(pi_features)), width, depth, width)
        self.alpha_tower = mlp(math.prod(as_shape(alpha_features)), width, depth, width)
        self.scale = width**-0.5
        self.sizes = f"{shown(pi_features)}, {shown(alpha_features)}, {width=}, {depth=}"

    def of_pi(self, pi: Tensor) -> Halves:
        return (self.pi_tower(pi.flatten(1)),)

    def of_alpha(self, alpha: Tensor) -> Halves:
        return (self.alpha_tower(alpha.flatten(1)),)

    def compare(self, u: Halves, v: Halves) -> Tensor:
        return torch.mul((u[0] * v[0]).sum(dim=-1), self.scale)

    def pairwise(self, pi: Tensor, alpha: Tensor) -> Tensor:
        return torch.mul(self.of_pi(pi)[0] @ self.of_alpha(alpha)[0].T, self.scale)


class SumCritic(Critic):
    r"""Creates the sum of critics: where one is slow to see, another may be fast.

    .. math:: T(\pi, \alpha) = \sum_i T_i(\pi, \alpha)

    A perceptron beside two towers follows moving codes much better than either, and is what :func:`default_critic` gives for vectors.

    Arguments:
        critics: The critics.

    Example:
        >>> critic = SumCritic(ConcatenatedCritic(3, 5), SeparableCritic(3, 5))
        >>> critic(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8])
    """

    def __init__(self, *critics: Critic) -> None:
        super().__init__()

        if not critics:
            raise ValueError("a sum needs at least one critic, got none")
        self.critics = nn.ModuleList(critics)
        self.halves = sum(critic.halves for critic in critics)
        self.sizes = ", ".join(map(repr, critics))

    def terms(self) -> list[Critic]:
        """Gives the critics."""
        return [cast(Critic, critic) for critic in self.critics]

    def of_pi(self, pi: Tensor) -> Halves:
        return tuple(half for critic in self.terms() for half in critic.of_pi(pi))

    def of_alpha(self, alpha: Tensor) -> Halves:
        return tuple(half for critic in self.terms() for half in critic.of_alpha(alpha))

    def compare(self, u: Halves, v: Halves) -> Tensor:
        logits, start = [], 0
        for critic in self.terms():
            own = slice(start, start + critic.halves)
            logits.append(critic.compare(u[own], v[own]))
            start = own.stop
        return torch.stack(logits).sum(0)

    def pairwise(self, pi: Tensor, alpha: Tensor) -> Tensor:
        return torch.stack([critic.pairwise(pi, alpha) for critic in self.terms()]).sum(0)


class ConvolutionalCritic(Critic):
    r"""Creates a critic for feature maps: a convolutional tower a code, averaged over space, then a :class:`ConcatenatedCritic`.

    .. math:: T(\pi, \alpha) = \mathrm{MLP}([g(\pi), h(\alpha)])

    The two maps may differ in channels and in size. A code that is no map goes to the perceptron as it is.

    Arguments:
        pi_features: The shape :math:`(C, H, W)` of :math:`\pi`, or its number of features.
        alpha_features: The shape :math:`(C, H, W)` of :math:`\alpha`, or its number of features.
        width: The number of channels and of hidden units.
        depth: The number of convolutions of a tower, and of hidden layers.

    Example:
        >>> critic = ConvolutionalCritic((16, 4, 4), 5)
        >>> critic(torch.randn(8, 16, 4, 4), torch.randn(8, 5)).shape
        torch.Size([8])
    """

    def __init__(
        self, pi_features: Shape, alpha_features: Shape, width: int = 128, depth: int = 2
    ) -> None:
        super().__init__()

        self.pi_tower, pi_width = self._tower(as_shape(pi_features), width, depth)
        self.alpha_tower, alpha_width = self._tower(as_shape(alpha_features), width, depth)
        self.head = ConcatenatedCritic(pi_width, alpha_width, width, depth)
        self.sizes = f"{shown(pi_features)}, {shown(alpha_features)}, {width=}, {depth=}"

    @staticmethod
    def _tower(shape: tuple[int, ...], width: int, depth: int) -> tuple[nn.Module, int]:
        if len(shape) != 3:
            return nn.Flatten(), math.prod(shape)
        layers: list[nn.Module] = []
        channels = shape[0]
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), LeakyReLU()]
            channels = width
        # Where a feature is matters as much as that it is: a coarse grid survives the averaging.
        grid = (min(2, shape[1]), min(2, shape[2]))
        layers += [nn.AdaptiveAvgPool2d(grid), nn.Flatten()]
        return nn.Sequential(*layers), width * math.prod(grid)

    def of_pi(self, pi: Tensor) -> Halves:
        return self.head.of_pi(self.pi_tower(pi))

    def of_alpha(self, alpha: Tensor) -> Halves:
        return self.head.of_alpha(self.alpha_tower(alpha))

    def compare(self, u: Halves, v: Halves) -> Tensor:
        return self.head.compare(u, v)


class LabelCritic(Critic):
    r"""Creates a critic for class labels: one output of a perceptron on :math:`\pi` for each class.

    .. math:: T(\pi, \alpha) = \mathrm{MLP}(\pi)_\alpha

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        classes: The number of classes: :math:`\alpha` holds integers from 0 to `classes - 1`.
        width: The number of hidden units.
        depth: The number of hidden layers.
        octaves: The number of :class:`mireg.layers.Octaves` that :math:`\pi` is shown in.

    Raises:
        ValueError: If there are fewer than 2 classes.

    Example:
        >>> critic = LabelCritic(3, classes=10)
        >>> critic(torch.randn(8, 3), torch.randint(10, (8,))).shape
        torch.Size([8])
    """

    def __init__(
        self, pi_features: Shape, classes: int, width: int = 256, depth: int = 2, octaves: int = 0
    ) -> None:
        super().__init__()

        if classes < 2:
            raise ValueError(f"labels need at least 2 classes, got {classes}")
        self.classes = classes
        self.octaves, features = shown_in_octaves(math.prod(as_shape(pi_features)), octaves)
        self.mlp = mlp(features, width, depth, classes)
        self.sizes = f"{shown(pi_features)}, {classes=}, {width=}, {depth=}, {octaves=}"

    def of_pi(self, pi: Tensor) -> Halves:
        return (self.mlp(self.octaves(pi.flatten(1))),)

    def of_alpha(self, alpha: Tensor) -> Halves:
        return (alpha.long(),)

    def compare(self, u: Halves, v: Halves) -> Tensor:
        return u[0].expand(*v[0].shape, -1).gather(-1, v[0][..., None]).squeeze(-1)

    def pairwise(self, pi: Tensor, alpha: Tensor) -> Tensor:
        return self.of_pi(pi)[0][:, alpha.long()]


def default_critic(
    pi_features: Shape, alpha_features: Shape | None = None, classes: int | None = None
) -> Critic:
    r"""Creates the critic that suits the codes: labels, maps, or anything else.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape; of three dimensions for a map.
        alpha_features: Likewise for :math:`\alpha`; `None` if it is a label.
        classes: The number of classes where :math:`\alpha` is a label.

    Returns:
        A :class:`LabelCritic` with 5 octaves, a :class:`ConvolutionalCritic`, or the sum of a :class:`ConcatenatedCritic` and a :class:`SeparableCritic`.

    Raises:
        ValueError: If both of `alpha_features` and `classes` are given, or none.

    Example:
        >>> default_critic(32, classes=10)
        LabelCritic(32, classes=10, width=256, depth=2, octaves=5)
    """
    shape = alpha_shape(alpha_features, classes)
    if classes is not None:
        # Without them an encoder of little noise hides labels where a classifier does not look: an audit found 1 nat.
        return LabelCritic(pi_features, classes, octaves=5)
    if 3 in (len(as_shape(pi_features)), len(shape)):
        return ConvolutionalCritic(pi_features, shape)
    return SumCritic(
        ConcatenatedCritic(pi_features, shape), SeparableCritic(pi_features, shape, width=128)
    )
