"""What fresh critics find in the codes of held-out identities."""

__all__ = ["Audit", "audit_body", "audit_of"]

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import mireg

from ..data import ImageSet
from ..training.trainer import Trainer
from .codes import Codes, paired_codes
from .run import Run
from .study import Study, study


def audit_of(trainer: Trainer, codes: Codes, seed: int) -> mireg.AuditReport:
    """Lets fresh critics judge what :func:`paired_codes` gave."""
    with tqdm(total=100, desc="audit", leave=False) as bar:
        return mireg.audit(
            *codes,
            epsilon=trainer.options.epsilon,
            seed=seed,
            # So few codes are those of a trial run, which has to be fast.
            folds=2 if len(codes[0]) < 1000 else None,
            progress=lambda what, share: bar.update(round(100 * share) - bar.n),
        )


def audit_body(
    trainer: Trainer, image_set: ImageSet, codes: Codes, seed: int
) -> mireg.AuditReport | None:
    """Lets fresh critics tell the type of body from pose codes, if it is known.

    Few identities show that, and their appearance codes much less.
    """
    if "body" not in image_set.factors:
        return None
    pi, _, groups = codes
    names, first = np.unique(image_set.identity, return_index=True)
    body = image_set.factors["body"][first][np.searchsorted(names, groups.numpy())]
    return audit_of(trainer, (pi, torch.from_numpy(body), groups), seed)


@study
class Audit(Study):
    """Creates the audit of pose codes for the appearance code, and for the body where it is
    known.
    """

    help = "Let fresh critics judge the codes of held-out characters: a minute or two more."

    def images(self, run: Run) -> ImageSet:
        """Returns the images whose codes are judged."""
        return run.held_out

    def gather(self, run: Run) -> Codes:
        return paired_codes(run.trainer, self.images(run), run.seed, run.effort.audit_samples)

    def measure(self, run: Run, gathered: Codes) -> dict[str, Any]:
        report = audit_of(run.trainer, gathered, run.seed)
        report.save_html(run.folder / f"{self.name}.html")
        result = {self.name: report.to_dict()}
        if (body := audit_body(run.trainer, self.images(run), gathered, run.seed)) is not None:
            result[f"{self.name}_body"] = body.to_dict()
        return result

    def text(self, result: dict[str, Any]) -> str:
        parts = {
            self.name: "The audit of pose codes",
            f"{self.name}_body": "The type of body, recognised from them",
        }
        return "\n".join(_text(parts[name], report) for name, report in result.items())


def _text(title: str, report: dict[str, Any]) -> str:
    """Lays a report out for reading; `audit.html` has all of it."""
    rows = [f"  {row['name']:24}  {row['text']}" for row in report["rows"]]
    return "\n".join((title, report["title"], report["summary"], *rows))
