r"""Networks for the critics T and T', which return one logit for each pair of codes.

A critic maps codes and :class:`mireg.pairs.Pairs` to logits. :func:`as_critic` adapts any module
that takes `(pi, alpha)` and returns logits with shape :math:`(N,)`.
"""

__all__ = [
    "ConcatenatedCritic",
    "Critic",
    "LabelCritic",
    "SeparableCritic",
    "SumCritic",
    "as_critic",
    "default_critic",
]

from inspect import signature
from typing import cast

import torch
from torch import Tensor, nn

from ._checks import Shape, alpha_shape, shown
from ._rows import JointAndMarginal, Rows
from .layers import LeakyReLU, LinearPlus, mlp, pooled, shown_in_octaves
from .pairs import Pairs


class Critic(nn.Module):
    """The interface of a critic. Features of a code are computed once, however many pairs it is in.

    Example:
        >>> class Bilinear(mireg.Critic):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = torch.nn.Linear(2, 3)
        ...
        ...     def of_pi(self, pi):
        ...         return self.layer(pi)
        ...
        ...     def of_alpha(self, alpha):
        ...         return alpha
        ...
        ...     def compare(self, u, v):
        ...         return (u * v).sum(-1)
        >>> Bilinear()(torch.randn(4, 2), torch.randn(4, 3)).shape
        torch.Size([4])
    """

    all_pairs: bool = False
    """Whether the logits of all pairs of a batch cost little more than those of a few."""
    sizes: str = ""
    """The text that `print` shows instead of the layers."""

    def of_pi(self, pi: Tensor) -> Tensor:
        r"""Returns the features of :math:`\pi` alone, with shape :math:`(N, H)`."""
        raise NotImplementedError(f"{type(self).__name__} must define of_pi")

    def of_alpha(self, alpha: Tensor) -> Tensor:
        r"""Returns the features of :math:`\alpha` alone, with shape :math:`(M, H)`."""
        raise NotImplementedError(f"{type(self).__name__} must define of_alpha")

    def compare(self, u: Tensor, v: Tensor) -> Tensor:
        """Returns the logits of features, row by row. All dimensions but the last broadcast."""
        raise NotImplementedError(f"{type(self).__name__} must define compare")

    def compare_all(self, u: Tensor, v: Tensor) -> Tensor:
        """Returns the logits of every row of `u` with every row of `v`.

        Arguments:
            u: Features, with shape :math:`(*, N, H)`.
            v: Features, with shape :math:`(*, M, H)`.

        Returns:
            The logits, with shape :math:`(*, N, M)`.
        """
        return self.compare(u.unsqueeze(-2), v.unsqueeze(-3))

    def forward(
        self, pi: Tensor, alpha: Tensor, pairs: Pairs | None = None
    ) -> Tensor | JointAndMarginal:
        r"""
        Arguments:
            pi: The codes :math:`\pi`, with shape :math:`(N, *)`.
            alpha: The codes :math:`\alpha`, with shape :math:`(M, *)`.
            pairs: Which codes are paired. By default, equal rows of `pi` and `alpha`.

        Returns:
            The logits of joint pairs, with shape :math:`(N,)`. If `pairs` is given, also those of
            marginal pairs, with shape :math:`(K, N)` or :math:`(N, C)`.
        """
        u, v = self.of_pi(pi), self.of_alpha(alpha)
        if pairs is None:
            return self.compare(u, v)
        if pairs.marginal is None:
            logits = self.compare_all(*pairs.in_blocks(u, v))
            if logits.ndim != 3:
                raise ValueError(
                    f"{type(self).__name__}.compare must return one logit per pair and sum over "
                    f"the last dimension, got logits of blocks with shape {tuple(logits.shape)}"
                )
            every = logits.flatten(0, 1)
            return every.gather(1, pairs.joint[:, None]).squeeze(1), every
        # index_select, since the gradient of indexing takes ten times as long.
        rows = torch.cat((pairs.joint[None], pairs.marginal))
        partners = v.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        logits = self.compare(u, partners)
        return logits[0], logits[1:]

    def __repr__(self) -> str:
        # One line: the layers of two critics would fill the screen.
        return f"{type(self).__name__}({self.sizes})" if self.sizes else super().__repr__()


