"""Fairness of predictions: fairlearn's adversary and fairret, which look at the score. Judged is
the code before it, as of all others.
"""

from __future__ import annotations

import time
import warnings

import torch
import torch.nn.functional as F
from tasks import Missing, Task
from torch import Tensor, nn
from training import BATCH, RATE, STEPS, WIDTH, Batch, Codes, Penalty, trained

from .base import WEIGHTS, Method, require


class Fairret(Penalty):
    """The norm of what the rates of positive predictions differ by between groups (Buyl et al.,
    2024); of more than two labels, one against the rest.
    """

    def __init__(self, task: Task, setting: float) -> None:
        require("fairret", "pip install fairret==0.1.3")
        if not task.targets:
            raise Missing("fairret is of predictions, and this task has none")
        from fairret.loss import NormLoss
        from fairret.statistic import PositiveRate

        super().__init__(task, setting)

        self.norm = NormLoss(PositiveRate())

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        said = batch.output.softmax(1)
        if said.shape[1] == 2:
            said = said[:, 1:]
        groups = F.one_hot(batch.s, self.task.classes).float()
        # A group that a batch lacks has no rate.
        groups = groups[:, groups.sum(0) > 0]
        columns = said.split(1, dim=1)
        loss = sum(self.norm(column, groups, pred_as_logit=False) for column in columns)
        return self.weight * loss, batch.pi.new_zeros(())


def fairlearn(task: Task, setting: float, seed: int, device: str, steps: int = STEPS) -> Codes:
    """Trains fairlearn's classifier against an adversary that sees the score (Zhang et al., 2018),
    layer by layer as large as the network of the others.
    """
    require("fairlearn", "pip install fairlearn==0.15.0")
    if not task.targets:
        raise Missing("fairlearn's adversary is of predictions, and this task has none")
    from fairlearn.adversarial import AdversarialFairnessClassifier

    torch.manual_seed(seed)
    start, cpu = time.monotonic(), time.process_time()
    model = AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[WIDTH, "relu", WIDTH, "relu", task.features, WIDTH, "relu"],
        adversary_model=[WIDTH, "relu", WIDTH, "relu"],
        learning_rate=RATE,
        alpha=setting,
        epochs=max(1, round(steps * BATCH / len(task.train.x))),
        batch_size=BATCH,
        shuffle=True,
        cuda=device if device.startswith("cuda") else None,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y, s = (column.numpy() for column in (task.train.y, task.train.s))
        try:
            model.fit(task.train.x.numpy(), y, sensitive_features=s)
        except RuntimeError as error:
            # What its loss says of scores that are NaN.
            if "between 0 and 1" not in str(error):
                raise
            raise FloatingPointError("fairlearn's adversary diverged") from error
    seconds = {
        "fit_seconds": round(time.monotonic() - start, 1),
        "fit_cpu_seconds": round(time.process_time() - cpu, 1),
    }
    layers = next(model.backendEngine_.predictor_model.children())
    encoder = nn.Sequential(*list(layers)[:5]).cpu()
    with torch.no_grad():
        codes = [encoder(part.x) for part in (task.train, task.validation, task.test)]
    return Codes(*codes, notes=seconds)


METHODS = {
    "fairlearn's adversary": Method(fairlearn, WEIGHTS, "α"),
    "fairret": Method(trained(Fairret), WEIGHTS, "weight"),
}
