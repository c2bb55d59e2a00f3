"""Two names for one board: a run over both would wait for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from rknn_harness.boards.board import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import InfraError, SameBoardError


def check_boards_differ(boards: Mapping[str, Board]) -> None:
    """Raise `SameBoardError` if two boards of a run are one.

    Boards at one address are. The rest are asked, for a board has many names: a real one is known by its
    running kernel. A machine may have several virtual ones, even at one address: they are known by the folder
    of their lease too. Boards without an address yet are left out, and one that cannot be reached is left to
    the run, which reports it.
    """
    lasting = {name: board for name, board in boards.items() if board.port}
    if len(lasting) < 2:
        return
    _check_differ((name, _address(board)) for name, board in lasting.items())
    with ThreadPoolExecutor(len(lasting)) as pool:
        identities = zip(lasting, pool.map(_identity, lasting.values()), strict=True)
        _check_differ((name, identity) for name, identity in identities if identity)


def _check_differ(identities: Iterable[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, identity in identities:
        other = first.setdefault(identity, name)
        if other != name:
            raise SameBoardError(
                f"{other!r} and {name!r} are one board: both are {identity}. It takes one run at a time, so "
                "name one of them with --board, and remove the other entry from the file of boards if it is "
                "an older name.",
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
