"""Bytes into a channel, and how long a channel may stand still."""

from __future__ import annotations

from collections.abc import Iterable

import paramiko

from rknn_harness.board_runner.frames import Block
from rknn_harness.boards.session.error_log import CHUNK_BYTES
from rknn_harness.boards.ssh.connection import DEAD_LINK_SECONDS

STALL_SECONDS = 2 * DEAD_LINK_SECONDS
"""How long a transfer may make no progress."""

STATUS_SECONDS = 2.0
"""Within which an exit status follows the end of the output."""


def send_blocks(channel: paramiko.Channel, blocks: Iterable[Block]) -> None:
    """Send blocks, one after another.

    Raises
    ------
    OSError, EOFError
        The channel is closed, or stands still.
    """
    channel.settimeout(STALL_SECONDS)
    for block in blocks:
        view = memoryview(block)
        while view:
            sent = channel.send(view[:CHUNK_BYTES])  # type: ignore[arg-type]  # takes any bytes-like
            if not sent:
                raise EOFError("the channel is closed")
            view = view[sent:]
