"""A connection to a board: SSH with strict host keys, commands, and files kept by their digest."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NoReturn

import attrs
import fabric
import invoke
import paramiko
import tenacity
from paramiko.pkey import UnknownKeyType

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.file_transfer import (
    DIGEST_LINE,
    SMALL_BYTES,
    content_bytes,
    content_sha256,
    content_size,
)
from rknn_harness.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    InfraError,
    ProtocolError,
    ProvisioningError,
)
from scirknn.files import sha256_of_bytes

__all__ = ["Completed", "Connection"]

CONNECT_SECONDS = 10.0
DEAD_LINK_SECONDS = 10.0
"""How long sent bytes may stay unacknowledged before the link counts as dead."""

_KEEPALIVE_SECONDS = 5  # bytes to be acknowledged, so that a silent dead link is noticed too
_ATTEMPTS = 3

_log = logging.getLogger(__name__)


@attrs.frozen
class Completed:
    """A command that has ended.

    Attributes
    ----------
    stdout, stderr : str
    status : int
        Exit status; -1 when a signal ended it.
    """

    stdout: str
    stderr: str
    status: int


_NO_STATUS = -1
"""What paramiko gives for a program without exit status: its channel was closed, or a signal ended it."""


class Connection:
    """An SSH connection to a board; a context manager.

    The key, the file of host keys and all else come from `board`; no agent and no other key is tried.

    Parameters
    ----------
    board : Board
    attempts : int
        How often a lost connection is tried. Only that is ever tried again, and each failure is logged.

    Attributes
    ----------
    read_back : callable or None
        From paths on the board to the sha256 of each file, in hexadecimal; nothing when one is not there. By
        default the board's ``sha256sum``, whose start costs more than the rest of a small transfer.
    keep : callable or None
        From a folder below the work folder, and contents by name, to the sha256 of each file that was kept
        there; nothing when they could not be. It takes small files over: SFTP asks a dozen times for them.

    Raises
    ------
    InfraError
        From every method; the text says what was being done, with which board, and the cure.
    """

    def __init__(self, board: Board, attempts: int = _ATTEMPTS) -> None:
        self.board = board
        self.read_back: Callable[[list[str]], list[str]] | None = None
        self.keep: Callable[[str, Mapping[str, bytes]], list[str]] | None = None
        self._attempts = attempts
        self._fabric: fabric.Connection | None = None
        self._sftp: paramiko.SFTPClient | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        # One name for all attempts of this connection, so that a later one writes over an earlier one's rest.
        self._suffix = secrets.token_hex(4)

    def __enter__(self) -> Connection:
        self._again(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; more than once does no harm."""
        connection, self._fabric, self._sftp = self._fabric, None, None
        if connection is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                connection.close()
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.terminate()
            proxy.wait()

    def run(self, command: Sequence[str], *, seconds: float = 60.0) -> Completed:
        """Run a program on the board.

        Parameters
        ----------
        command : sequence of str
            Program and arguments, as they are: the shell sees them quoted.
        seconds : float
            After which it is given up.

        Returns
        -------
        Completed
            Whatever its exit status.
        """
        line = shlex.join(command)
        with self._translated(f"running {line:.200}"):
            end = time.monotonic() + seconds
            try:
                result = self._opened().run(
                    line, hide=True, warn=True, in_stream=False, timeout=seconds, encoding="utf-8"
                )
            except invoke.exceptions.ThreadException as error:
                raise error.exceptions[0].value from None
            except invoke.exceptions.CommandTimedOut as error:
                self.close()
                raise TimeoutError(f"no end within {seconds:g} s") from error
            if result.exited == _NO_STATUS and time.monotonic() >= end:
                # invoke saw its own timer still at work: the program was ended by it all the same.
                self.close()
                raise TimeoutError(f"no end within {seconds:g} s")
            transport = self._opened().transport
            if result.exited == _NO_STATUS and not (transport and transport.is_active()):
                raise EOFError("the connection ended")
        return Completed(result.stdout, result.stderr, result.exited)

    def channel(self, command: Sequence[str]) -> paramiko.Channel:
        """Start a program on the board, for a long talk over its standard streams."""
        line = shlex.join(command)
        with self._translated(f"starting {line:.200}"):
            transport: paramiko.Transport = self._opened().transport
            channel = transport.open_session(timeout=CONNECT_SECONDS)
            channel.settimeout(CONNECT_SECONDS)
            channel.exec_command(line)
            return channel

    def put(self, files: Mapping[str, Path | bytes]) -> str:
        """Bring files to the board, into a folder named by the digest of their names and contents.

        They are sent over one SFTP session to a temporary folder, read back by the board's ``sha256sum``, and
        renamed; what is there already and reads back right is not sent again. A lost connection is opened
        again and the transfer begun anew. Small files are given to `keep`, where there is one, without asking
        first, which takes as long; when it fails, the long way says why.

        Parameters
        ----------
        files : mapping of str to pathlib.Path or bytes
            What to send by the bare name it shall have.

        Returns
        -------
        str
            The folder, relative to the board's work folder: ``artifacts/<2 digits>/<digest>``.

        Raises
        ------
        ValueError
            A name that is no bare file name.
        ProvisioningError
            The board cannot keep the files; a full disk says so.
        """
        for name in files:
            if not name or name in (".", "..") or "/" in name or not name.isprintable():
                raise ValueError(f"{name!r} is no bare file name; files on a board need one.")
        digests = {name: content_sha256(files[name]) for name in sorted(files)}
        text = "".join(f"{digest} {name}\n" for name, digest in digests.items())
        identity = sha256_of_bytes(text.encode())
        folder = f"artifacts/{identity[:2]}/{identity}"
        self._again(lambda: self._put(files, digests, folder))
        return folder

    def _put(self, files: Mapping[str, Path | bytes], digests: Mapping[str, str], name: str) -> None:
        self._open()
        folder, right = PurePosixPath(self.board.work_folder, name), list(digests.values())
        if self.keep is not None and sum(map(content_size, files.values())) <= SMALL_BYTES:
            if self.keep(name, {each: content_bytes(files[each]) for each in digests}) == right:
                return
            self._open()
        if self._digests(folder, digests) == right:
            return
        part = folder.with_name(f".{folder.name}.{self._suffix}.part")
        try:
            self._send(files, part)
            found = self._digests(part, digests)
            if found != right:
                raise ProvisioningError(
                    f"{self.board.name} did not keep what was sent: {part} reads back as "
                    f"{found or 'nothing'}. Check the board's disk, and that it has the program sha256sum."
                )
            self._rename(part, folder, digests)
        except ProvisioningError:
            with contextlib.suppress(InfraError):
                self.run(["rm", "-rf", "--", str(part)])
            raise

    def _send(self, files: Mapping[str, Path | bytes], part: PurePosixPath) -> None:
        with self._translated(f"sending files to {part}"):
            sftp = self._files()
            self._make(part)
            for name, content in files.items():
                data = content_bytes(content)
                try:
                    with sftp.open(str(part / name), "wb") as file:
                        file.set_pipelined(True)
                        view = memoryview(data)
                        while view:
                            # paramiko takes bytes only, 32 KiB in a request
                            file.write(bytes(view[: 1 << 20]))
                            view = view[1 << 20 :]
                    # paramiko does not look at the answers to pipelined writes that come after the last one
                    kept = sftp.stat(str(part / name)).st_size
                    if kept != len(data):
                        raise OSError(f"it kept {kept} bytes")
                except OSError as error:
                    if _is_transport(error):
                        raise
                    free = self.run(["df", "-Pk", "--", str(part.parent)])
                    raise ProvisioningError(
                        f"{self.board.name} cannot write {part / name} ({len(data)} bytes): {error}. Make "
                        "sure that its user may write there and that the disk has room: "
                        + free.stdout.strip(),
                        stdout=free.stdout,
                        stderr=free.stderr,
                        status=free.status,
                    ) from error

    def _make(self, folder: PurePosixPath) -> None:
        """Make a folder, and its parents when they are missing; what else is wrong, the next step tells."""
        for _ in range(2):
            try:
                self._files().mkdir(str(folder))
                return
            except FileNotFoundError:
                if folder.parent == folder:
                    return
                self._make(folder.parent)
            except OSError as error:
                if _is_transport(error):
                    raise
                return

    def _rename(self, part: PurePosixPath, folder: PurePosixPath, digests: Mapping[str, str]) -> None:
        with self._translated(f"renaming {part}"):
            for last in (False, True):
                try:
                    self._files().posix_rename(str(part), str(folder))
                    return
                except OSError as error:
                    if _is_transport(error):
                        raise
                    if self._digests(folder, digests) == list(digests.values()):
                        return  # another harness was first
                    if last:
                        raise ProvisioningError(
                            f"{self.board.name} cannot rename {part} to {folder}: {error}. Remove {folder}."
                        ) from error
                    self.run(["rm", "-rf", "--", str(folder)])  # damaged: it did not read back right

    def _digests(self, folder: PurePosixPath, names: Mapping[str, str]) -> list[str]:
        """Return what the board reads of the files; nothing when one is not there."""
        paths = [str(folder / name) for name in names]
        if self.read_back is not None:
            return self.read_back(paths)
        result = self.run(["sha256sum", "--", *paths])
        return DIGEST_LINE.findall(result.stdout) if result.status == 0 else []

    def _files(self) -> paramiko.SFTPClient:
        if self._sftp is None:
            transport: paramiko.Transport = self._opened().transport
            self._sftp = paramiko.SFTPClient.from_transport(transport, window_size=1 << 23)
            assert self._sftp is not None
            channel = self._sftp.get_channel()
            assert channel is not None
            channel.settimeout(2 * DEAD_LINK_SECONDS)
        return self._sftp

    def _opened(self) -> fabric.Connection:
        if self._fabric is None:
            raise EOFError("the connection is closed; open it again")
        return self._fabric

    def _open(self) -> None:
        if self._fabric is not None:
            if self._fabric.is_connected:
                return
            self.close()
        board = self.board
        with self._translated(f"connecting to {board.user}@{board.host}:{board.port}"):
            connection = fabric.Connection(
                board.host,
                user=board.user,
                port=board.port,
                config=fabric.Config(lazy=True, overrides={"load_ssh_configs": False}),
                connect_timeout=CONNECT_SECONDS,
                connect_kwargs={
                    "transport_factory": _transport,
                    "pkey": _key(board),
                    "allow_agent": False,
                    "look_for_keys": False,
                    "banner_timeout": CONNECT_SECONDS,
                    "auth_timeout": CONNECT_SECONDS,
                    "channel_timeout": CONNECT_SECONDS,
                },
            )
            connection.client.set_missing_host_key_policy(_Unknown(board))
            try:
                connection.client.load_host_keys(str(board.known_hosts))
            except FileNotFoundError:
                raise HostKeyError(
                    f"{board.name}: there is no file of host keys at {board.known_hosts}. " + _trust(board)
                ) from None
            connection.connect_kwargs["sock"] = self._through_proxy() if board.proxy else _socket(board)
            try:
                connection.open()
            except BaseException:
                connection.connect_kwargs["sock"].close()
                self.close()
                raise
            connection.transport.set_keepalive(_KEEPALIVE_SECONDS)
            self._fabric = connection

    def _through_proxy(self) -> socket.socket:
        """Start the command that reaches the board, and return its standard streams."""
        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            self._proxy = subprocess.Popen(f"exec {self.board.proxy}", shell=True, stdin=end, stdout=end)
        return ours

    def _again(self, step: Any) -> Any:
        """Do `step`, and again when the connection is lost on the way."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ConnectionLostError),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5.0),
            before_sleep=self._retry_noted,
            reraise=True,
        )
        return retrying(step)

    def _retry_noted(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.warning("%s is tried again: %s", self.board.name, error)

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Turn the errors of the libraries below into ours."""
        board = self.board
        try:
            yield
        except InfraError:
            raise
        except paramiko.BadHostKeyException as error:
            raise HostKeyError(
                f"{board.name} at {board.host}:{board.port} shows the host key {error.key.fingerprint}, but "
                f"{board.known_hosts} has {error.expected_key.fingerprint}. If the board was installed anew, "
                "replace the line there; otherwise another machine answers at its address.",
            ) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationError(
                f"{board.name} refuses {board.user} with the key {board.key} ({error}). Let it in with "
                f"'ssh-copy-id -i {board.key}.pub -p {board.port} {board.user}@{board.host}'."
            ) from error
        except (UnicodeDecodeError, paramiko.SFTPError) as error:
            raise ProtocolError(f"{board.name} answered {doing} with {error}.") from error
        except socket.gaierror as error:
            self.close()
            raise ConnectionLostError(
                f"{board.name}: this machine knows no host {board.host!r} ({error.strerror}). Write the "
                "board's address for 'host' in its entry, or for HostName in ~/.ssh/config."
            ) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise ConnectionLostError(
                f"The connection to {board.name} failed while {doing}: {error or type(error).__name__}. "
                f"Check that the board is on and that {board.host}:{board.port} can be reached."
            ) from error


