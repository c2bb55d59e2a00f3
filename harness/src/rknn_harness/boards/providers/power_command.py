"""A board's power, switched by whatever command its entry names."""

from __future__ import annotations

import subprocess
import time

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import ConnectionLostError, PowerError

__all__ = ["power_cycle"]

_COMMAND_SECONDS = 120.0
_STEP_SECONDS = 1.0


def power_cycle(board: Board) -> None:
    """Run the board's power command and wait until the board can be reached again.

    Raises
    ------
    PowerError
        There is no command, it failed, or the board did not come back within its `boot_seconds`.
    InfraError
        It came back, and is not the board that was trusted.
    """
    if board.power_command is None:
        raise PowerError(f"{board.name} has no 'power_command'.")
    try:
        done = subprocess.run(
            board.power_command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PowerError(f"The power command of {board.name} failed: {error}.") from error
    if done.returncode:
        said = (done.stderr or done.stdout)[-500:].decode("utf-8", "replace").strip()
        raise PowerError(
            f"The power command of {board.name} ended with status {done.returncode}: {said}",
            status=done.returncode,
        )
    end = time.monotonic() + board.boot_seconds
    while True:
        try:
            with Connection(board, attempts=1):
                return
        except ConnectionLostError as error:
            if time.monotonic() >= end:
                raise PowerError(
                    f"{board.name} did not come back within {board.boot_seconds:g} s after its power was "
                    f"cycled: {error}"
                ) from error
            time.sleep(_STEP_SECONDS)
