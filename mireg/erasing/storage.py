"""Files of erasers, made of plain values and tensors, so that loading one runs no code."""

__all__ = ["plain", "read", "report_of", "values_of", "write"]

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..auditing.correlations import Correlations
from ..auditing.curve import LearningCurve, Recognition
from ..auditing.report import AuditReport, Stratum

FORMAT = 1

PARTS = {"curve": LearningCurve, "recognition": Recognition, "correlations": Correlations}
"""The named tuples of a report, which a file holds as tuples."""


def write(state: dict[str, Any], path: str | Path) -> None:
    """Writes a file atomically: an interruption leaves the former file intact.

    Arguments:
        state: Plain values and tensors by name.
        path: The file.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: str | Path) -> dict[str, Any]:
    """Returns the values and tensors that :func:`write` wrote.

    Raises:
        ValueError: If the file was not written by an eraser, or has another format.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{path} must be a file that Eraser.save wrote (format {FORMAT}), got format {found}"
        )
    return dict(state)


def plain(value: Any) -> Any:
    """Returns numbers and arrays of numpy as plain values, and other values unchanged."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def values_of(report: AuditReport | None) -> dict[str, Any] | None:
    """Returns a report as plain values."""
    if report is None:
        return None
    values = dict(vars(report))
    for name in PARTS:
        values[name] = None if values[name] is None else tuple(values[name])
    return {**values, "strata": [dict(vars(stratum)) for stratum in report.strata]}


def report_of(values: dict[str, Any] | None) -> AuditReport | None:
    """Returns the report for plain values."""
    if values is None:
        return None
    made = {name: values[name] and kind(*values[name]) for name, kind in PARTS.items()}
    strata = tuple(Stratum(**stratum) for stratum in values["strata"])
    return AuditReport(**{**values, **made, "strata": strata})
