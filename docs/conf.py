"""How the site is built: `python -m sphinx -W docs build/docs`."""

import os
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import mireg

# The networks of the pages are small: more threads slow their programs down, and most on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "mireg"
author = "the authors of mireg"
copyright = "the authors of mireg"
version = release = mireg.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a CDN
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["honesty_results.md", "pictures/*.md", "results/*.md"]

html_theme = "furo"
html_title = f"mireg {release}"
html_static_path = ["static"]
html_css_files = ["wide.css"]

default_role = "literal"  # what docstrings set in single backquotes is code
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autosummary_generate = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 1200
nb_merge_streams = True
# A warning on a page is a defect of the page.
nb_output_stderr = "error"
# Two hyphens are a dash, except in code.
smartquotes_action = "qDe"
nb_render_markdown_format = "myst"

# The examples of docstrings see what a module sees.
doctest_global_setup = """
import pkgutil
import numpy as np
import torch
import mireg
for module in pkgutil.walk_packages(mireg.__path__, "mireg."):
    if not module.name.endswith("__main__"):
        exec(f"from {module.name} import *")
torch.manual_seed(0)
"""


LONG_NAMES = re.compile(r"\S{20,}")
BREAKS = re.compile(r"(?<=[_/(])(?=\w)|(?<=::)|(?<=\w\.)(?!(?:py|json|npz)\b)(?=[^\W\d])")


def mark_breaks(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Lets long names in tables break in some places, and nowhere else."""
    for entry in doctree.findall(nodes.entry):
        for text in [t for code in entry.findall(nodes.literal) for t in code.findall(nodes.Text)]:
            marked = LONG_NAMES.sub(lambda name: BREAKS.sub("\0", name[0]), text)
            first, *others = marked.split("\0")
            pieces = [nodes.Text(first)]
            for other in others:
                pieces += [nodes.raw("", "<wbr>", format="html"), nodes.Text(other)]
            text.parent.replace(text, pieces)


def keep_stops(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Keeps a full stop on the line of the formula before it."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        if isinstance(after, nodes.Text) and after[0] in ".,;:)":
            rest = after.lstrip(".,;:)")
            stop = nodes.Text(after[: len(after) - len(rest)])
            after.parent.replace(after, nodes.Text(rest))
            formula.parent.replace(
                formula, nodes.inline("", "", formula.deepcopy(), stop, classes=["unbroken"])
            )


def hide_inherited_signature(*args: Any) -> tuple[str, str] | None:
    """Hides the signature of classes that only inherit that of `torch.nn.Module`."""
    *_, signature, returns = args
    return ("", returns) if signature == "(*args, **kwargs)" else None


def setup(app: Sphinx) -> None:
    """Connects all of these to the build."""
    app.connect("doctree-resolved", mark_breaks)
    app.connect("doctree-resolved", keep_stops)
    app.connect("autodoc-process-signature", hide_inherited_signature)
