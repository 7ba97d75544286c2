r"""The metrics of a penalty and their names."""

__all__ = ["MetricName", "Metrics"]

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Literal, Protocol

from torch import Tensor

MetricName = Literal[
    "mi",
    "mi_shadow",
    "mi_average",
    "mi_shadow_average",
    "accuracy",
    "shadow_accuracy",
    "kl",
    "gamma",
    "multiplier",
]
"""The names of metrics. If terms of a sum share a name, a position precedes it, as in `"0.mi"`."""


class Metrics(Protocol):
    """A read-only `dict[str, Tensor]` of detached scalars, whose names editors can complete.

    Example:
        >>> penalty = mireg.ClassifierMI(2, 3)(torch.randn(8, 2), torch.randn(8, 3))
        >>> list(penalty.metrics), penalty.metrics["multiplier"]
        (['mi', 'mi_average', 'accuracy', 'multiplier'], tensor(1.))
    """

    def __getitem__(self, name: MetricName | str, /) -> Tensor:
        """Returns the metric with a name."""

    def __contains__(self, name: object, /) -> bool:
        """Returns whether there is a metric with a name."""

    def __iter__(self) -> Iterator[str]:
        """Returns the names."""

    def __len__(self) -> int:
        """Returns the number of metrics."""

    def keys(self) -> KeysView[str]:
        """Returns the names."""

    def values(self) -> ValuesView[Tensor]:
        """Returns the metrics."""

    def items(self) -> ItemsView[str, Tensor]:
        """Returns names and metrics."""
