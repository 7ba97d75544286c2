r"""What a penalty saw, by names that stay."""

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
"""The names of metrics; in a sum of regularizers those that several terms have start with a position, as in `"0.mi"`."""


class Metrics(Protocol):
    """What a `dict[str, Tensor]` offers to read, with names that an editor completes. All values are detached scalars."""

    def __getitem__(self, name: MetricName | str, /) -> Tensor:
        """Returns the metric of a name."""

    def __contains__(self, name: object, /) -> bool:
        """Returns whether there is a metric of that name."""

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
