"""Files on a board, in folders named by the digest of their contents."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import InfraError, ProvisioningError
from scirknn.files import sha256_of_bytes, sha256_of_file

__all__ = ["FileTransfer"]

_SMALL_BYTES = 1 << 18  # bytes of files that `upload_small_files` is asked to take
_DIGEST_LINE = re.compile(r"^\\?([0-9a-f]{64})  ", re.MULTILINE)

Files = Mapping[str, Path | bytes]


class FileTransfer:
    """Sends files to a board.

    Parameters
    ----------
    connection : Connection

    Attributes
    ----------
    remote_sha256 : callable or None
        Takes paths on the board; returns the sha256 of each file, in hexadecimal, an empty list when one is
        missing, or None to be asked no more. Default: the board's ``sha256sum``, which takes longer to start
        than a small transfer takes.
    upload_small_files : callable or None
        Takes a folder below the work folder, and contents by name; returns the sha256 of each file stored
        there, an empty list when they could not be. One request, where SFTP needs a dozen.
    """

    def __init__(self, connection: Connection) -> None:
        self.remote_sha256: Callable[[list[str]], list[str] | None] | None = None
        self.upload_small_files: Callable[[str, Mapping[str, bytes]], list[str]] | None = None
        self._connection, self._board = connection, connection.board
        # One name for all attempts of this connection, so that a later one writes over an earlier one's rest.
        self._suffix = secrets.token_hex(4)

    def put(self, files: Files) -> str:
        """Send files into a folder named by the digest of their names and contents.

        They are sent over one SFTP session to a temporary folder, their digests read there, and the folder
        renamed; what is there already with the right digests is not sent again. A lost connection is opened
        again and the transfer begun anew. Small files are given to `upload_small_files`, where there is one,
        without looking first, which takes as long; when it fails, SFTP reports why.

        Parameters
        ----------
        files : mapping of str to pathlib.Path or bytes
            By bare file name.

        Returns
        -------
        str
            The folder, relative to the board's work folder: ``artifacts/<2 digits>/<digest>``.

        Raises
        ------
        ValueError
            A name that is no bare file name.
        ProvisioningError
            The board cannot store the files; the text names a full disk.
        InfraError
        """
        for name in files:
            if not name or name in (".", "..") or "/" in name or not name.isprintable():
                raise ValueError(f"{name!r} is no bare file name; files on a board need one.")
        digests = {name: _sha256(files[name]) for name in sorted(files)}
        text = "".join(f"{digest} {name}\n" for name, digest in digests.items())
        identity = sha256_of_bytes(text.encode())
        folder = f"artifacts/{identity[:2]}/{identity}"
        self._connection.retry(lambda: self._put(files, digests, folder))
        return folder

    def _put(self, files: Files, digests: Mapping[str, str], name: str) -> None:
        self._connection.open()
        folder, expected = PurePosixPath(self._board.work_folder, name), list(digests.values())
        if self.upload_small_files is not None and sum(map(_size, files.values())) <= _SMALL_BYTES:
            if self.upload_small_files(name, {each: _content(files[each]) for each in digests}) == expected:
                return
            self._connection.open()
        if self._digests(folder, digests) == expected:
            return
        part = folder.with_name(f".{folder.name}.{self._suffix}.part")
        try:
            self._send(files, part)
            stored = self._digests(part, digests)
            if stored != expected:
                raise ProvisioningError(
                    f"{self._board.name} did not store what was sent: the digests in {part} are "
                    f"{stored or 'missing'}. Check the board's disk, and that it has the program sha256sum."
                )
            self._rename(part, folder, digests)
        except ProvisioningError:
            with contextlib.suppress(InfraError):
                self._connection.run(["rm", "-rf", "--", str(part)])
            raise

    def _send(self, files: Files, folder: PurePosixPath) -> None:
        with self._connection.translate_errors(f"sending files to {folder}"):
            self._make_folder(folder)
            for name, content in files.items():
                data = _content(content)
                try:
                    self._write(folder / name, data)
                except OSError as error:
                    if _is_transport(error):
                        raise
                    raise self._not_written(folder / name, len(data), error) from error

    def _write(self, path: PurePosixPath, data: bytes) -> None:
        sftp = self._connection.sftp()
        with sftp.open(str(path), "wb") as file:
            file.set_pipelined(True)
            view = memoryview(data)
            while view:
                # paramiko takes bytes only, 32 KiB in a request
                file.write(bytes(view[: 1 << 20]))
                view = view[1 << 20 :]
        # paramiko does not look at the answers to pipelined writes that come after the last one
        stored = sftp.stat(str(path)).st_size
        if stored != len(data):
            raise OSError(f"it stored {stored} bytes")

    def _not_written(self, path: PurePosixPath, size: int, error: OSError) -> ProvisioningError:
        free = self._connection.run(["df", "-Pk", "--", str(path.parent.parent)])
        return ProvisioningError(
            f"{self._board.name} cannot write {path} ({size} bytes): {error}. Make sure that its user may "
            f"write there and that the disk has room: {free.stdout.strip()}",
            stdout=free.stdout,
            stderr=free.stderr,
            status=free.status,
        )

    def _make_folder(self, folder: PurePosixPath) -> None:
        """Make a folder and its missing parents; any other error shows in the next step."""
        for _ in range(2):
            try:
                self._connection.sftp().mkdir(str(folder))
                return
            except FileNotFoundError:
                if folder.parent == folder:
                    return
                self._make_folder(folder.parent)
            except OSError as error:
                if _is_transport(error):
                    raise
                return

    def _rename(self, part: PurePosixPath, folder: PurePosixPath, digests: Mapping[str, str]) -> None:
        with self._connection.translate_errors(f"renaming {part}"):
            for is_last in (False, True):
                try:
                    self._connection.sftp().posix_rename(str(part), str(folder))
                    return
                except OSError as error:
                    if _is_transport(error):
                        raise
                    if self._digests(folder, digests) == list(digests.values()):
                        return  # another harness was first
                    if is_last:
                        raise ProvisioningError(
                            f"{self._board.name} cannot rename {part} to {folder}: {error}. Remove {folder}."
                        ) from error
                    self._connection.run(["rm", "-rf", "--", str(folder)])  # damaged: other digests

    def _digests(self, folder: PurePosixPath, names: Mapping[str, str]) -> list[str]:
        """Return the digests of files on the board; an empty list when one is missing."""
        paths = [str(folder / name) for name in names]
        digests = None if self.remote_sha256 is None else self.remote_sha256(paths)
        if digests is not None:
            return digests
        result = self._connection.run(["sha256sum", "--", *paths])
        return _DIGEST_LINE.findall(result.stdout) if result.status == 0 else []


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _content(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _sha256(content: Path | bytes) -> str:
    return sha256_of_bytes(content) if isinstance(content, bytes) else sha256_of_file(content)


def _is_transport(error: OSError) -> bool:
    """Whether `error` ended the connection, and is not SFTP's refusal of one request."""
    # paramiko says "Socket is closed" with no number, as it says SFTP's "Failure".
    return isinstance(error, (TimeoutError, ConnectionError)) or str(error) == "Socket is closed"
