"""Where the numbers of a run go: a JSON-lines file, and TensorBoard where it is installed."""

__all__ = ["RunLog", "read_log"]

import json
from pathlib import Path
from typing import Any

from typing_extensions import Self


class RunLog:
    """Creates the log of a run; a resumed run goes on where its checkpoint was.

    Lines are added and never taken away. A mark tells from which step on a resumed run made its
    steps again.

    Arguments:
        folder: The folder of the run.
        step: The step of the checkpoint: earlier lines that are later than it no longer count.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        path = folder / "log.jsonl"
        before = path.read_bytes() if path.exists() else b""
        self.file = open(path, "a")  # noqa: SIM115
        if before:
            # A run that was killed may have left half a line.
            start = "" if before.endswith(b"\n") else "\n"
            self.file.write(start + json.dumps({"resumed": step}) + "\n")
            self.file.flush()
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
    """Reads the lines of a run's log that count: none that was cut off, none of a step that was
    made again.
    """
    path = folder / "log.jsonl"
    lines: list[dict[str, float]] = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if "resumed" in line:
            lines = [kept for kept in lines if kept["step"] <= line["resumed"]]
        else:
            lines.append(line)
    return lines
