"""How boards are at the moment: asked all at once, within a bounded time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping

import attrs

from rknn_harness.boards.board import Board
from rknn_harness.boards.claim import Holder
from rknn_harness.errors import BoardDeadlineError, BoardError, ConnectionLostError, InfraError
from rknn_harness.records.outcomes import WithMeaning
from sklearn2rknn.progress import stage


class State(WithMeaning):
    """How a board is."""

    READY = "ready", "a runner starts there, and nobody has the board"
    IN_USE = "in use", "a session has it"
    RESERVED = "reserved", "somebody reserved it, and no session has it"
    REFUSED = "refused", "it answers, and no runner starts there"
    UNREACHABLE = "unreachable", "it does not answer"
    VIRTUAL = "virtual", "it is started for each use, on this machine"
    ON_REQUEST = "on request", "its provider hands it out for each use, and is not asked before"


@attrs.frozen
class BoardState:
    """How a board is, and why.

    Attributes
    ----------
    state : State
    why : str
        The error of a board that is refused or unreachable; empty for others.
    session, reserved : Holder or None
        Who has the board, and who reserved it.
    """

    state: State
    why: str = ""
    session: Holder | None = None
    reserved: Holder | None = None


def board_states(boards: Mapping[str, Board], seconds: float) -> dict[str, BoardState]:
    """Return how each board is, by name, after `seconds` at the latest.

    A board of kind "ssh" gets the runner, as for any session, and keeps it; no lease is taken.
    """
    late = BoardState(State.UNREACHABLE, f"It has not answered within {seconds:g} s.")
    states = dict.fromkeys(boards, late)
    answers: queue.SimpleQueue[tuple[str, BoardState]] = queue.SimpleQueue()

    def ask(name: str, board: Board) -> None:
        answers.put((name, _ask(board)))

    for entry in boards.items():
        threading.Thread(target=ask, args=entry, daemon=True).start()  # one that hangs is left behind
    waiting, end = list(boards), time.monotonic() + seconds
    while waiting:
        with stage(f"waiting for {', '.join(waiting)}"):
            try:
                name, state = answers.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                break
        states[name] = state
        waiting.remove(name)
    return states


def _ask(board: Board) -> BoardState:
    if board.made_for_each_use:
        return BoardState(State.VIRTUAL)
    if board.kind != "ssh":
        return BoardState(State.ON_REQUEST)
    from rknn_harness.boards.session.session import BoardSession  # slow to import; virtual boards do without

    session = BoardSession(board, leased=False)
    session.connection.attempts = 1
    try:
        with session:
            holders = session.lease.holders()
    except (ConnectionLostError, BoardDeadlineError) as error:
        return BoardState(State.UNREACHABLE, str(error))
    except (InfraError, BoardError) as error:
        return BoardState(State.REFUSED, str(error))
    state = State.IN_USE if holders["session"] else State.RESERVED if holders["reserved"] else State.READY
    return BoardState(state, session=holders["session"], reserved=holders["reserved"])
