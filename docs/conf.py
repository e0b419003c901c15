"""The documentation site: `make docs`. Its source folder is the repository, so that links work here and on GitHub."""

import re
import warnings
from pathlib import Path

from sphinx.application import Sphinx

import sparkcider

# ruff: noqa: A001 - Sphinx's own names
project = "sparkcider"
author = "the authors of sparkcider"
copyright = "2026, the authors of sparkcider; Apache-2.0"
release = version = sparkcider.__version__

root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "bootstrap/README.md"]
include_patterns += ["notebooks/README.md", "docs/**"]
exclude_patterns = ["docs/images/**", "docs/requirements.txt"]
extensions = ["myst_parser", "sphinxarg.ext", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
nitpicky = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # links such as job.md#output

default_role = "code"  # docstrings are Markdown: one backtick is code
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures have them
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes in a docstring get no entry of their own

html_theme = "furo"  # system fonts; the pages ask for nothing from elsewhere
html_title = f"sparkcider {release}"
html_extra_path = ["site"]  # index.html, which leads to docs/index.html; and the crate's rustdoc
html_copy_source = False
html_show_sourcelink = False

warnings.filterwarnings("ignore", category=DeprecationWarning)

REPOSITORY = Path(__file__).parent.parent


def as_restructured_text(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Docstrings are Markdown: links become restructuredText."""
    lines[:] = [re.sub(r"\[([^\]]+)\]\((https?://[^)]+)\)", r"`\1 <\2>`__", line) for line in lines]
    if what in {"attribute", "data", "property"}:
        # Napoleon takes words before a colon in the first line for a type. An empty comment before it prevents that.
        lines[:0] = ["..", ""]


def setup(app: Sphinx) -> None:
    """Registers what the docstrings need."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)  # before napoleon, at 500
