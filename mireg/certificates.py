r"""A proven interval for what a code with finitely many values reveals to any model."""

__all__ = ["Certificate", "certify"]

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .concentration import information_interval, kl_limits, plug_in_information


@dataclass(frozen=True)
class Certificate:
    r"""The result of :func:`certify`: an interval, an accuracy and a parity gap.

    Each of these three statements holds with probability `confidence`.

    Example:
        >>> print(mireg.certify(torch.arange(4000) % 4, torch.arange(4000) // 4 % 2))
        Information of the label in the cells
          certified    0.000 to 0.009 nats, 95 % confidence
          in samples   0.000 nats
          any model    predicts the label in at most 51.9 % of cases
          any model    has a parity gap of at most 0.039
          data         4,000 samples, 4 cells, 2 labels
    """

    lower: float
    r"""The lower limit of :math:`I(c; y)`, or of :math:`I(c; y | z)`, in nats."""
    upper: float
    """The upper limit, in nats."""
    plug_in: float
    """The information in the table of counts, in nats. More cells bias it further upwards."""
    accuracy: float
    """The largest accuracy of any model that predicts the label from the cell (and the stratum)."""
    parity_gap: float | None
    """The largest difference between two labels in the rate of any decision, over all strata.
    `None` if it is not defined: see the guide."""
    confidence: float
    """The confidence of each statement."""
    samples: int
    """The number of samples."""
    units: int
    """The number of groups; the number of samples if no groups were given."""
    cells: int
    """The number of cells that occur."""
    labels: int
    """The number of labels."""
    strata: int
    """The number of strata; 1 if none were given."""

    def to_dict(self) -> dict[str, Any]:
        """Returns all numbers by name, as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        of = f"{self.samples:,} samples"
        if self.units != self.samples:
            of += f" in {self.units:,} groups"
        of += f", {self.cells} cells, {self.labels} labels"
        if self.strata > 1:
            of += f", {self.strata} strata"
        percent = f"{100 * self.confidence:g} % confidence"
        rows = [
            ("certified", f"{self.lower:.3f} to {self.upper:.3f} nats, {percent}"),
            ("in samples", f"{self.plug_in:.3f} nats"),
            ("any model", f"predicts the label in at most {100 * self.accuracy:.1f} % of cases"),
        ]
        if self.parity_gap is not None:
            rows.append(("any model", f"has a parity gap of at most {self.parity_gap:.3f}"))
        lines = [f"  {name:<11}  {text}" for name, text in [*rows, ("data", of)]]
        return "\n".join(["Information of the label in the cells", *lines])


def certify(
    cells: Any,
    labels: Any,
    groups: Any = None,
    given: Any = None,
    confidence: float = 0.95,
    *,
    classes: int | None = None,
) -> Certificate:
    r"""Returns a certificate of how much a code with finitely many values reveals about a label.

    The interval contains :math:`I(c; y)` with the stated confidence, for any number of samples and
    any distribution. The limits on accuracy and parity gap hold for every model that sees only the
    cell, whenever and on whatever data it is trained. The guide has the proof. Samples (groups, if
    given) must be drawn independently, and the encoder must be fixed before they are seen. If
    several encoders are certified on the same samples, divide the error probability by their
    number.

    References:
        | FARE: Provably Fair Representation Learning with Practical Certificates
        | (Jovanović et al., 2023), the idea of certified cells
        | https://arxiv.org/abs/2210.07213

    Arguments:
        cells: The cell :math:`c` of each sample, integers with shape :math:`(N,)`, as
            :meth:`mireg.QuantizedEncoder.cells` returns them.
        labels: The label :math:`y` of each sample, with shape :math:`(N,)`.
        groups: The source of each sample, with shape :math:`(N,)`, such as a person or a patient.
            The statements are then about a random row of a random group: each group counts once.
        given: A label :math:`z` with shape :math:`(N,)`, to certify :math:`I(c; y | z)`.
        confidence: The confidence of each statement.
        classes: The number of labels that can occur, if some are missing from the sample.

    Returns:
        The :class:`Certificate`.

    Raises:
        ValueError: If shapes differ, if there are fewer than two labels, or if the confidence is
            not in [0.5, 1).

    Example:
        >>> cells = torch.randint(8, (10_000,))
        >>> certificate = mireg.certify(cells, (cells + torch.randint(6, (10_000,))) % 8 < 4)
        >>> certificate.lower < certificate.plug_in < certificate.upper
        True
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be in [0.5, 1), got {confidence}")
    cell, count_cells = _index("cells", cells)
    n = len(cell)
    label, count_labels = _index("labels", labels, n)
    stratum, strata = _index("given", np.zeros(n) if given is None else given, n)
    group, units = _index("groups", np.arange(n) if groups is None else groups, n)
    if classes is not None and classes < count_labels:
        raise ValueError(
            f"classes must be at least the number of labels that occur, {count_labels}, got "
            f"{classes}"
        )
    m = count_labels if classes is None else classes
    if m < 2 or n < 2:
        raise ValueError(f"a certificate needs at least 2 samples and 2 labels, got {n} and {m}")

    weight = 1 / (units * np.bincount(group)[group])
    place = (stratum * count_cells + cell) * m + label
    size = strata * count_cells * m
    table = np.bincount(place, weight, size).reshape(strata, count_cells, m)
    error = 1 - confidence
    lower, upper = information_interval(table, units, error)
    # The best guess for the sample is right on it at least as often as the best guess overall.
    right = min(1.0, float(table.max(2).sum()))
    return Certificate(
        lower=lower,
        upper=upper,
        plug_in=plug_in_information(table),
        accuracy=float(kl_limits(np.array(right), math.log(1 / error) / units)[1]),
        parity_gap=_parity_gap(table, stratum * m + label, group, units, error),
        confidence=confidence,
        samples=n,
        units=units,
        cells=count_cells,
        labels=m,
        strata=strata,
    )


