"""What the site says of the code is so."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from problems import ALPHA, PI, codes

import mireg
from mireg.regularizers.metrics import MetricName

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))


def python_blocks(path):
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_every_test_that_a_page_names_exists():
    defined = {
        name
        for path in (ROOT / "tests").glob("**/test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    # An argument of the constraint.
    named.discard("test_then_train")
    assert len(named) > 10
    assert named <= defined


def test_every_public_name_is_in_the_reference():
    text = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    for name in mireg.__all__:
        assert re.search(rf"mireg\.{name}\b", text), f"docs/api does not mention mireg.{name}"


def test_every_equation_function_is_in_the_table():
    text = (DOCS / "equations.md").read_text()
    for name in mireg.functional.__all__:
        if callable(getattr(mireg.functional, name)):
            assert f"mireg.functional.{name}`" in text


def test_defaults_that_are_not_the_papers_are_those_of_the_table():
    given = {}

    class Paper(mireg.RobustMIConstraint):
        def __init__(self, *features, **settings):
            given.update(settings)

    Paper.paper(PI, ALPHA)
    parameters = inspect.signature(mireg.RobustMIConstraint).parameters
    text = (DOCS / "equations.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `?([\w.\"]+)`? \| `?([\w.\"]+)`?", text, re.MULTILINE)
    assert {name: (eval(paper), eval(ours)) for name, paper, ours in rows} == {
        name: (value, parameters[name].default) for name, value in given.items()
    }


@pytest.mark.parametrize("block", python_blocks(ROOT / "CONTRIBUTING.md"))
def test_what_contributors_are_told_runs(block, monkeypatch):
    monkeypatch.setattr(mireg.functional, "ESTIMATORS", dict(mireg.functional.ESTIMATORS))
    names = {"mireg": mireg, "torch": torch}
    exec(block, names)  # noqa: S102 - the block is ours
    pi, alpha = torch.randn(16, 32, requires_grad=True), torch.randn(16, 64)
    posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
    constraint = names["constraint"]
    constraint.critic_loss(pi, alpha).backward()
    penalty = constraint(pi, alpha, posterior)
    penalty.loss.backward()
    constraint.update(penalty)
    assert pi.grad.isfinite().all()


def test_metrics_have_the_names_that_editors_complete():
    _, pi, alpha, posterior = codes()
    seen = set()
    for regularizer in (mireg.RobustMIConstraint(PI, ALPHA), mireg.ClassifierMI(PI, ALPHA)):
        seen |= regularizer(pi, alpha, posterior).metrics.keys()
    assert seen == set(get_args(MetricName))
