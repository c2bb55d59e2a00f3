"""A run's folder: what was run on what, and every case as a line of JSON the moment it ends.

::

    runs/<utc>-<id>/
        manifest.json    versions, the board's facts, seed, command line
        cases.jsonl      the record; everything else is a view of it
        report.html  report.md  junit.xml
        logs/

A run that is killed leaves a readable folder: each line is written and flushed whole, and readers pass over a
torn last line.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs

from rknn_harness.case import CaseResult
from rknn_harness.errors import HarnessError

__all__ = ["FORMAT", "Run", "RunFolder", "RunFolderError", "manifest", "read_run"]

FORMAT = 2
"""Number of the manifest's and the lines' format."""

_DISTRIBUTIONS = (
    "numpy", "scikit-learn", "scipy", "onnx", "onnxruntime", "hypothesis", "pytest",
    "sklearn2rknn", "scirknn", "virtual-npu", "rknn-harness",
)  # fmt: skip

VIRTUAL_STATEMENT = (
    "The board of this run is virtual: programs in numpy on the host executed the model files. "
    "Nothing here was seen on an NPU, and its times are not an NPU's."
)
MIXED_STATEMENT = (
    "Some boards of this run are virtual: there programs in numpy on the host executed the model files. What "
    "they show was not seen on an NPU, and their times are not an NPU's."
)


class RunFolderError(HarnessError):
    """A run's folder cannot be written or read."""


@attrs.frozen
class Run:
    """A run as read back from its folder.

    Attributes
    ----------
    path : pathlib.Path
    manifest : mapping
    results : tuple of CaseResult
        In the order in which they ended.
    torn : bool
        The last line was cut short: the run was killed while it wrote.
    """

    path: Path
    manifest: Mapping[str, Any]
    results: tuple[CaseResult, ...]
    torn: bool


class RunFolder:
    """A run's folder while it is written.

    Parameters
    ----------
    path : pathlib.Path
        A folder that does not exist or is empty.

    Raises
    ------
    RunFolderError
        The folder holds a run already, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            (path / "logs").mkdir(parents=True, exist_ok=True)
            self._cases = (path / "cases.jsonl").open("x", encoding="utf-8")
        except FileExistsError:
            raise RunFolderError(f"{path} holds a run already. Name another folder.") from None
        except OSError as error:
            raise RunFolderError(f"No run can be written to {path}: {error}.") from error

    @classmethod
    def create(cls, parent: Path) -> RunFolder:
        """Make ``parent/<utc>-<id>`` and open it."""
        name = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        return cls(parent / name)

    def write_manifest(self, document: Mapping[str, Any]) -> None:
        """Write, or replace, ``manifest.json``."""
        temporary = self.path / f".manifest.{os.getpid()}.part"
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.path / "manifest.json")

    def record(self, result: CaseResult) -> None:
        """Append a case; it is with the operating system when this returns."""
        self._cases.write(result.line())
        self._cases.flush()

    def close(self) -> None:
        """Close the record; the folder stays."""
        self._cases.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_run(path: Path) -> Run:
    """Read a run's folder, also that of a run that was killed.

    Raises
    ------
    RunFolderError
        There is no run, or a line other than the last is damaged.
    """
    try:
        lines = (path / "cases.jsonl").read_bytes().split(b"\n")
        text = (path / "manifest.json").read_text(encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{path} is not a run's folder: {error}.") from None
    # A whole record ends with a newline, so what follows the last one is empty or torn.
    torn = lines.pop() != b""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, not {FORMAT}")
        results = [CaseResult.from_document(json.loads(line)) for line in lines]
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path} holds a record that this version does not read ({error!r:.200})."
        ) from None
    return Run(path, document, tuple(results), torn)


def manifest(
    *,
    toolkits: Sequence[Mapping[str, Any]],
    boards: Mapping[str, Mapping[str, Any]],
    precisions: Sequence[str],
    seed: int,
    command: Sequence[str] = (),
    source: Path | None = None,
) -> dict[str, Any]:
    """Collect what a run is made with, before its first case.

    Parameters
    ----------
    toolkits : sequence of mappings
        Each with the ``version`` of an rknn-toolkit2, and what is known of its environment.
    boards : mapping of str to mapping
        By name, each board's own facts with ``virtual`` (bool) and ``device``.
    precisions : sequence of str
    seed : int
    command : sequence of str
        The command line; this process's by default.
    source : pathlib.Path, optional
        A folder inside the git tree whose commit is told.

    Returns
    -------
    dict
        JSON types. ``finished`` is None until the run is complete.
    """
    virtual = sum(bool(facts["virtual"]) for facts in boards.values())
    return {
        "format": FORMAT,
        "started": _now(),
        "finished": None,
        "command": shlex.join(command or [Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        "toolkits": [dict(toolkit) for toolkit in toolkits],
        "boards": {name: dict(facts) for name, facts in boards.items()},
        "precisions": list(precisions),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _DISTRIBUTIONS},
        },
        "commit": _commit(source),
        "host": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "statement": "" if not virtual else VIRTUAL_STATEMENT if virtual == len(boards) else MIXED_STATEMENT,
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit(source: Path | None) -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(source or Path.cwd()), *arguments],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        return {"id": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
