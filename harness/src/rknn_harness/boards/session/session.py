"""A session on a board: a connection, a runner on its channel, clients over that."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any

from rknn_harness.board_runner import frames
from rknn_harness.boards.board import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.file_calls import FileCalls
from rknn_harness.boards.session.lease_calls import LeaseCalls
from rknn_harness.boards.session.model_calls import ModelCalls
from rknn_harness.boards.session.raw_model_calls import RawModelCalls
from rknn_harness.boards.session.runner_archive import runner_archive
from rknn_harness.boards.session.timing_calls import TimingCalls
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import BoardError, ConnectionLostError, InfraError, ProvisioningError
from scirknn.text import printable

_FINDING_KEYS = ("rule", "level", "text", "command")


class BoardSession:
    """A runner on a board; a context manager.

    Every request raises `BoardError` when the board answers with an error, after which the session goes on,
    and `InfraError` when the connection failed, after which the session is closed: open another.

    Parameters
    ----------
    board : Board
        The virtual board must have been started.
    logs : pathlib.Path, optional
        Folder for what the runner and the vendor's library print, ``<board>-<time>-runner.log``.
    runtime : pathlib.Path, optional
        Folder of the package ``scirknn`` to send instead of the one installed here.
    claim : Claim, optional
        What the board's lease is taken for, which the session holds until it ends.
    leased : bool
        False takes no lease: such a session may ask for facts and for the lease's holders, and load nothing.

    Attributes
    ----------
    models : ModelCalls
    timing : TimingCalls
    raw_models : RawModelCalls
    lease : LeaseCalls
    files : FileCalls
    runner : RunnerChannel
    connection : Connection
    greeting : dict
        The runner's answer to ``hello``.
    """

    def __init__(
        self,
        board: Board,
        *,
        logs: Path | None = None,
        runtime: Path | None = None,
        claim: Claim | None = None,
        leased: bool = True,
    ) -> None:
        self.board = board
        self.greeting: dict[str, Any] = {}
        self._claim = (claim or Claim()) if leased else None
        self._runtime = runtime
        self.connection = Connection(board)
        self.runner = RunnerChannel(self.connection, logs=logs)
        self.files = FileCalls(self.runner)
        self.lease = LeaseCalls(self.runner)
        self.models = ModelCalls(self.runner, self.files)
        self.timing = TimingCalls(self.runner)
        self.raw_models = RawModelCalls(self.runner, self.files)

    def __enter__(self) -> BoardSession:
        try:
            self._start()
        except BaseException:
            self.runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.runner.is_open and kind is None:
            with contextlib.suppress(InfraError, BoardError):
                self.runner.ask("quit", 2.0)
        self.runner.close()

    def hello(self) -> dict[str, Any]:
        """Return protocol, scirknn's version and file, and the runner's processes."""
        header, _ = self.runner.ask("hello", 60.0)
        return {key: value for key, value in header.items() if key not in ("id", "ok", "arrays")}

    def facts(self) -> dict[str, Any]:
        """Return the board's facts, see `rknn_harness.board_runner.facts.gather`."""
        header, _ = self.runner.ask("facts", 30.0, device=self.board.device)
        facts = header.get("facts")
        if not isinstance(facts, dict):
            raise self.runner.protocol_error(f"answered 'facts' with {facts!r:.80}")
        return facts

    def doctor(self) -> list[dict[str, str]]:
        """Return the findings of scirknn's doctor on the board."""
        header, _ = self.runner.ask("doctor", 60.0, device=self.board.device)
        findings = header.get("findings")
        if not isinstance(findings, list) or not all(
            isinstance(each, dict) and all(isinstance(each.get(key), str) for key in _FINDING_KEYS)
            for each in findings
        ):
            raise self.runner.protocol_error(f"answered 'doctor' with {findings!r:.80}")
        return [{key: printable(each[key]) for key in _FINDING_KEYS} for each in findings]

    def identity(self) -> tuple[str, str]:
        """Return the identity of the board's running kernel, and of its lease there."""
        header, _ = self.runner.ask("identity", 10.0)
        kernel, lease = header.get("kernel"), header.get("lease")
        if not isinstance(kernel, str) or not isinstance(lease, str):
            raise self.runner.protocol_error(f"answered 'identity' with {(kernel, lease)!r:.200}")
        return printable(kernel[:200]), printable(lease[:200])

    def _start(self) -> None:
        archive = runner_archive(self._runtime)

        def start() -> None:
            self.connection.open()
            self.runner.start(archive)

        self.connection.retry(start)
        try:
            if self._claim is not None:
                self.lease.take(self._claim)
            self.greeting = self.hello()
        except (ConnectionLostError, BoardError) as error:
            if isinstance(error, ConnectionLostError) and error.data.get("status") is None:
                raise
            raise ProvisioningError(
                f"{self.board.name}: {self.board.python} does not run the runner ({error}). It must be "
                "Python 3.8 or later with numpy: 'sudo apt install python3-numpy' there, or set 'python' in "
                "the board's entry, such as '~/venv/bin/python3'.",
                **error.data,
            ) from error
        if self.greeting.get("protocol") != frames.VERSION:
            raise self.runner.protocol_error(f"speaks protocol {self.greeting.get('protocol')!r:.40}")
