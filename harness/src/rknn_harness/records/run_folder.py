"""A run's folder: its conditions, and every case as a line of JSON the moment it ends.

::

    runs/<utc>-<id>/
        manifest.json    versions, the boards' facts, seed, command line
        plan.jsonl       the cases to try
        corpus/  own/    entries of the corpus, and the user's own models with their rows
        cases.jsonl      the record; everything else is a view of it
        broken.jsonl     of a resumed run: cases that had to be tried again
        report.html  report.md  junit.xml  logs/
        run.lock         while a process writes to it, its number

A killed run leaves a readable folder: each line of the record is flushed at once, and readers ignore a torn
last one. Several processes may write by turns: a lock on the record ends with its holder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import attrs

from rknn_harness.errors import RunFolderError
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.reading import (
    READ_ERRORS,
    changes,
    check_record,
    content_of,
    parse_document,
    parse_manifest,
)
from rknn_harness.records.run_lock import RunLock, refuse_link, write_inside, write_json
from scirknn.devices.compatibility import distribution_version
from scirknn.files import open_no_link
from scirknn.text import cause_of, printable

__all__ = ["FORMAT", "Run", "RunFolder", "RunFolderError", "manifest", "new_folder", "read_run", "statement"]

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


Value = TypeVar("Value")
Record = TypeVar("Record", Entry, CaseResult)


@attrs.frozen
class Run:
    """A run, read from its folder.

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

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return not self.torn and self.manifest.get("finished") is not None

    def is_virtual(self, board: str) -> bool:
        """Whether a board of the run has no NPU."""
        return bool(self.manifest.get("boards", {}).get(board, {}).get("virtual"))


