"""Files on a board, in folders named by the digest of their contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.errors import BoardError, ProvisioningError
from scirknn.arrays import Array
from scirknn.files import sha256_of_bytes

_SMALL_BYTES = 1 << 18  # sending so much takes no longer than asking first whether it is there
_BLOCK_BYTES = 4 << 20  # of one request, which the board holds in memory


class FileCalls:
    """Requests that bring files to the board."""

    def __init__(self, runner: RunnerChannel) -> None:
        self._runner = runner

    def put(self, files: Mapping[str, Path | bytes]) -> str:
        """Send files into a folder named by the digest of their names and contents.

        The board stores them in a temporary folder, reads their digests there, and renames it. Large files
        that are there already with the right digests are not sent again.

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
        BoardError
            The request is wrong, as without a lease.
        InfraError
        """
        for name in files:
            if not name or name in (".", "..") or "/" in name or not name.isprintable():
                raise ValueError(f"{name!r} is no bare file name; files on a board need one.")
        contents = {name: _content(files[name]) for name in sorted(files)}
        digests = {name: sha256_of_bytes(content) for name, content in contents.items()}
        text = "".join(f"{digest} {name}\n" for name, digest in digests.items())
        identity = sha256_of_bytes(text.encode())
        folder = f"artifacts/{identity[:2]}/{identity}"
        size, board = sum(map(len, contents.values())), self._runner.board
        try:
            stored = self._store(folder, contents, digests, size)
        except BoardError as error:
            if error.kind == "bad_request":  # such as one without a lease
                raise
            self._runner.close()
            raise ProvisioningError(
                f"{board.name} cannot write {size} bytes into {board.work_folder}/{folder} ({error}). Make "
                "sure that its user may write there and that the disk has room.",
                **error.data,
            ) from error
        if stored != list(digests.values()):
            self._runner.close()
            raise ProvisioningError(
                f"{board.name} did not store what was sent: the digests in {board.work_folder}/{folder} are "
                f"{stored or 'missing'}. Check the board's disk."
            )
        return folder

    def _store(
        self, folder: str, contents: Mapping[str, bytes], digests: Mapping[str, str], size: int
    ) -> list[str]:
        """Send contents, and return the digests of what is in the folder then."""
        if size > _SMALL_BYTES:
            paths = [f"{self._runner.board.work_folder}/{folder}/{name}" for name in contents]
            stored = self._digests("digests", self._runner.ask("digests", 120.0, paths=paths)[0])
            if stored == list(digests.values()):
                return stored
        *blocks, last = _blocks(contents)
        for block in blocks:
            self._runner.ask("store", 60.0, block, folder=folder)
        header, _ = self._runner.ask("store", 120.0, last, folder=folder, complete=True)
        return self._digests("store", header)

    def _digests(self, op: str, header: Mapping[str, Any]) -> list[str]:
        digests = header.get("digests")
        if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
            raise self._runner.protocol_error(f"answered {op!r} with {digests!r:.80}")
        return digests


def _blocks(contents: Mapping[str, bytes]) -> list[dict[str, Array]]:
    """Return the contents in pieces by name, which have `_BLOCK_BYTES` together at most; one or more."""
    blocks: list[dict[str, Array]] = [{}]
    free = _BLOCK_BYTES
    for name, content in contents.items():
        data = np.frombuffer(content, np.uint8)
        for start in range(0, max(len(data), 1), _BLOCK_BYTES):
            piece = data[start : start + _BLOCK_BYTES]
            if len(piece) > free:
                blocks.append({})
                free = _BLOCK_BYTES
            blocks[-1][name] = piece
            free -= len(piece)
    return blocks


def _content(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
