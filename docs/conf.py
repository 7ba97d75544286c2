"""How the site is built: `python -m sphinx -W docs build/docs`."""

import os

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
exclude_patterns = ["honesty_results.md", "pictures/*.md"]

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
# No long dashes in commands.
smartquotes_action = "qe"
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
