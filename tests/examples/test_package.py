"""The example as a package: its parts are added as one file each, and depend on each other one way."""

import ast
import json
import re
import shutil
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import processes

EXAMPLE = Path(__file__).parents[2] / "examples" / "pose_appearance"
PACKAGE = EXAMPLE / "pose_appearance"
SCRIPTS = {path.stem for path in EXAMPLE.glob("*.py")}
ROOMS = ("data", "model", "methods", "training", "studies", "comparison", "programs")


def name_of(path):
    parts = path.relative_to(EXAMPLE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imports_of(name):
    """Returns the modules of the package that a module names, and the top-level ones of others."""
    path, own, others = MODULES[name], set(), set()
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                own.add(found if (found := f"{source}.{alias.name}") in MODULES else source)
    return own, others


def test_no_module_imports_in_a_circle_or_from_a_later_room():
    graph = {name: imports_of(name)[0] for name in MODULES}
    assert len(graph) > 60 and set().union(*graph.values()) <= MODULES.keys()
    list(TopologicalSorter(graph).static_order())
    order = {room: i for i, room in enumerate(ROOMS)}
    for name, imported in graph.items():
        for other in imported:
            rooms = [x.split(".")[1] for x in (name, other) if x.count(".")]
            if len(rooms) == 2 and set(rooms) <= order.keys():
                assert order[rooms[1]] <= order[rooms[0]], f"{name} imports {other}"


def test_no_module_imports_a_script_or_the_package_by_its_name():
    for name in MODULES:
        assert not imports_of(name)[1] & {*SCRIPTS, "pose_appearance"}, name


def test_a_method_a_data_set_and_a_study_are_one_file_each(tmp_path):
    """What the README says, in a copy of the package."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    arrays = (
        "import numpy as np\n"
        "images = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), np.uint8)\n"
        "identity = np.arange(24) // 4\n"
        "split = np.where(identity < 4, 'train', 'test')\n"
    )
    for room, block in zip(("methods", "data", "studies"), blocks, strict=True):
        before = arrays if room == "data" else ""
        (tmp_path / PACKAGE.name / room / "mine.py").write_text(before + block)
    chosen = ["--data", "mine", "--data-root", tmp_path, "--objective", "mine", "--mine.weight", 3]
    sizes = ["--identities-per-batch", 2, "--views", 2, "--steps", 2]
    run = tmp_path / "run"
    processes.run(sys.executable, tmp_path / "train.py", *chosen, *sizes, "--out", run)
    assert json.loads((run / "options.json").read_text())["mine.weight"] == 3.0
    assert "size" in json.loads((run / "metrics.json").read_text())
    processes.run(sys.executable, tmp_path / "evaluate.py", run, "--mine")
    assert json.loads((run / "evaluation.json").read_text())["mine"] == 64
