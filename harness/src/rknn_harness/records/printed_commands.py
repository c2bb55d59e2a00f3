"""The commands that the programs print: they run as they stand, from the folder where they were printed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rknn_harness.records.case_result import CaseResult
from sklearn2rknn import OptionError
from sklearn2rknn.toolkit.environment_choice import parse_choice


def shown_path(path: Path | str) -> str:
    """Return a path as a user types it: relative below the current folder, else absolute."""
    absolute = Path(path).absolute()
    try:
        relative = absolute.relative_to(Path.cwd())
    except ValueError:
        return str(absolute)
    return str(relative)


def replay_command(run: Path | str, manifest: Mapping[str, Any], result: CaseResult) -> str:
    """Return the command that tries a case of a run again.

    Parameters
    ----------
    run : pathlib.Path or str
        The run's folder; a text stands as it is.
    manifest : mapping
        The run's. Its options name the file of boards.
    result : CaseResult
    """
    folder = run if isinstance(run, str) else shown_path(run)
    words = ["rknn-harness", "replay", folder, result.case.id]
    options = manifest.get("options", {})
    choice = _choices(options).get(result.case.toolkit, result.case.toolkit)
    if len(manifest.get("toolkits", ())) > 1 or choice != result.case.toolkit:
        words += ["--toolkit", choice]
    if result.board != "virtual":
        words += ["--board", result.board]
        if options.get("boards"):
            words += ["--boards", shown_path(options["boards"])]
    return shlex.join(words)


def resume_command(run: Path) -> str:
    """Return the command that goes on with a run."""
    return shlex.join(["rknn-harness", "run", "--resume", shown_path(run)])


def _choices(options: Mapping[str, Any]) -> dict[str, str]:
    """Return by version how a run chose its toolkits, such as ``2.3.2@container``."""
    choices = {}
    for choice in options.get("toolkit", ()):
        try:
            choices[parse_choice(choice)[0]] = choice
        except OptionError:
            continue
    return choices
