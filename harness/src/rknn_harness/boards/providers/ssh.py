"""Boards at an address, reached over SSH, their power switched by a command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from rknn_harness.boards.board import Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.provider import BoardProvider, board_provider
from rknn_harness.boards.ssh_settings import ssh_settings
from rknn_harness.errors import PowerError

_COMMAND_SECONDS = 120.0
_ADDRESS = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?"
    r"(?:(?P<ipv6>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\w+)?)|(?:\[(?P<bracketed>[^@\[\]]+)\]|(?P<name>[^@\[\]:]+))"
    r"(?::(?P<port>[0-9]{1,5}))?)"
)


@board_provider("ssh")
class SshProvider(BoardProvider):
    """Hands out a board at an address; the lease on the board itself excludes others."""

    @classmethod
    def read(cls, entry: BoardEntry) -> dict[str, Any]:
        """Take the entry's address; what it leaves out is what ``ssh HOST`` would use."""
        host, user, port = _read_address(entry)
        try:
            settings = ssh_settings(host, user=user, port=port)
        except ValueError as error:
            entry.fail("host", f"is {host!r}, which ssh refuses: {error}")
        fields: dict[str, Any] = {
            "host": settings.host,
            "port": settings.port or port or 22,
            "proxy": settings.proxy,
            "user": user or settings.user or entry.text("user"),
        }
        for field, usual in (("key", settings.key), ("known_hosts", settings.known_hosts)):
            fields[field] = entry.file(field) if field in entry.fields or usual is None else usual
        return fields

    def acquire(self, folder: Path, claim: Claim) -> Board:
        """Return the board as it is."""
        return self.board

    def power_cycle(self) -> bool:
        """Run the board's ``power_command``."""
        if self.board.power_command is None:
            return False
        try:
            done = subprocess.run(
                self.board.power_command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PowerError(f"The power command of {self.board.name} failed: {error}.") from error
        if done.returncode:
            output = (done.stderr or done.stdout)[-500:].decode("utf-8", "replace").strip()
            raise PowerError(
                f"The power command of {self.board.name} ended with status {done.returncode}: {output}",
                status=done.returncode,
            )
        return True


def _read_address(entry: BoardEntry) -> tuple[str, str | None, int | None]:
    """Take host, user and port, each of the last two from its field or from the host."""
    text, user, port = entry.text("host"), None, entry.port()
    if "user" in entry.fields:
        user = entry.text("user")
    match = _ADDRESS.fullmatch(text)
    host_port = int(match["port"]) if match and match["port"] else None
    if match is None or (host_port is not None and not 0 < host_port < 65536):
        entry.fail("host", f"is {text!r:.80}, not HOST, USER@HOST, HOST:PORT or [IPV6]:PORT")
    for field, value, in_host in (("user", user, match["user"]), ("port", port, host_port)):
        if None not in (value, in_host) and value != in_host:
            entry.fail("host", f"is {text!r:.80}, but {field} is {value!r}; leave one of the two out")
    return match["ipv6"] or match["bracketed"] or match["name"], user or match["user"], port or host_port
