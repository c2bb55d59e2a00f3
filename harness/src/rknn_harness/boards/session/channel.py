"""The channel to a runner: requests out, answers in, until the first failure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import paramiko

from rknn_harness.board_runner import frames
from rknn_harness.boards.claim import Holder
from rknn_harness.boards.session.error_log import CHUNK_BYTES, TAIL_BYTES, ErrorLog
from rknn_harness.boards.session.runner_start import RunnerStart, start_command
from rknn_harness.boards.session.sending import STALL_SECONDS, STATUS_SECONDS, send_blocks
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import (
    BoardDeadlineError,
    BoardError,
    ConnectionLostError,
    InfraError,
    LeaseError,
    ProtocolError,
    ProvisioningError,
)
from scirknn.arrays import Array
from scirknn.text import printable

GRACE_SECONDS = 5.0
"""How long an answer may be late: the board keeps the deadline, and needs a moment to report it."""

_ERROR_KINDS = ("load_error", "run_error", "timeout", "bad_request", "leased")

Answer = tuple[dict[str, Any], dict[str, Array]]


@attrs.define(eq=False)
class SentData:
    """What the runner has of earlier requests: rows, and the bundle with its path."""

    rows: Array | None = None
    bundle: str = ""
    contents: tuple[object, ...] = ()


class RunnerChannel:
    """One long-lived SSH channel to a runner.

    The first failure closes it, and the connection with it: a late answer would be taken for the next one's.

    Parameters
    ----------
    connection : Connection
    logs : pathlib.Path, optional
        Folder for the runner's standard error.

    Attributes
    ----------
    sent : SentData
        Emptied when the runner answers with an error, which may have ended the process that had it.
    errors : ErrorLog or None
    requests : int
        How many were sent.
    """

    def __init__(self, connection: Connection, *, logs: Path | None = None) -> None:
        self.board, self.sent = connection.board, SentData()
        self.errors: ErrorLog | None = None
        self._connection, self._logs = connection, logs
        self._channel: paramiko.Channel | None = None
        self._parser = frames.FrameParser()
        self.requests = 0

    @property
    def is_open(self) -> bool:
        """Whether the runner can be asked."""
        return self._channel is not None

    def start(self, archive: bytes) -> None:
        """Bring a runner to the board, unless it is there, and start it.

        Raises
        ------
        InfraError
            The channel and the connection are closed.
        """
        try:
            self._channel = self._connection.channel(start_command(self.board, archive))
            self.errors = ErrorLog(self._channel, self._logs, self.board.name)
            RunnerStart(self.board, self._channel, self.errors).send(archive)
        except BaseException:
            self.close()
            raise

    def ask(
        self, op: str, deadline: float, arrays: Mapping[str, Array] | None = None, **fields: Any
    ) -> Answer:
        """Send a request and return the answer.

        Parameters
        ----------
        op : str
            The runner's operation.
        deadline : float
            Seconds.
        arrays : mapping of str to numpy.ndarray, optional
        **fields
            Of the request's header; what JSON can hold.

        Returns
        -------
        header : dict
        arrays : dict of str to numpy.ndarray

        Raises
        ------
        BoardError
            The board's answer is an error; the channel stays open.
        InfraError
            The channel failed, and is closed.
        ValueError
            The request cannot be sent.
        """
        if self._channel is None:
            raise ConnectionLostError(f"The session on {self.board.name} is closed; open another.")
        self.requests += 1
        try:
            blocks = frames.encode({"op": op, "id": self.requests, "deadline": deadline, **fields}, arrays)
        except frames.ProtocolViolation as error:
            raise ValueError(f"{op!r} cannot be asked of {self.board.name}: {error}.") from None
        frame, answer = self._exchange(self._channel, op, blocks, deadline + GRACE_SECONDS)
        if frame.header.get("id") != self.requests:
            raise self.protocol_error(f"answered request {frame.header.get('id')!r:.40}, not {self.requests}")
        if frame.header.get("ok") is not True:
            self.sent = SentData()
            raise self._refusal(op, frame.header.get("error"))
        return frame.header, answer

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Report a missing runtime as the board's fault, not the model's.

        Raises
        ------
        ProvisioningError
            The board has no runtime.
        """
        try:
            yield
        except BoardError as error:
            if error.type != "DeviceError":
                raise
            raise ProvisioningError(f"{self.board.name}: {error}", **error.data) from error

    def protocol_error(self, text: str) -> InfraError:
        """Close the channel, and return the error ``"<board> <text>."``."""
        return self._failure(ProtocolError, f"{self.board.name} {text}.")

    def close(self) -> None:
        """Close the channel and the connection; more than once does no harm."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
        if self.errors is not None:
            self.errors.finish()
            self.errors = None
        self._connection.close()

    def _exchange(
        self, channel: paramiko.Channel, op: str, blocks: list[Any], seconds: float
    ) -> tuple[frames.Frame, dict[str, Array]]:
        try:
            try:
                send_blocks(channel, blocks)
            except OSError:
                # A runner that ended at once closes the channel, sometimes before this is sent.
                if channel.status_event.wait(STATUS_SECONDS):
                    raise self._end_of_output(channel, op) from None
                raise
            frame = self._receive(channel, op, seconds)
            return frame, frames.decode_arrays(frame)
        except InfraError:
            raise
        except frames.ProtocolViolation as error:
            raise self.protocol_error(f"answered {op!r} with {error}") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._failure(
                ConnectionLostError,
                f"The connection to {self.board.name} failed during {op!r}: {error or type(error).__name__}. "
                "Check that the board is on and its network up.",
            ) from error
        except BaseException:
            self.close()  # an answer may still come, and would be taken for the next one's
            raise

    def _receive(self, channel: paramiko.Channel, op: str, seconds: float) -> frames.Frame:
        end = time.monotonic() + seconds
        while True:
            # A large answer may take longer than the deadline, as long as it keeps coming.
            left = STALL_SECONDS if self._parser.pending else end - time.monotonic()
            channel.settimeout(max(left, 0.001))
            try:
                data = channel.recv(CHUNK_BYTES)
            except TimeoutError:
                raise self._failure(
                    BoardDeadlineError,
                    f"No answer from {self.board.name} to {op!r} within {seconds:g} s: the board or the "
                    "network hangs. Power-cycle the board if it cannot be reached otherwise.",
                ) from None
            if not data:
                raise self._end_of_output(channel, op)
            answers = list(self._parser.feed(data))
            if len(answers) > 1 or (answers and self._parser.pending):
                raise frames.ProtocolViolation("more than one frame")
            if answers:
                return answers[0]

    def _end_of_output(self, channel: paramiko.Channel, op: str) -> InfraError:
        """Close, and return the error of a runner whose output has ended."""
        transport = channel.get_transport()
        # The status follows the output at once, or the connection is gone and none will come.
        if not (channel.status_event.wait(STATUS_SECONDS) and transport.is_active()):
            text = f"The connection to {self.board.name} ended during {op!r}."
            return self._failure(ConnectionLostError, text)
        status = channel.exit_status
        if self._parser.pending:
            text = f"{self.board.name} answered {op!r} with half a frame."
            return self._failure(ProtocolError, text, status=status)
        text = f"The runner on {self.board.name} ended during {op!r} with status {status} (-1: by a signal)."
        return self._failure(ConnectionLostError, text, status=status)

    def _refusal(self, op: str, error: Any) -> InfraError | BoardError:
        """Return the error that an answer stands for."""
        known = isinstance(error, dict) and error.get("kind") in _ERROR_KINDS
        if not known or not isinstance(error.get("type"), str) or not isinstance(error.get("message"), str):
            return self.protocol_error(f"answered {op!r} with the error {error!r:.200}")
        if error["kind"] == "leased":
            return self._lease_error(error["message"], error.get("holder"))
        code = error.get("code")
        return BoardError(
            error["kind"],
            printable(error["type"]),
            error["message"][:TAIL_BYTES],
            code if type(code) is int else None,
            board=self.board.name,
            stderr=self.errors.settled_tail() if self.errors else "",
        )

    def _lease_error(self, message: str, answer: Any) -> InfraError:
        holder = Holder.from_json(answer)
        if holder is None:
            return self.protocol_error(f"refused the lease with the holder {answer!r:.200}")
        return LeaseError(
            f"{self.board.name}: {message:.600}. Wait for it with --wait, or see "
            "'rknn-harness board unlock --help'.",
            holder.to_json(),
            board=self.board.name,
        )

    def _failure(self, kind: type[InfraError], message: str, **data: Any) -> InfraError:
        """Close, and return the error; it carries the end of the runner's standard error."""
        errors = self.errors
        self.close()
        tail = errors.tail() if errors else ""
        if tail:
            message += f" Last stderr output of the runner: {tail[-500:]}"
        return kind(message, board=self.board.name, stderr=tail, **data)