def _key(board: Board) -> paramiko.PKey:
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


class _Unknown(paramiko.RejectPolicy):
    """Rejects an unknown host key, and says which it is so that it can be compared."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> NoReturn:
        board = self._board
        raise HostKeyError(
            f"{board.name} at {board.host}:{board.port} shows the host key {key.fingerprint}, and "
            f"{board.known_hosts} has none for it. " + _trust(board)
        )


def _trust(board: Board) -> str:
    return (
        f"Put it there with 'ssh-keyscan -p {board.port} {board.host} >> {board.known_hosts}', and see that "
        f"'ssh-keygen -lf {board.known_hosts}' shows what the board shows on its own console: "
        "'cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -lf -'."
    )


def _transport(*arguments: Any, **options: Any) -> paramiko.Transport:
    """Offer AES-GCM first, which takes half as long as a cipher and a digest one after the other."""
    transport = paramiko.Transport(*arguments, **options)
    offered = transport.get_security_options()
    offered.ciphers = sorted(offered.ciphers, key=lambda name: "-gcm@" not in name)
    return transport


def _socket(board: Board) -> socket.socket:
    """Connect, with a socket that sends at once and that notices a dead link."""
    connected = socket.create_connection((board.host, board.port), timeout=CONNECT_SECONDS)
    # paramiko does not: a small request would wait for the acknowledgement of the one before.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_LINK_SECONDS * 1000))
    return connected


def _is_transport(error: OSError) -> bool:
    """Whether `error` ended the connection, and is not SFTP's refusal of one request."""
    # paramiko says "Socket is closed" with no number, as it says SFTP's "Failure".
    return isinstance(error, (TimeoutError, ConnectionError)) or str(error) == "Socket is closed"
