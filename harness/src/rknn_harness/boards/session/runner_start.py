"""How a runner comes to a board and starts there, over the channel that it will answer on."""

from __future__ import annotations

import contextlib
import inspect
import re
import time

import attrs
import paramiko

from rknn_harness.board_runner import loader
from rknn_harness.boards.board import Board
from rknn_harness.boards.session.error_log import CHUNK_BYTES, ErrorLog
from rknn_harness.boards.session.sending import STATUS_SECONDS, send_blocks
from rknn_harness.errors import (
    BoardDeadlineError,
    ConnectionLostError,
    InfraError,
    ProvisioningError,
)
from scirknn.files import sha256_of_bytes
from scirknn.text import printable

START_SECONDS = 60.0
"""How long a board may take to start Python, and then to store the runner."""

_GREETING_LIMIT = 1 << 16  # bytes that a shell may print before
_MARK = loader.MARK.encode()
_SHELL = "Its user needs an ordinary shell: 'sudo chsh -s /bin/sh {user}' there."
_CURES = (
    (r"restricted", _SHELL),
    (r"account is .*not available|nologin", _SHELL),
    (
        r"sudo: .*(password|terminal)",
        "Let its user run that Python without a password: a line '{user} ALL=(root) NOPASSWD: "
        "/usr/bin/python3' in /etc/sudoers.d/rknn-harness there.",
    ),
    (
        r"not found|No such file|Permission denied|Exec format",
        "Set 'python' in the board's entry to a Python that it has, such as '~/venv/bin/python3' or what "
        "'command -v python3' shows there, or install one with 'sudo apt install python3-numpy'.",
    ),
    (
        r"SyntaxError|ImportError|ModuleNotFoundError|AttributeError",
        "It must be Python 3.8 or later with its standard library: set 'python' in the board's entry.",
    ),
)
_OTHER_CURE = (
    "Look at what 'ssh -i {key} -p {port} {user}@{host} {python} -V' prints: it must be Python 3.8 or later. "
    "ForceCommand in /etc/ssh/sshd_config, command= in ~/.ssh/authorized_keys and the start-up files of the "
    "shell may run something else."
)


def start_command(board: Board, archive: bytes) -> list[str]:
    """Return the program that runs `archive` on a board, and its arguments."""
    text = inspect.getsource(loader)
    size = str(len(archive))
    return [board.python, "-c", text, sha256_of_bytes(archive), size, board.work_folder, board.lease_folder]


@attrs.define(eq=False)
class RunnerStart:
    """The dialog with `rknn_harness.board_runner.loader` on a channel that runs `start_command`."""

    board: Board
    channel: paramiko.Channel
    errors: ErrorLog
    _output: bytearray = attrs.field(factory=bytearray, init=False)

    def send(self, archive: bytes) -> None:
        """Send the archive if the board asks for it, and return when it starts.

        What the start-up files of the board's shell print is passed over.

        Raises
        ------
        ProvisioningError
            The board's Python does not start, or cannot store the archive; the text names the cause.
        ConnectionLostError
        BoardDeadlineError
        """
        word = self._read_word()
        if word == "send":
            # After a failure the board's own account of it comes next, or the end of its output.
            with contextlib.suppress(OSError, EOFError):
                send_blocks(self.channel, [archive])
            word = self._read_word()
        if word.startswith("refused "):
            raise ProvisioningError(
                f"{self.board.name} cannot write the runner into {self.board.work_folder} "
                f"({word.removeprefix('refused ')}). Make sure that its user may write there and that the "
                "disk has room, or set 'work_folder' in the board's entry."
            )
        if word != "start":
            raise self._no_start(f"it answers {word!r:.80}")

    def _read_word(self) -> str:
        end = time.monotonic() + START_SECONDS
        while True:
            word, line_end, more = self._output.partition(_MARK)[2].partition(b"\n")
            if line_end:
                text = printable(word.decode("utf-8", "replace"))
                if more:
                    raise self._no_start(f"it goes on after {text!r:.80}")
                self._output.clear()
                return text
            if len(self._output) > _GREETING_LIMIT:
                raise self._no_start(f"it prints {len(self._output)} bytes first")
            self.channel.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data = self.channel.recv(CHUNK_BYTES)
            except TimeoutError:
                raise BoardDeadlineError(
                    f"{self.board.name}: {self.board.python} did not start within {START_SECONDS:g} "
                    f"s{self._printed()}. {self._cure('')}"
                ) from None
            if not data:
                raise self._ended()
            self._output += data

    def _ended(self) -> InfraError:
        transport = self.channel.get_transport()
        if not (self.channel.status_event.wait(STATUS_SECONDS) and transport.is_active()):
            return ConnectionLostError(
                f"The connection to {self.board.name} ended while the runner was started."
            )
        return self._no_start(f"the board ended it with status {self.channel.exit_status} (-1: by a signal)")

    def _no_start(self, why: str) -> ProvisioningError:
        stderr = self.errors.settled_tail()
        printed = self._output.decode("utf-8", "replace") + stderr
        return ProvisioningError(
            f"{self.board.name}: {self.board.python} does not start: {why}{self._printed(stderr)}. "
            f"{self._cure(printed)}",
            board=self.board.name,
            stderr=stderr,
            status=self.channel.exit_status,
        )

    def _printed(self, stderr: str = "") -> str:
        text = " ".join(f"{self._output.decode('utf-8', 'replace')} {stderr}".split())
        return f", having printed: {text[-400:]}" if text else ""

    def _cure(self, printed: str) -> str:
        board = self.board
        cure = next((cure for pattern, cure in _CURES if re.search(pattern, printed)), _OTHER_CURE)
        fields = {name: getattr(board, name) for name in ("user", "key", "port", "host", "python")}
        return cure.format(**fields)
