"""The accepted run: the one that later runs are compared with, by a person's decision."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

from rknn_harness.errors import RunFolderError
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.printed_commands import resume_command, shown_path
from rknn_harness.records.run_folder import Run, read_run
from rknn_harness.records.run_lock import write_json


def accept_run(path: Path, target: Path, by: str) -> Run:
    """Copy a run to where the accepted one is kept, in place of an earlier one; return the copy.

    Parameters
    ----------
    path : pathlib.Path
        A complete run, every case of which could be tried.
    target : pathlib.Path
        A run's folder, or none yet.
    by : str
        Who accepts it; the copy's manifest has it with the time.

    Raises
    ------
    RunFolderError
        The run is incomplete or damaged, or `target` holds something else.
    """
    path, target = path.absolute(), target.absolute()
    run = read_run(path)
    untried = sum(result.outcome is Outcome.INFRA_ERROR for result in run.results)
    if untried or not run.is_finished:
        raise RunFolderError(
            f"{path} is not complete, and {untried} of its cases could not be tried. Go on with it first: "
            f"{resume_command(path)}"
        )
    if target.resolve() == path.resolve():
        raise RunFolderError(f"{path} itself cannot be the copy. Name another folder with --as.")
    if target.exists() and not (target / "manifest.json").is_file():
        raise RunFolderError(f"{target} holds something else than a run. Name another folder with --as.")
    part, before = (target.with_name(f".{target.name}.{os.getpid()}.{end}") for end in ("part", "before"))
    accepted = {"by": by, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, part, symlinks=True, ignore=shutil.ignore_patterns("run.lock", "logs"))
        write_json(part / "manifest.json", {**run.manifest, "accepted": accepted})
        if target.exists():
            os.rename(target, before)
        os.rename(part, target)
    except (OSError, shutil.Error) as error:
        if before.exists() and not target.exists():
            os.rename(before, target)
        raise RunFolderError(f"{shown_path(path)} cannot be copied to {target}: {error}.") from error
    finally:
        for each in (part, before):
            shutil.rmtree(each, ignore_errors=True)
    return read_run(target)
