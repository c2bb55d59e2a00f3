"""Programs on a board, run over its connection as a test looks at it from inside."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rknn_harness.boards.ssh.connection import Connection


@attrs.frozen
class Completed:
    """A program that has ended."""

    stdout: str
    stderr: str
    status: int


def run(connection: Connection, command: Sequence[str], *, seconds: float = 60.0) -> Completed:
    """Run a program to its end, which may print nothing for so long."""
    with connection.channel(command) as channel:
        channel.settimeout(seconds)
        streams = channel.makefile("rb"), channel.makefile_stderr("rb")
        stdout, stderr = (stream.read().decode() for stream in streams)
        return Completed(stdout, stderr, channel.recv_exit_status())
