"""A board session that is opened when it is needed, once more after it broke, and then never again."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rknn_harness.boards import Board
from rknn_harness.claim import Claim
from rknn_harness.errors import InfraError
from rknn_harness.runner_client import BoardSession

__all__ = ["BoardLink"]


class BoardLink:
    """The way to one board for a whole run; a context manager.

    Parameters
    ----------
    board : Board
        The virtual board must have been started.
    logs : pathlib.Path, optional
        Folder for the runner's logs.
    claim : Claim, optional
        What the lease is taken for, and how long another holder is waited for.
    leased : bool
        False only to ask for facts and for the lease's holders.

    Attributes
    ----------
    board : Board
    lost : InfraError or None
        Why the board was given up. A board that is gone must not cost the rest of a run its time-outs.
    """

    def __init__(
        self,
        board: Board,
        logs: Path | None = None,
        *,
        claim: Claim | None = None,
        leased: bool = True,
    ) -> None:
        self.board = board
        self._claim, self._leased = claim or Claim(), leased
        self.lost: InfraError | None = None
        self._logs = logs
        self._session: BoardSession | None = None

    def session(self) -> BoardSession:
        """Return the open session, or open one.

        Raises
        ------
        InfraError
            The board cannot be reached, or was given up.
        """
        if self.lost is not None:
            raise self.lost
        if self._session is None:
            session = BoardSession(self.board, logs=self._logs, claim=self._claim, leased=self._leased)
            session.__enter__()
            self._session = session
        return self._session

    def drop(self) -> None:
        """Forget a session that broke; the next one is opened afresh."""
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(InfraError, None, None)

    def give_up(self, reason: InfraError) -> None:
        """Open no session any more."""
        self.drop()
        self.lost = reason

    def facts(self) -> dict[str, Any]:
        """Return the board's facts, or say why there are none."""
        try:
            return self.session().facts()
        except InfraError as error:
            self.drop()
            return {"unreachable": str(error)}

    def __enter__(self) -> BoardLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)
