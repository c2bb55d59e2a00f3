"""A board for a complete run: acquired, and its session opened again when it breaks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import scirknn
import sklearn2rknn
from rknn_harness.boards.board import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.health_check import HealthModel, check_health, health_model
from rknn_harness.boards.providers.provider import provider_of
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import wait_until_reachable
from rknn_harness.errors import (
    BoardDeadlineError,
    BoardHealthError,
    BoardRefusedError,
    ConnectionLostError,
    InfraError,
)
from rknn_harness.records.reading import changes
from scirknn.temporary import TemporaryFolder
from virtual_npu import VirtualNpuError

_VERSIONS = ("machine", "compatible", "librknnrt", "driver", "rknnlite", "virtual_npu")
"""Facts by which a board's answers may differ."""

_POWER_MENDS = (BoardDeadlineError, BoardHealthError, ConnectionLostError)

_log = logging.getLogger(__name__)


class BoardLink:
    """A board for a complete run; a context manager that acquires it.

    Parameters
    ----------
    board : Board
    logs : pathlib.Path, optional
        Folder for the logs of the runner and of the provider.
    claim : Claim, optional
        What the board is acquired for, and how long another holder is waited for.
    leased : bool
        False only to ask for facts and for the lease's holders.

    Attributes
    ----------
    board : Board
        Once acquired, with address and keys.
    lost : InfraError or None
        Why the board was given up. A board that is gone must not cost the rest of a run its time-outs.
    power : str
        A sentence on the cycle of its power; empty where there was none.
    expected : mapping
        Facts that earlier cases of the run were answered with. A board with other versions is given up.
    """

    def __init__(
        self,
        board: Board,
        logs: Path | None = None,
        *,
        claim: Claim | None = None,
        leased: bool = True,
    ) -> None:
        self.board, self._provider = board, provider_of(board)
        self.lost: InfraError | None = None
        self._logs, self._claim, self._leased = logs, claim or Claim(), leased
        self._session: BoardSession | None = None
        self._folder = TemporaryFolder()
        self._health: dict[str, HealthModel | None] = {}  # by toolkit; None where it makes no good one
        self._good: HealthModel | None = None  # one that this board has run well
        self.power = ""
        self.expected: Mapping[str, Any] = {}

    def session(self) -> BoardSession:
        """Return the open session, or open one.

        Raises
        ------
        InfraError
            The board cannot be reached, or was given up.
        """
        if self.lost is not None:
            raise self.lost
        try:
            self._provider.check_held()
        except BoardRefusedError as error:
            self.give_up(error)
            raise
        if self._session is None:
            self._session = self._open_session()
            self._check_versions(self._session)
            if self._good is not None:
                check_health(self._session, self._good)
        return self._session

    def prove(self, toolkit: sklearn2rknn.Toolkit) -> None:
        """Have the board run a small model of this toolkit, unless it has run one already.

        A model that it refuses to load proves nothing: the board may be too old for this toolkit's files.

        Raises
        ------
        BoardHealthError, InfraError
            The board fails the model or answers wrongly, or cannot be reached.
        """
        if self._good is not None:
            return
        if toolkit.version not in self._health:
            self._health[toolkit.version] = self._convert_health_model(toolkit)
        model = self._health[toolkit.version]
        if model is None:
            return
        try:
            check_health(self.session(), model)
            self._good = model
        except BoardHealthError as error:
            if error.data["kind"] != "load_error":
                raise
            self._health[toolkit.version] = None

    def examine(self) -> str:
        """Have the board run its known model after a failure; else recover, or give up.

        Returns a sentence about what was done; empty when the board is well.
        """
        for is_last in (False, True):
            try:
                session = self.session()
                if self._good is not None:
                    check_health(session, self._good)
                return ""
            except InfraError as error:
                self.drop()
                if not is_last and isinstance(error, ConnectionLostError):
                    continue
                if self.revive(error):
                    return f"Afterwards its power was cycled: {error}"
                self.give_up(error)
                return f"Afterwards the board was given up: {error} {self.power}".rstrip()
        return ""

    def revive(self, reason: InfraError) -> bool:
        """Cycle the board's power, once in a run; return whether the board came back."""
        if self.power or not isinstance(reason, _POWER_MENDS):
            return False
        self.drop()
        try:
            if not self._provider.power_cycle():
                return False
            self.power = f"The power of {self.board.name} was cycled once in this run."
            _log.warning("The power of %s was cycled: %s", self.board.name, reason)
            wait_until_reachable(self.board)
        except InfraError as error:
            self.power = str(error)
            _log.warning("%s", error)
            return False
        return True

    def drop(self) -> None:
        """Forget a session that broke; the next one is opened afresh."""
        session, self._session = self._session, None
        if session is not None:
            session.runner.close()

    def give_up(self, reason: InfraError) -> None:
        """Open no session any more."""
        self.drop()
        self.lost = reason

    def facts(self) -> dict[str, Any]:
        """Return the facts of board and provider, or why the board cannot be reached.

        From then on the board is held to its versions.
        """
        try:
            facts = self.session().facts()
            self.expected = facts
            return {**self._provider.facts(), **facts}
        except InfraError as error:
            self.drop()
            return {**self._provider.facts(), "unreachable": str(error)}

    def _check_versions(self, session: BoardSession) -> None:
        """Give up a board whose versions are not those of before, or that is another one."""
        expected = {name: self.expected[name] for name in _VERSIONS if name in self.expected}
        if expected and (changed := changes(expected, session.facts())):
            had = f"{self.board.name} had {changed}."
            error = BoardRefusedError(f"{had} Put back what it had, or begin another run.")
            self.give_up(error)
            raise error

    def _open_session(self) -> BoardSession:
        session = BoardSession(self.board, logs=self._logs, claim=self._claim, leased=self._leased)
        return session.__enter__()

    def _convert_health_model(self, toolkit: sklearn2rknn.Toolkit) -> HealthModel | None:
        folder = self._folder.path / toolkit.version
        folder.mkdir()
        try:
            return health_model(toolkit, folder)
        except (sklearn2rknn.Sklearn2RknnError, scirknn.ScirknnError, VirtualNpuError, OSError) as error:
            _log.warning("No model to test %s with: %s", self.board.name, error)
            return None

    def __enter__(self) -> BoardLink:
        name = f"{self.board.name}_board"
        try:
            self.board = self._provider.acquire((self._logs or self._folder.path) / name, self._claim)
        except BaseException:
            self._folder.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        session, self._session = self._session, None
        with contextlib.ExitStack() as stack:
            stack.callback(self._folder.remove)
            stack.callback(self._provider.release)
            if session is not None:
                session.__exit__(None, None, None)
