"""The site: ``tox -e docs``."""

import re
from importlib.metadata import version as version_of

project = "scirknn"
author = "the scirknn authors"
release = version_of("rknn-harness")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("landmarks.js", {"defer": "defer"})]
html_theme_options = {"top_of_page_buttons": []}
html_title = f"scirknn {release}"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
# Docstrings mark names as `this`, which is any role's default.
default_role = "code"

# Types of attributes are words for people; some of them are also names of several attributes.
suppress_warnings = ["ref.python"]


def _plain_names(app, what, name, obj, options, lines):
    """Keep scikit-learn's trailing underscores, and globs, from being taken for markup."""
    for number, line in enumerate(lines):
        parts = re.split("(``.*?``)", line)
        for place in range(0, len(parts), 2):  # what lies outside of literals
            part = re.sub(r"(?<![`\w:])([A-Za-z]\w*)_(?![\w`])", r"\1\\_", parts[place])
            parts[place] = re.sub(r"(?<![\w*`\\])\*(?=\w)", r"\\*", part)
        lines[number] = "".join(parts)


def _tables(app, page, source):
    """Fill in the tables that the code is the source of."""
    if page == "verdict":
        from rknn_harness.records.case import PROPERTIES
        from rknn_harness.records.outcomes import Outcome

        rows = [f"| `{name}` | {meaning} |" for name, meaning in PROPERTIES.items()]
        source[0] = source[0].replace(
            "{properties}", "\n".join(["| property | it holds if |", "|---|---|", *rows])
        )
        rows = [f"| `{outcome.value}` | {outcome.meaning} |" for outcome in Outcome]
        source[0] = source[0].replace("{outcomes}", "\n".join(["| outcome | meaning |", "|---|---|", *rows]))


def setup(app):
    """Connect what the site adds."""
    app.connect("autodoc-process-docstring", _plain_names)
    app.connect("source-read", _tables)
