"""The site: ``tox -e docs``."""

import os
import re
import subprocess
from importlib.metadata import version as version_of

project = "scirknn"
author = "the scirknn authors"
release = version_of("rknn-harness")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("landmarks.js", {"defer": "defer"})]
html_theme_options = {"top_of_page_buttons": []}
html_title = f"scirknn {release}"
html_show_copyright = False  # LICENSE has it; the footer would show an empty one
# Buttons stand at commands and programs, not at what they print.
copybutton_selector = "div:not(.highlight-text) > div.highlight pre"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
# Docstrings mark names as `this`, which is any role's default.
default_role = "code"

# Types of attributes are words for people; some of them are also names of several attributes.
suppress_warnings = ["ref.python"]


def _repository():
    """Return the address of the repository on the web, empty where this copy has come from none."""
    if "GITHUB_REPOSITORY" in os.environ:
        return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    asked = subprocess.run(
        ["git", "config", "--get", "remote.origin.url"], capture_output=True, text=True, check=False
    )
    address = re.fullmatch(r"(?:https://|(?:ssh://)?git@)([\w.-]+)[:/](.+?)(?:\.git)?/?\s*", asked.stdout)
    return f"https://{address[1]}/{address[2]}" if address else ""


if _repository():
    html_theme_options = {
        "source_repository": _repository(),
        "source_branch": "main",
        "source_directory": "docs/",
    }


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
    elif page == "supported":
        from sklearn2rknn.estimators.support import sections, support_table

        parts = []
        for heading, note, members in sections(support_table()):
            parts.append(f"## {heading[0].upper()}{heading[1:]}")
            if note:
                parts.append(f"{note[0].upper()}{note[1:]}.")
                rows = [f"| `{line.estimator}` | {', '.join(line.methods)} |" for line in members]
                parts.append("\n".join(["| estimator | methods of the loaded model |", "|---|---|", *rows]))
            else:
                parts.append(", ".join(f"`{line.estimator}`" for line in members))
        source[0] = source[0].replace("{supported}", "\n\n".join(parts))


def setup(app):
    """Connect what the site adds."""
    app.connect("autodoc-process-docstring", _plain_names)
    app.connect("source-read", _tables)
