"""Where the numbers of a run go: a JSON-lines file, and TensorBoard where it is installed."""

__all__ = ["RunLog", "read_log"]

import json
from pathlib import Path
from typing import Any

from typing_extensions import Self


class RunLog:
    """Creates the log of a run; a resumed run goes on where its checkpoint was.

    Arguments:
        folder: The folder of the run.
        step: The step of the checkpoint: later lines are of steps that will be made again.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        path = folder / "log.jsonl"
        kept = [line for line in read_log(folder) if line["step"] <= step] if step else []
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.file = open(path, "a")  # noqa: SIM115
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        except ImportError:
            self.board = None

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes the values of a step."""
        self.file.write(json.dumps({"step": step, **values}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self.board is not None:
            self.board.close()


def read_log(folder: Path) -> list[dict[str, float]]:
    """Reads the lines of a run's log; a last line that was cut off is left out."""
    path = folder / "log.jsonl"
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
