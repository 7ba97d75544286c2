"""The quickstart, from end to end."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.fixture(scope="module")
def quickstart():
    spec = importlib.util.spec_from_file_location("quickstart", PATH)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["quickstart"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["quickstart"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_quickstart_measures_draws_and_tells(quickstart, tmp_path, capsys):
    results = quickstart.main(quickstart.Options(smoke=True, out=tmp_path / "new" / "leak.png"))
    assert list(results) == ["without", "with"]
    for result in results.values():
        assert all(math.isfinite(value) for value in result.values())
    assert (tmp_path / "new" / "leak.png").stat().st_size > 5000
    assert "R² of the appearance from the pose code" in capsys.readouterr().out


def test_both_runs_see_the_same_data(quickstart):
    worlds = [quickstart.World(torch.Generator().manual_seed(0)) for _ in range(2)]
    for a, b in zip(worlds[0].draw(4), worlds[1].draw(4), strict=True):
        assert a.equal(b)
