r"""The eraser, which removes a concept from existing embeddings."""

__all__ = ["Eraser"]

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import Self

from .._checks import check_epsilon, check_positive
from ..auditing import AuditReport, audit
from ..auditing.inputs import MINIMUM
from ..auditing.kinds import Array, Kind
from ..auditing.panel import Progress
from ..certificates import Certificate, certify
from .conventions import Conventions, not_fitted
from .inputs import Known, labels_of, read_embeddings, read_known
from .network import Cells, linear_eraser
from .storage import plain, read, report_of, values_of, write
from .training import KEPT, Task, train

HELD_OUT, MOST_HELD_OUT = 0.15, 10_000
"""The share of rows that are held out for the report, and their largest number."""

FEWEST_CELLS, MOST_CELLS = 8, 512

ROWS_AT_ONCE = 8192


class Eraser(Conventions):
    r"""Creates a map that removes a concept s from embeddings X.

    Rows are merged into cells until the cells reveal at most :math:`\epsilon` nats about s, by an
    estimate from rows that did not choose the merges. The output preserves as much as possible of X
    and, if given, of y.

    .. math:: & \min_T \; \mathbb{E} \, \| T(X) - X \|^2 + \mathrm{loss}(y, T(X)) \\
        & \text{with} \quad I(T(X), s) \leq \epsilon

    Each row is assigned to one of K cells and replaced by the mean of its cell. All information
    about s is then in the table of counts of cells and s, so no critic can be deceived. A model
    trained on the output, on however many rows, sees only the cell. For labels,
    `print(eraser.certificate_)` shows the bound that held-out rows prove, and
    `print(eraser.report_)` what fresh critics find in them.

    First, everything that a linear map reveals about s is removed in closed form. A network
    predicts y from the rest. Cells are placed to preserve X and this prediction. Then the cells
    whose merging costs least per nat are merged until they reveal :math:`\epsilon`. Two thirds of
    the rows choose what to merge, and the others measure what is left: the information in their
    table, less the :math:`(K - 1)(C - 1) / 2N` that chance adds for C labels and N rows (Miller,
    1955).

    The price is detail: at most :math:`\log K` nats of X remain. With y, the cells preserve what
    matters for y. Without y, K means are a coarse version of X.

    It follows scikit-learn's conventions without importing it: arrays in and out, `get_params`, and
    use in a `Pipeline`. The output has the shape of the input and is deterministic.

    .. code-block:: python

        eraser = mireg.Eraser(epsilon=0.05).fit(X, gender, y=profession)
        print(eraser.report_)
        clean = eraser.transform(X_new)

    In a pipeline that ends in a classifier, the second argument is the target, so pass the concept
    by name:

    .. code-block:: python

        pipeline = make_pipeline(mireg.Eraser(), LogisticRegression())
        pipeline.fit(X, profession, eraser__sensitive=gender)

    Arguments:
        epsilon: The target :math:`\epsilon` in nats. :mod:`mireg.leakage` shows what it allows an
            attacker.
        cells: The number K of cells, by default from 8 to 512, so that chance alone contributes at
            most a fifth of :math:`\epsilon` to the table.
        kind: What s is, `"label"` or `"number"`. By default, its values decide, as in
            :func:`mireg.audit`. Numbers are put into 16 bins: the information within a bin is not
            limited, and the report shows it.
        unknown: The value, or the values, of s that mean unknown. `fit` ignores these rows.
        steps: The number of training steps of the network that predicts y.
        batch_size: The number of rows in a step.
        width: The number of hidden units of the network.
        report: Whether to hold out and audit rows, 15 % of all and 10,000 at most.
        random_state: The seed. The global random state of torch and NumPy does not change.
        device: The torch device to compute on.
        progress: A function that is called with the current stage and the share that is done, as in
            :func:`mireg.audit`.

    Attributes:
        report_: The :class:`mireg.AuditReport` of held-out rows. `None` without `report`, or if
            fewer than 200 rows are held out.
        certificate_: The :class:`mireg.Certificate` of the same rows if s is a label; `None`
            otherwise.
        n_features_in_: The number of features D.

    References:
        | FARE: Provably Fair Representation Learning with Practical Certificates
        | (Jovanović et al., 2023), the idea of cells whose counts bound every attacker
        | https://arxiv.org/abs/2210.07213

    Example:
        >>> s = torch.randint(2, (600,)).numpy()
        >>> X = torch.randn(600, 4).numpy()
        >>> X[:, 0] += 3 * s
        >>> eraser = Eraser(epsilon=0.05, steps=50, report=False).fit(X, s)
        >>> eraser.transform(X).shape
        (600, 4)
    """

    n_features_in_: int
    report_: AuditReport | None
    certificate_: Certificate | None

    def __init__(
        self,
        epsilon: float = 0.05,
        *,
        cells: int | None = None,
        kind: Kind | None = None,
        unknown: Any = (),
        steps: int = 1000,
        batch_size: int = 1024,
        width: int = 256,
        report: bool = True,
        random_state: int = 0,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.epsilon = epsilon
        self.cells = cells
        self.kind = kind
        self.unknown = unknown
        self.steps = steps
        self.batch_size = batch_size
        self.width = width
        self.report = report
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def fit(self, X: Any, s: Any = None, y: Any = None, *, sensitive: Any = None) -> Self:
        r"""Fits the map and returns the eraser.

        Arguments:
            X: Embeddings, an array or tensor with shape :math:`(N, D)`.
            s: The concept, with shape :math:`(N,)` or :math:`(N, *)`: labels of any type or
                numbers, as in :func:`mireg.audit`.
            y: What to preserve in addition to X, in the same form; `None` for X alone.
            sensitive: The concept, if a pipeline passes its target as `s`. Then `s` is used as y.

        Raises:
            TypeError: If an argument is not an array of numbers or names.
            ValueError: If shapes or values do not fit, or a setting is out of range.
        """
        if sensitive is not None:
            if s is not None and y is not None:
                raise ValueError(
                    "with sensitive=, the second argument is what to preserve, got y= as well"
                )
            s, y = sensitive, s if y is None else y
        epsilon = check_epsilon(self.epsilon)
        steps = check_positive("steps", self.steps)
        batch = check_positive("batch_size", self.batch_size, least=2)
        width = check_positive("width", self.width)
        device = _device(self.device)
        x = read_embeddings(X)
        if s is None:
            raise ValueError(
                "fit requires y to be passed, but the target y is None: the concept s is needed, "
                "fit(X, s)"
            )
        if len(x) < 2:
            raise ValueError(f"fit needs 2 rows or more, got {len(x)} (n_samples=1)")
        concept = read_known("s", s, len(x), self.kind, self.unknown)
        kept = None if y is None else read_known("y", y, len(x))
        if kept is not None and not kept.rows.all():
            raise ValueError(f"y must be known for all rows, got {int((~kept.rows).sum())} without")
        known = concept.rows
        used = torch.from_numpy(x[known]).float()
        seed = int(self.random_state or 0)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(used), generator=generator)
        held = min(round(HELD_OUT * len(used)), MOST_HELD_OUT) if self.report else 0
        held = held if held >= MINIMUM else 0
        test, rows = order[:held], order[held:]

        mean, scale = used[rows].double().mean(0), used[rows].double().std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        told = self.progress or (lambda what, share: None)
        # Training must not depend on, or change, the caller's random state or gradient mode.
        with (
            torch.random.fork_rng(_index(device)),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            torch.manual_seed(seed)
            standardized = ((used[rows] - mean) / scale).float()
            concept_of_rows, labels = labels_of(concept, rows, generator)
            numbers = torch.from_numpy(concept.values)[rows]
            columns = torch.nn.functional.one_hot(numbers) if concept.labels else numbers
            projection = linear_eraser(standardized, columns)
            y = None if kept is None else torch.from_numpy(kept.values[known])[rows]
            targets = 0 if kept is None else kept.labels
            reduced = standardized - standardized @ projection.T
            task = Task(reduced, standardized, concept_of_rows, labels, y, targets).to(device)
            count = self._count(epsilon, len(rows), labels)
            network = Cells(
                mean,
                scale,
                projection,
                count,
                task.outputs,
                bool(targets),
                width,
                KEPT / task.unit,
            ).to(device)
            train(
                network,
                task,
                epsilon,
                steps,
                min(batch, len(rows)),
                generator,
                lambda share: told("training", 0.9 * share if held else share),
            )
        self.network_ = network.requires_grad_(False).cpu().double()
        self.n_features_in_ = x.shape[1]
        self.report_ = self.certificate_ = None
        if held:
            self._judge(used[test].numpy(), concept, test, epsilon, seed, told)
        elif self.report and len(used) >= MINIMUM:
            warnings.warn(
                f"{len(used)} rows are too few to hold {MINIMUM} out: nothing was audited, and "
                "report_ is None",
                stacklevel=2,
            )
        return self

    def _count(self, epsilon: float, rows: int, labels: int) -> int:
        """Returns the number of cells K. Chance adds about (K - 1) (C - 1) / 2 n nats."""
        if self.cells is not None:
            count = check_positive("cells", self.cells, least=2)
            if count > rows:
                raise ValueError(f"cells must be at most the number of rows, {rows}, got {count}")
            return count
        return min(
            rows, max(FEWEST_CELLS, min(MOST_CELLS, int(0.4 * epsilon * rows / (labels - 1))))
        )

    def _judge(
        self, x: Array, s: Known, test: torch.Tensor, epsilon: float, seed: int, told: Progress
    ) -> None:
        """Audits the held-out rows."""
        cells = self._call(x, torch.device("cpu"), cells=True)
        concept = torch.from_numpy(s.values)[test]
        self.report_ = audit(
            self.network_.centres[torch.from_numpy(cells)],
            concept,
            groups=np.arange(len(x)),
            epsilon=epsilon,
            seed=seed,
            kind="label" if s.labels else "number",
            progress=lambda what, share: told("audit: " + what, 0.9 + 0.1 * share),
        )
        if s.labels:
            self.certificate_ = certify(cells, concept, classes=s.labels)

    def transform(self, X: Any) -> Array:
        r"""Returns embeddings without the concept.

        Arguments:
            X: Embeddings, with shape :math:`(N, D)`.

        Returns:
            An array with shape :math:`(N, D)`, float32 if X is, and float64 otherwise.

        Raises:
            TypeError: If X is not an array of numbers.
            ValueError: If X has another number of features or is not finite, or before `fit`.
        """
        if not hasattr(self, "network_"):
            raise not_fitted()
        return self._call(read_embeddings(X, self.n_features_in_), _device(self.device))

    def fit_transform(
        self, X: Any, s: Any = None, y: Any = None, *, sensitive: Any = None
    ) -> Array:
        """Returns :meth:`transform` of the rows that :meth:`fit` was called on.

        If the fit has overfitted, new rows leak more than these: see `report_`.
        """
        return self.fit(X, s, y, sensitive=sensitive).transform(X)

    def _call(self, x: Array, device: torch.device, cells: bool = False) -> Array:
        """Returns the outputs, or the cells, of checked embeddings."""
        # MPS has no double precision.
        precision = torch.float32 if device.type == "mps" else torch.float64
        network = self.network_.to(precision).to(device)
        call = network.cells if cells else network
        with torch.inference_mode():
            parts = [
                call(torch.from_numpy(np.ascontiguousarray(part)).to(device, precision)).cpu()
                for part in np.array_split(x, -(-len(x) // ROWS_AT_ONCE))
            ]
        self.network_.cpu().double()
        done: Array = torch.cat(parts).numpy()
        return done if cells else done.astype(x.dtype)

    def save(self, path: str | Path) -> None:
        """Writes the fitted eraser to a file, without `progress`.

        Arguments:
            path: The file.

        Raises:
            ValueError: Before `fit`.
        """
        if not hasattr(self, "network_"):
            raise not_fitted()
        params = self.get_params().items()
        settings = {name: plain(value) for name, value in params if name != "progress"}
        write(
            {
                "settings": settings,
                "network": self.network_.state_dict(),
                "of_y": {"labels": self.network_.labels, "weight": self.network_.weight},
                "report": values_of(self.report_),
                "certificate": None if self.certificate_ is None else self.certificate_.to_dict(),
            },
            path,
        )

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Self:
        """Returns the eraser that :meth:`save` wrote. No code in the file is run.

        Arguments:
            path: The file.
            device: The torch device to compute on.

        Raises:
            ValueError: If the file was not written by :meth:`save`.
        """
        state = read(path)
        eraser = cls(**{**state["settings"], "device": device})
        of_network = state["network"]
        mean, targets = of_network["mean"], of_network["targets"]
        with torch.random.fork_rng(devices=[]):
            network = Cells(
                mean,
                of_network["scale"],
                of_network["projection"],
                len(targets),
                targets.shape[1],
                state["of_y"]["labels"],
                eraser.width,
                state["of_y"]["weight"],
            ).double()
        network.load_state_dict(of_network)
        eraser.network_ = network.requires_grad_(False)
        eraser.n_features_in_ = len(mean)
        eraser.report_ = report_of(state["report"])
        certificate = state["certificate"]
        eraser.certificate_ = None if certificate is None else Certificate(**certificate)
        return eraser

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Returns the names `eraser0`, `eraser1` and so on, as scikit-learn requires."""
        if not hasattr(self, "network_"):
            raise not_fitted()
        return np.array([f"eraser{i}" for i in range(self.n_features_in_)], dtype=object)


def _device(name: Any) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be available to torch, such as 'cpu', got {name!r}: {error}"
        ) from error
    return device


def _index(device: torch.device) -> list[torch.device]:
    """Returns the devices whose random state must be preserved in addition to that of the CPU."""
    return [device] if device.type == "cuda" else []
