"""Two names for one board: a run over both would wait for itself, so it is refused before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from rknn_harness.boards.board import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import InfraError, SameBoardError

__all__ = ["refuse_one_board_twice"]


def refuse_one_board_twice(boards: Mapping[str, Board]) -> None:
    """Raise if two boards are one.

    Those at one address are. The rest are asked, for a board has many names: a real one is known by its
    running kernel. Of virtual ones a machine may have several, even at one address, so they are known by the
    folder of their lease too. One that cannot be reached is no answer: the run will say so.

    Parameters
    ----------
    boards : mapping of str to Board
        Those of a run. The virtual board that is started for it alone is left out.

    Raises
    ------
    SameBoardError
    """
    lasting = {name: board for name, board in boards.items() if board.port}
    if len(lasting) < 2:
        return
    _refuse((name, _address(board)) for name, board in lasting.items())
    with ThreadPoolExecutor(len(lasting)) as pool:
        told = zip(lasting, pool.map(_identity, lasting.values()), strict=True)
        _refuse((name, who) for name, who in told if who)


def _refuse(named: Iterable[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, who in named:
        other = first.setdefault(who, name)
        if other != name:
            raise SameBoardError(
                f"{other!r} and {name!r} are one board: both are {who}. It takes one run at a time, so name "
                "one of them with --board, and take the other entry out of the file of boards if it is an "
                "older name.",
                boards=[other, name],
            )


def _address(board: Board) -> str:
    at = f"reached at {board.host.lower().rstrip('.')}:{board.port}"
    return f"{at} with the lease {board.lease_folder}" if board.virtual else at


def _identity(board: Board) -> str:
    try:
        with BoardSession(board, leased=False) as session:
            kernel, lease = session.identity()
    except InfraError:
        return ""
    if not kernel:
        return ""
    return f"kernel {kernel} with the lease {lease}" if board.virtual else f"kernel {kernel}"
