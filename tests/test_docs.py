"""What the site says of the code is so."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from problems import ALPHA, PI, codes

import mireg
from mireg import estimators, pairs, weights
from mireg.regularizers.metrics import MetricName

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
REFERENCE = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
TESTS = {
    path.name: re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    for path in (ROOT / "tests").glob("**/test_*.py")
}


def python_blocks(path):
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def test_every_test_that_a_page_names_exists():
    defined = {name for names in TESTS.values() for name in names}
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert len(named) > 10
    assert named <= defined


def test_every_test_that_a_page_abbreviates_is_in_its_file():
    found = 0
    for page in PAGES:
        for line in page.read_text().splitlines():
            file = None
            for of_line, name, cut in re.findall(r"`(?:(test_\w+\.py)::)?(test_\w+)(…?)`", line):
                file = of_line or file
                names = TESTS[file] if file else [n for names in TESTS.values() for n in names]
                assert any(n.startswith(name) if cut else n == name for n in names), (file, name)
                found += 1
    assert found > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_tests_that_a_page_names_exists(page):
    named = re.findall(r"`(tests/[\w/]+\.py|test_\w+\.py)", page.read_text())
    for name in named:
        assert (ROOT / name).exists() or name in TESTS


@pytest.mark.parametrize(
    "module",
    ["", "critics", "estimators", "pairs", "weights", "ranks", "memory", "scaling", "regularizers"],
)
def test_every_public_name_is_in_the_reference(module):
    home = getattr(mireg, module) if module else mireg
    pages = {"functional", "leakage"}
    for name in home.__all__:
        spelled = {f"mireg.{name}", f"{home.__name__}.{name}"}
        listed = rf"automodule:: {re.escape(home.__name__)}\n +:members: .*\b{name}\b"
        there = any(re.search(rf"{re.escape(s)}\b", REFERENCE) for s in spelled)
        assert there or name in pages or re.search(listed, REFERENCE), f"{home.__name__}.{name}"


def test_every_name_in_the_reference_is_in_the_code():
    named = re.findall(r"auto(?:class|function|data|module):: mireg\.?([\w.]*)", REFERENCE)
    assert len(named) > 40
    for name in named:
        found = mireg
        for part in filter(None, name.split(".")):
            found = getattr(found, part)


def test_every_equation_function_is_in_the_table():
    text = (DOCS / "equations.md").read_text()
    for name in mireg.functional.__all__:
        assert f"mireg.functional.{name}`" in text


def settings(part):
    """Returns the kind of a part and what it was made with."""
    if not isinstance(part, torch.nn.Module):
        return part
    return type(part), repr(part), getattr(part, "decay", None)


def parts(constraint):
    critics = constraint.critics
    return {
        "gamma": constraint.gamma,
        "multiplier": constraint.multiplier,
        "estimator": critics.estimators[0],
        "negatives": critics.negatives,
        "rows": critics.rows[0],
    }


@pytest.mark.parametrize(
    "column, make",
    [(0, mireg.RobustMIConstraint.paper), (1, mireg.RobustMIConstraint)],
    ids=["paper", "default"],
)
def test_the_parts_of_the_paper_and_of_the_defaults_are_those_of_the_table(column, make):
    text = (DOCS / "equations.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\S+)` \|$", text, re.MULTILINE)
    names = {**vars(estimators), **vars(pairs), **vars(weights)}
    told = {name: settings(eval(cells[column], names)) for name, *cells in rows}
    assert told == {name: settings(part) for name, part in parts(make(PI, ALPHA)).items()}


def test_the_columns_of_table_1_are_one_line_each():
    text = (DOCS / "equations.md").read_text()
    rows = re.findall(
        r"^\| ([a-e]) \|.*`(RobustMIConstraint\.paper\(.*\))` \|$", text, re.MULTILINE
    )
    assert [name for name, _ in rows] == list("abcde")
    made = {
        name: eval(call.replace("…", f"{PI}, {ALPHA}"), {**vars(weights), **vars(mireg)})
        for name, call in rows
    }
    assert isinstance(made["a"].gamma, weights.VariationalGamma)
    assert made["a"].multiplier.value == 0 and made["b"].gamma.value == 0
    assert made["c"].gamma.bias == 0 and made["e"].gamma.bias == 0.01
    assert type(made["d"].gamma) is weights.FixedGamma and made["d"].gamma.value == 1


def test_the_changelog_has_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {mireg.__version__}" in text


def test_every_folder_and_file_of_the_map_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"^```text\n(mireg/\n.*?)^```$", text, re.MULTILINE | re.DOTALL).group(1)
    shown = set()
    for line in block.split("examples/")[0].splitlines()[1:]:
        shown |= set(re.findall(r"[\w]+(?:\.py|/)", line.split("    ")[0]))
    assert len(shown) > 12
    there = {
        path.name + "/" * path.is_dir()
        for path in (ROOT / "mireg").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert shown == there - {"__init__.py", "__main__.py"}


def test_the_readme_fits_in_one_reading():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_programs_of_the_readme_run():
    loop, label, audit = python_blocks(ROOT / "README.md")
    pose_encoder, appearance_encoder = torch.nn.Linear(16, 64), torch.nn.Linear(16, 64)
    encoder, classifier = torch.nn.Linear(16, 16), torch.nn.Linear(8, 3)
    decoder = torch.nn.Linear(96, 16)
    x = torch.randn(600, 16)
    names = {
        "model": torch.nn.ModuleList((pose_encoder, appearance_encoder, decoder)),
        "pose_encoder": lambda x: pose_encoder(x).chunk(2, dim=1),
        "appearance_encoder": appearance_encoder,
        "decoder": lambda pi, alpha: decoder(torch.cat((pi, alpha), 1)),
        "reconstruction": torch.nn.functional.mse_loss,
        "loader": [(torch.randn(16, 16), torch.randn(16, 16)) for _ in range(2)],
    }
    exec(loop, names)  # noqa: S102 - the block is ours
    assert set(names["penalty"].metrics) == set(get_args(MetricName))
    names |= {"encoder": encoder, "classifier": classifier, "x": x}
    names |= {"sex": torch.randint(2, (600,)), "y": torch.randint(3, (600,))}
    exec(label, names)  # noqa: S102
    names["loss"].backward()
    assert encoder.weight.grad.isfinite().all()
    exec(audit, names | {"codes": names["code"].detach(), "labels": names["sex"]})  # noqa: S102


@pytest.mark.parametrize("block", python_blocks(ROOT / "CONTRIBUTING.md"))
def test_what_contributors_are_told_runs(block):
    names = {"mireg": mireg, "torch": torch}
    exec(block, names)  # noqa: S102 - the block is ours
    pi, alpha = torch.randn(16, 32, requires_grad=True), torch.randn(16, 64)
    posterior = mireg.diagonal_gaussian(pi, torch.zeros_like(pi))
    constraint = names["constraint"]
    penalty = constraint(pi, alpha, posterior)
    (penalty.loss + penalty.critic_loss).backward()
    constraint.update(penalty)
    assert pi.grad.isfinite().all()
    assert all(p.grad is not None for p in constraint.parameters())


def test_metrics_have_the_names_that_editors_complete():
    _, pi, alpha, posterior = codes()
    seen = set()
    for regularizer in (mireg.RobustMIConstraint(PI, ALPHA), mireg.ClassifierMI(PI, ALPHA)):
        seen |= regularizer(pi, alpha, posterior).metrics.keys()
    assert seen == set(get_args(MetricName))


@pytest.mark.parametrize("part", [weights.LogMultiplier, weights.RelativeGamma])
def test_the_formulas_of_the_weights_are_those_of_the_page(part):
    formula = re.search(r"\.\. math:: (.*)", part.__doc__).group(1)
    assert formula in (DOCS / "how.md").read_text()