class RunFolder:
    """A run's folder while it is written; a context manager. Several processes may have it open.

    Parameters
    ----------
    path : pathlib.Path
        A folder that `begin` made.
    lock : RunLock, optional
        Of the process that began or resumed the run; released with `close`.

    Raises
    ------
    RunFolderError
        There is no run.
    """

    def __init__(self, path: Path, lock: RunLock | None = None) -> None:
        self.path, self._lock = path, lock
        try:
            self._record = os.open(path / "cases.jsonl", os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        except OSError as error:
            raise RunFolderError(f"{path} is not a run's folder: {cause_of(error)}.") from None

    @classmethod
    def begin(
        cls,
        path: Path,
        manifest: Mapping[str, Any],
        plan: Sequence[Entry] = (),
        corpus: Path | None = None,
        own: Path | None = None,
    ) -> RunFolder:
        """Make a run's folder and open it.

        Parameters
        ----------
        path : pathlib.Path
            A folder that does not exist or is empty.
        manifest : mapping
        plan : sequence of Entry
        corpus : pathlib.Path, optional
            Where the plan's entries of the corpus lie.
        own : pathlib.Path, optional
            Where the user's own models lie.

        Raises
        ------
        RunFolderError
            The folder holds something already, or cannot be made.
        """
        path = path.absolute()
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            (part / "logs").mkdir(parents=True)
            write_json(part / "manifest.json", manifest)
            lines = (json.dumps(entry.to_json()) + "\n" for entry in plan)
            write_inside(part / "plan.jsonl", "".join(lines))
            for name in {entry.case.id for entry in plan if entry.case.kind == "corpus" and corpus}:
                assert corpus is not None
                # A link stays one: what it leads to is not the corpus's to give away with the run.
                shutil.copytree(corpus / name, part / "corpus" / name, symlinks=True)
            if own is not None:
                shutil.copytree(own, part / "own")
            (part / "cases.jsonl").touch()
            os.rename(part, path)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise RunFolderError(f"{path} is there already, and no empty folder. Name another.") from None
            raise RunFolderError(f"No run can be written to {path}: {error}.") from error
        return cls(path, RunLock(path))

    @classmethod
    def resume(cls, path: Path) -> RunFolder:
        """Open the folder of a run that broke, and remove from its record what must be tried again.

        Infrastructure errors go to ``broken.jsonl``.

        Raises
        ------
        RunFolderError
            There is no run, its record is damaged or names other versions than are installed, or another
            run is writing to it.
        """
        lock = RunLock(path)
        try:
            return cls._resume(path, lock)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise RunFolderError(f"{path} cannot be resumed: {cause_of(error)}.") from None
            raise

    @classmethod
    def _resume(cls, path: Path, lock: RunLock) -> RunFolder:
        run = read_run(path)
        broken = [result for result in run.results if result.outcome is Outcome.INFRA_ERROR]
        settled = [result for result in run.results if result.outcome is not Outcome.INFRA_ERROR]
        if settled:
            _check_versions(path, run.manifest)
        for name in ("logs", "samples"):
            refuse_link(path / name)
        for left in list((path / "logs").rglob("*_board")):  # keys and files of a board that is made anew
            left.unlink() if left.is_symlink() else shutil.rmtree(left, ignore_errors=True)
        if broken:
            with open(path / "broken.jsonl", "a", encoding="utf-8", opener=open_no_link) as file:
                file.writelines(result.line() for result in broken)
        lines = "".join(result.line() for result in settled)
        write_inside(path / "cases.jsonl", lines)
        folder = cls(path, lock)
        folder.amend(lambda manifest: manifest.update(finished=None))
        return folder

    def plan(self) -> tuple[Entry, ...]:
        """Return the entries that the run tries."""
        file = self.path / "plan.jsonl"
        return tuple(
            _read(file, f", line {number},", functools.partial(_record, Entry, line))
            for number, line in enumerate(content_of(file).splitlines(), 1)
        )

    def manifest(self) -> dict[str, Any]:
        """Return the run's manifest."""
        file = self.path / "manifest.json"
        return _read(file, "", lambda: parse_manifest(file, content_of(file), FORMAT))

    def record(self, result: CaseResult) -> None:
        """Append a case; the operating system has it when this returns."""
        line = result.line().encode()
        with self._locked():
            end = os.lseek(self._record, 0, os.SEEK_END)
            if end and os.pread(self._record, 1, end - 1) != b"\n":  # another was killed while it wrote
                complete = (self.path / "cases.jsonl").read_bytes().rfind(b"\n") + 1
                os.ftruncate(self._record, complete)
            while line:
                line = line[os.write(self._record, line) :]

    def amend(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest."""
        with self._locked():
            document = self.manifest()
            change(document)
            write_json(self.path / "manifest.json", document)

    def finish(self) -> None:
        """Record that the run is complete."""
        self.amend(lambda manifest: manifest.update(finished=_now()))

    def close(self) -> None:
        """Close the record; the folder stays."""
        os.close(self._record)
        if self._lock is not None:
            self._lock.release()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._record, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._record, fcntl.LOCK_UN)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def new_folder(parent: Path) -> Path:
    """Name a folder for a run, ``parent/<utc>-<id>``."""
    return parent / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def read_run(path: Path) -> Run:
    """Read a run's folder, also that of a run that was killed.

    Raises
    ------
    RunFolderError
        There is no run, or the manifest or a line other than the last is damaged; the text names it.
    """
    lines, text = content_of(path / "cases.jsonl").split(b"\n"), content_of(path / "manifest.json")
    # A complete record ends with a newline, so the text after the last one is empty or torn.
    torn = lines.pop() != b""
    file = path / "manifest.json"
    document = _read(file, "", lambda: parse_manifest(file, text, FORMAT))
    results = [
        _read(path / "cases.jsonl", f", line {number},", functools.partial(_record, CaseResult, line))
        for number, line in enumerate(lines, 1)
    ]
    return Run(path, document, tuple(results), torn)


def _read(file: Path, where: str, read: Callable[[], Value]) -> Value:
    try:
        return read()
    except READ_ERRORS as error:
        what = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
        raise RunFolderError(
            f"{file}{where} is damaged, or of another version: {printable(what[:300])}. Mend or remove it."
        ) from None


def _record(kind: type[Record], line: bytes) -> Record:
    record = kind.from_json(parse_document(line))
    check_record(record)
    return record


def manifest(
    *,
    toolkits: Sequence[Mapping[str, Any]],
    boards: Mapping[str, Mapping[str, Any]],
    precisions: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Return a run's manifest, before its first case.

    Parameters
    ----------
    toolkits : sequence of mappings
        Each with the ``version`` of an rknn-toolkit2, and facts of its environment.
    boards : mapping of str to mapping
        By name, each board's own facts with ``virtual`` (bool) and ``device``.
    precisions : sequence of str
    seed : int

    Returns
    -------
    dict
        JSON types. ``finished`` is None until the run is complete.
    """
    return {
        "format": FORMAT,
        "started": _now(),
        "finished": None,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        "toolkits": [dict(toolkit) for toolkit in toolkits],
        "boards": {name: dict(facts) for name, facts in boards.items()},
        "precisions": list(precisions),
        "versions": _versions(),
        "commit": _commit(),
        "host": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "statement": statement(boards),
    }


def statement(boards: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the pages' statement on boards without an NPU; empty where each has one."""
    virtual = sum(bool(facts.get("virtual")) for facts in boards.values())
    return "" if not virtual else VIRTUAL_STATEMENT if virtual == len(boards) else MIXED_STATEMENT


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _check_versions(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raise `RunFolderError` where a run would go on with other versions than its record names."""
    if changed := changes(manifest.get("versions", {}), _versions()):
        raise RunFolderError(
            f"{path} was begun with {changed}. Install the versions of before, or begin another run: "
            "a record names one version of each."
        )


def _versions() -> dict[str, str | None]:
    own = {name: distribution_version(name) for name in _DISTRIBUTIONS}
    return {"python": platform.python_version(), **own}


def _commit() -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        return {"id": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
