"""A connection to a board: SSH with strict host keys, and channels to programs."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import fabric
import paramiko
import tenacity
from paramiko.pkey import UnknownKeyType

from rknn_harness.boards.board import Board
from rknn_harness.boards.ssh.refusals import host_key_error, host_name, infra_error, known_hosts
from rknn_harness.errors import (
    AuthenticationError,
    ConnectionLostError,
    InfraError,
    PowerError,
)

CONNECT_SECONDS = 10.0
DEAD_LINK_SECONDS = 10.0
"""How long sent bytes may stay unacknowledged before the link counts as dead."""

_KEEPALIVE_SECONDS = 5  # bytes to be acknowledged, so that a silent dead link is noticed too
_ATTEMPTS = 3
_BOOT_STEP_SECONDS = 1.0

_log = logging.getLogger(__name__)
# Its threads log tracebacks, which Python prints where nobody asked for a log; the errors say the same.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Connection:
    """An SSH connection to a board; a context manager.

    The key, the file of host keys and all else come from `board`; no agent and no other key is tried.

    Parameters
    ----------
    board : Board
    attempts : int
        Attempts at a step that loses the connection. Nothing else is retried; each failure is logged.

    Raises
    ------
    InfraError
        From every method; the text names the step, the board and the cure.
    """

    def __init__(self, board: Board, attempts: int = _ATTEMPTS) -> None:
        self.board = board
        self.attempts = attempts
        self._fabric: fabric.Connection | None = None
        self._proxy: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Connection:
        self.retry(self.open)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; more than once does no harm."""
        connection, self._fabric = self._fabric, None
        if connection is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                connection.close()
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.terminate()
            proxy.wait()

    def channel(self, command: Sequence[str]) -> paramiko.Channel:
        """Start a program on the board, and return its standard streams."""
        with self.translate_errors(f"starting {command[0]}"):
            transport: paramiko.Transport = self._require_open().transport
            channel = transport.open_session(timeout=CONNECT_SECONDS)
            channel.settimeout(CONNECT_SECONDS)
            channel.exec_command(shlex.join(command))
            return channel

    def _require_open(self) -> fabric.Connection:
        if self._fabric is None:
            raise EOFError("the connection is closed; open it again")
        return self._fabric

    def open(self) -> None:
        """Connect, unless there is a connection."""
        if self._fabric is not None:
            if self._fabric.is_connected:
                return
            self.close()
        board = self.board
        with self.translate_errors(f"connecting to {board.user}@{board.address}"):
            connection = _new_connection(board)
            connection.connect_kwargs["sock"] = self._connect_proxy() if board.proxy else _connect(board)
            try:
                connection.open()
            except BaseException:
                connection.connect_kwargs["sock"].close()
                self.close()
                raise
            connection.transport.set_keepalive(_KEEPALIVE_SECONDS)
            self._fabric = connection

    def _connect_proxy(self) -> socket.socket:
        """Start the proxy command, and return its standard streams."""
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            self._proxy = subprocess.Popen(f"exec {self.board.proxy}", shell=True, stdin=end, stdout=end)
        return ours

    def retry(self, step: Callable[[], None]) -> None:
        """Do a step, and again when the connection is lost during it."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConnectionLostError),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5.0),
            before_sleep=self._log_retry,
            reraise=True,
        )
        retrying(step)

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning("Retrying %s: %s", self.board.name, error)

    @contextlib.contextmanager
    def translate_errors(self, doing: str) -> Iterator[None]:
        """Turn the errors of libraries into `InfraError`, which names the step."""
        try:
            yield
        except InfraError:
            raise
        except (OSError, EOFError, UnicodeDecodeError, paramiko.SSHException) as error:
            self.close()
            raise infra_error(self.board, doing, error) from error


def wait_until_reachable(board: Board) -> None:
    """Return once a board that boots can be reached.

    Raises
    ------
    PowerError
        It cannot be reached within its `boot_seconds`.
    InfraError
        It can, and is not the board that was trusted.
    """
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
            time.sleep(_BOOT_STEP_SECONDS)


def _new_connection(board: Board) -> fabric.Connection:
    """Return a connection with the entry's keys that is not open yet."""
    connection = fabric.Connection(
        board.host,
        user=board.user,
        port=board.port,
        config=fabric.Config(lazy=True, overrides={"load_ssh_configs": False}),
        connect_timeout=2 * CONNECT_SECONDS,  # later than the banner's, whose error says more
        connect_kwargs={
            "transport_factory": _transport,
            "pkey": _read_key(board),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": CONNECT_SECONDS,
            "auth_timeout": CONNECT_SECONDS,
            "channel_timeout": CONNECT_SECONDS,
        },
    )
    connection.client.set_missing_host_key_policy(_RejectUnknownKey(board))
    for key in reversed(known_hosts(board).keys):  # of two keys of one type the first counts
        connection.client.get_host_keys().add(host_name(board), key.get_name(), key)
    return connection


def _read_key(board: Board) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(board.key)
    except (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as error:
        raise AuthenticationError(
            f"{board.name}: the key {board.key} cannot be read ({error or type(error).__name__}). It must be "
            "a private key without a passphrase: make one with "
            f"'ssh-keygen -t ed25519 -N \"\" -f {board.key}' and let it in with "
            f"'ssh-copy-id -i {board.key}.pub -p {board.port} {board.user}@{board.host}', "
            "or correct 'key' in the board's entry."
        ) from error


class _RejectUnknownKey(paramiko.RejectPolicy):
    """Rejects an unknown host key, and names it so that it can be compared."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:
        raise host_key_error(self._board, key)


def _transport(*arguments: Any, **options: Any) -> paramiko.Transport:
    """Offer AES-GCM first, which takes half as long as a cipher and then a digest."""
    transport = paramiko.Transport(*arguments, **options)
    offered = transport.get_security_options()
    offered.ciphers = sorted(offered.ciphers, key=lambda name: "-gcm@" not in name)
    return transport


def _connect(board: Board) -> socket.socket:
    """Connect, with a socket that sends at once and that notices a dead link."""
    connected = socket.create_connection((board.host, board.port), timeout=CONNECT_SECONDS)
    # paramiko does not: a small request would wait for the acknowledgement of the one before.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_LINK_SECONDS * 1000))
    return connected