class SeparableCritic(Critic):
    r"""Creates two towers with an inner product, the critic of the authors' published program.

    .. math:: T(\pi, \alpha) = \langle g(\pi), h(\alpha) \rangle

    The logits of all pairs are one matrix product. It adapts to changing codes faster, and overfits
    less, than a network on concatenated codes. Each tower is a linear map plus a perceptron: linear
    maps find correlations quickly, which matters most if codes have many features.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        width: The number of hidden units, and of outputs of each tower.
        depth: The number of hidden layers.

    Example:
        >>> critic = SeparableCritic(3, 5)
        >>> critic(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8])
    """

    all_pairs = True

    def __init__(
        self, pi_features: Shape, alpha_features: Shape, width: int = 128, depth: int = 3
    ) -> None:
        super().__init__()

        pi_layers, pi_width = pooled(pi_features, width)
        alpha_layers, alpha_width = pooled(alpha_features, width)
        self.pi_tower = nn.Sequential(pi_layers, LinearPlus(pi_width, width, depth, width))
        self.alpha_tower = nn.Sequential(alpha_layers, LinearPlus(alpha_width, width, depth, width))
        self.scale = width**-0.5
        self.sizes = f"{shown(pi_features)}, {shown(alpha_features)}, {width=}, {depth=}"

    def of_pi(self, pi: Tensor) -> Tensor:
        return torch.mul(self.pi_tower(pi), self.scale)

    def of_alpha(self, alpha: Tensor) -> Tensor:
        return cast(Tensor, self.alpha_tower(alpha))

    def compare(self, u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum(dim=-1)

    def compare_all(self, u: Tensor, v: Tensor) -> Tensor:
        return u @ v.mT


class ConcatenatedCritic(Critic):
    r"""Creates a multi-layer perceptron on concatenated codes.

    .. math:: T(\pi, \alpha) = \mathrm{MLP}([\pi, \alpha])

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The number of features of :math:`\alpha`, or its shape.
        width: The number of hidden units.
        depth: The number of hidden layers.
        octaves: The number of :class:`mireg.layers.Octaves` of :math:`\pi` in the first layer.

    Example:
        >>> critic = ConcatenatedCritic(3, 5)
        >>> critic(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8])
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

        # A linear layer on the concatenation is the sum of one layer per code, run once per code.
        pi_layers, pi_width = pooled(pi_features, width)
        alpha_layers, alpha_width = pooled(alpha_features, width)
        detail, pi_width = shown_in_octaves(pi_width, octaves)
        self.pi_layer = nn.Sequential(pi_layers, detail, nn.Linear(pi_width, width))
        self.alpha_layer = nn.Sequential(alpha_layers, nn.Linear(alpha_width, width, bias=False))
        self.head = nn.Sequential(LeakyReLU(), mlp(width, width, depth - 1, 1))
        self.sizes = (
            f"{shown(pi_features)}, {shown(alpha_features)}, {width=}, {depth=}, {octaves=}"
        )

    def of_pi(self, pi: Tensor) -> Tensor:
        return cast(Tensor, self.pi_layer(pi))

    def of_alpha(self, alpha: Tensor) -> Tensor:
        return cast(Tensor, self.alpha_layer(alpha))

    def compare(self, u: Tensor, v: Tensor) -> Tensor:
        activation, layers = self.head
        # The activation works in place. On a view, autograd would copy all gradients.
        hidden = cast(Tensor, activation(u + v))
        return cast(Tensor, layers(hidden.flatten(0, -2))).view(hidden.shape[:-1])


class SumCritic(nn.Module):
    r"""Creates the sum of critics: one may quickly learn a dependence that another learns slowly.

    .. math:: T(\pi, \alpha) = \sum_i T_i(\pi, \alpha)

    Arguments:
        critics: The critics, or modules that :func:`as_critic` adapts.

    Raises:
        ValueError: If there is no critic.

    Example:
        >>> critic = SumCritic(ConcatenatedCritic(3, 5), SeparableCritic(3, 5))
        >>> critic(torch.randn(8, 3), torch.randn(8, 5)).shape
        torch.Size([8])
    """

    def __init__(self, *critics: nn.Module) -> None:
        super().__init__()

        if not critics:
            raise ValueError("a sum needs at least one critic, got none")
        self.critics = nn.ModuleList(as_critic(critic) for critic in critics)
        self.all_pairs = all(getattr(critic, "all_pairs", False) for critic in critics)

    def forward(
        self, pi: Tensor, alpha: Tensor, pairs: Pairs | None = None
    ) -> Tensor | JointAndMarginal:
        logits = [critic(pi, alpha, pairs) for critic in self.critics]
        shapes = [[x.shape for x in each] if pairs is not None else each.shape for each in logits]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(
                f"the critics of a sum must return logits of the same shapes, got {shapes} from "
                f"{[type(critic).__name__ for critic in self.critics]}: define of_pi, of_alpha "
                "and compare instead of forward"
            )
        if pairs is None:
            return torch.stack(logits).sum(0)
        joint, marginal = (torch.stack(each).sum(0) for each in zip(*logits, strict=True))
        return joint, marginal

    def __repr__(self) -> str:
        return f"SumCritic({', '.join(map(repr, self.critics))})"


class LabelCritic(Critic):
    r"""Creates a critic for class labels, with one output per class.

    .. math:: T(\pi, \alpha) = f(\pi)_\alpha

    Here f is a linear map plus a perceptron.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        classes: The number of classes. Labels are integers from 0 to `classes - 1`.
        width: The number of hidden units.
        depth: The number of hidden layers.

    Raises:
        ValueError: If there are fewer than 2 classes.

    Example:
        >>> critic = LabelCritic(3, classes=10)
        >>> critic(torch.randn(8, 3), torch.randint(10, (8,))).shape
        torch.Size([8])
    """

    all_pairs = True

    def __init__(self, pi_features: Shape, classes: int, width: int = 256, depth: int = 2) -> None:
        super().__init__()

        if classes < 2:
            raise ValueError(f"labels need at least 2 classes, got {classes}")
        self.classes = classes
        pi_layers, pi_width = pooled(pi_features, width // 2)
        self.mlp = nn.Sequential(pi_layers, LinearPlus(pi_width, width, depth, classes))
        self.sizes = f"{shown(pi_features)}, {classes=}, {width=}, {depth=}"

    def of_pi(self, pi: Tensor) -> Tensor:
        return cast(Tensor, self.mlp(pi))

    def of_alpha(self, alpha: Tensor) -> Tensor:
        return alpha.long()

    def compare(self, u: Tensor, v: Tensor) -> Tensor:
        return u.expand(*v.shape, -1).gather(-1, v[..., None]).squeeze(-1)

    def compare_all(self, u: Tensor, v: Tensor) -> Tensor:
        return u.gather(-1, v.unsqueeze(-2).expand(*u.shape[:-1], -1))


def as_critic(module: nn.Module) -> nn.Module:
    """Returns a critic made from any module of `(pi, alpha)`. A :class:`Critic` is left unchanged.

    Arguments:
        module: A module that takes `(pi, alpha)` and returns logits with shape :math:`(N,)`.

    Returns:
        A module that also takes :class:`mireg.pairs.Pairs`, as :class:`Critic` does.

    Raises:
        TypeError: If `module` is not a module, or is a critic whose `forward` takes no pairs.

    Example:
        >>> as_critic(LabelCritic(3, classes=2))
        LabelCritic(3, classes=2, width=256, depth=2)
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"a critic must be a module that takes (pi, alpha), got {type(module).__name__}"
        )
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise TypeError(
            "a critic must be a module of Python, got one that is scripted, whose parameters "
            "cannot be held constant: pass the module without torch.jit.script"
        )
    if not isinstance(module, Critic | SumCritic | Rows):
        return Rows(module)
    if isinstance(module, Critic) and "pairs" not in signature(module.forward).parameters:
        raise TypeError(
            f"{type(module).__name__}.forward takes no pairs, which a mireg.Critic must: define "
            "of_pi, of_alpha and compare instead, or derive from torch.nn.Module"
        )
    return module


def default_critic(
    pi_features: Shape, alpha_features: Shape | None = None, classes: int | None = None
) -> Critic:
    r"""Returns a critic for labels, or for vectors, token sequences, maps or volumes.

    Arguments:
        pi_features: The number of features of :math:`\pi`, or its shape.
        alpha_features: The same for :math:`\alpha`; `None` if it is a label.
        classes: The number of classes if :math:`\alpha` is a label.

    Returns:
        A :class:`LabelCritic` or a :class:`SeparableCritic`.

    Raises:
        ValueError: Unless exactly one of `alpha_features` and `classes` is given.

    Example:
        >>> default_critic(32, classes=10)
        LabelCritic(32, classes=10, width=256, depth=2)
    """
    shape = alpha_shape(alpha_features, classes)
    if classes is not None:
        return LabelCritic(pi_features, classes)
    return SeparableCritic(pi_features, shape)
