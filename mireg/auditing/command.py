"""The command line: `python -m mireg audit codes.npz`."""

__all__ = ["main"]

import argparse
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..encoders import diagonal_gaussian
from .audit import audit
from .verdict import exit_status

POSTERIOR = {"mean", "log_var"}
"""The arrays of a posterior, which are used together only."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status of the command: that of :func:`exit_status`, or 2 for errors."""
    options = _parser().parse_args(arguments)
    try:
        return _audit(options)
    except (OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mireg",
        description="Regularizers that keep mutual information below a target.",
    )
    parser.add_argument("--version", action="version", version=f"mireg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "audit",
        help="estimate how much two frozen codes reveal about each other",
        description="Estimate how much two frozen codes reveal about each other, with fresh "
        "critics. The exit status is 0 if the verdict is below or no --epsilon was given, 1 if "
        "it is above, and 2 if it is undecided or not settled, or after an error.",
    )
    command.add_argument(
        "codes",
        type=Path,
        help="a file of numpy.savez with pi and alpha, one row per sample; optionally groups, "
        "and mean and log_var of the posterior",
    )
    command.add_argument(
        "--kind",
        choices=("label", "number"),
        help="what alpha is (default: decided from its values)",
    )
    command.add_argument(
        "--classes",
        type=int,
        help="the number of labels: alpha is an integer from 0 to CLASSES - 1",
    )
    command.add_argument(
        "--unknown",
        type=_value,
        action="append",
        default=[],
        metavar="VALUE",
        help="a value of alpha that means unknown, such as -1 or nan; may be repeated",
    )
    command.add_argument(
        "--given",
        metavar="NAME",
        help="the name of an array of the file with labels y: audit I(pi, alpha | y)",
    )
    command.add_argument("--epsilon", type=float, help="the target, in nats")
    command.add_argument("--seed", type=int, default=0, help="the seed (default: 0)")
    command.add_argument(
        "--folds", type=int, help="the number of folds; 2 is faster, and critics learn from less"
    )
    command.add_argument("--html", type=Path, help="write the report as an HTML page")
    command.add_argument("--json", type=Path, help="write the report as JSON")
    command.add_argument(
        "--allow-undecided",
        action="store_true",
        help="exit with 0 instead of 2 if the verdict is undecided or not settled",
    )
    command.add_argument("--quiet", action="store_true", help="hide the progress bar")
    return parser


def _audit(options: argparse.Namespace) -> int:
    for path in (options.html, options.json):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    data = _read(options.codes, options.given)
    posterior = None
    if data.keys() >= POSTERIOR:
        mean, log_var = (torch.from_numpy(data[k].astype(np.float32)) for k in ("mean", "log_var"))
        posterior = diagonal_gaussian(mean, log_var)
    report = audit(
        data["pi"],
        data["alpha"],
        data.get("groups"),
        options.epsilon,
        options.seed,
        given=None if options.given is None else data[options.given],
        kind=options.kind,
        classes=options.classes,
        unknown=[_value(x) if data["alpha"].dtype.kind not in "US" else x for x in options.unknown],
        folds=options.folds,
        posterior=posterior,
        progress=None if options.quiet else _show,
    ).from_file(options.codes.name)
    print(report)
    if options.html is not None:
        report.save_html(options.html)
    if options.json is not None:
        options.json.write_text(report.to_json() + "\n", encoding="utf-8")
    return exit_status(report.verdict, options.allow_undecided)


def _value(text: str) -> str | int | float:
    """Returns the number that a text represents, or the text."""
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _read(path: Path, given: str | None) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} must be a file of numpy.savez: read a table or another file first, and write "
            "numpy.savez('codes.npz', pi=..., alpha=...)"
        )
    try:
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
    except Exception as error:
        raise ValueError(
            f"{path} must be a file of numpy.savez, with names as arrays of strings "
            f"(x.astype(str)): {error}"
        ) from error
    wanted = ["pi", "alpha"] if given is None else ["pi", "alpha", given]
    missing = [name for name in wanted if name not in data]
    if missing:
        names = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
        raise ValueError(
            f"{path} must contain {names}, got {', '.join(data) or 'nothing'}: write it with "
            f"numpy.savez({path.name!r}, {', '.join(f'{name}=...' for name in wanted)})"
        )
    used = {*wanted, "groups", *(POSTERIOR if data.keys() >= POSTERIOR else ())}
    for name in data:
        if name not in used:
            print(
                f"warning: {name} in {path.name} is not used. Names that are: pi, alpha, groups, "
                "mean with log_var, and that of --given",
                file=sys.stderr,
            )
    return data


def _show(what: str, share: float) -> None:
    filled = round(30 * share)
    end = "\r" if share < 1 else "\n"
    bar = "#" * filled + "." * (30 - filled)
    print(f"[{bar}] {share:4.0%} {what:<12}", end=end, file=sys.stderr, flush=True)