def _parity_gap(
    table: np.ndarray, kind: np.ndarray, group: np.ndarray, units: int, error: float
) -> float | None:
    r"""Returns an upper limit on the total variation between the cells of two labels.

    By Hoeffding's inequality for the set of cells that attains the true variation,

    .. math:: \mathrm{TV} \leq \widehat{\mathrm{TV}}
        + \sqrt{\tfrac{1}{2} \log \tfrac{1}{\delta} ( \tfrac{1}{n_0} + \tfrac{1}{n_1} )}

    Arguments:
        table: The shares of strata, cells and labels, with shape (Z, K, M).
        kind: The stratum and label of each sample as one number, with shape (N,).
        group: The group of each sample, with shape (N,).
        units: The number of groups.
        error: The error probability, which is divided by the number of strata.
    """
    strata, _, m = table.shape
    kinds = np.unique(np.stack((group, kind)), axis=1)
    # Undefined if a group has two labels or is in two strata: it would be on both sides.
    if m != 2 or kinds.shape[1] > units:
        return None
    counts = np.bincount(kinds[1], minlength=strata * m).reshape(strata, m)
    if not counts.all():
        return 1.0
    shares = table / table.sum(1, keepdims=True)
    found = np.abs(shares[..., 0] - shares[..., 1]).sum(1) / 2
    slack = np.sqrt(math.log(strata / error) / 2 * (1 / counts).sum(1))
    return min(1.0, float((found + slack).max()))


def _index(name: str, values: Any, n: int | None = None) -> tuple[np.ndarray, int]:
    """Returns the values as integers from 0, and the number of distinct values."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim != 1 or n not in (None, len(array)):
        wanted = "(N,)" if n is None else f"({n},), like the cells"
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    if array.dtype.kind == "f" and name != "given" and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    found, index = np.unique(array, return_inverse=True)
    return index.reshape(-1), len(found)
