"""Packed conversions on the disk of the machine that runs the cases, by their key."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from scirknn.files import read_file, write_atomically

_DIGEST_BYTES = hashlib.sha256().digest_size
_MOST_BYTES = 1 << 30


class ConversionStore:
    """A folder of packed conversions; several processes may use it at once.

    Parameters
    ----------
    folder : pathlib.Path
        It is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> bytes | None:
        """Return a packed conversion; None where there is none, or a damaged one."""
        with contextlib.suppress(OSError):
            written = read_file(self._path(key), _MOST_BYTES)
            digest, content = written[:_DIGEST_BYTES], written[_DIGEST_BYTES:]
            if hashlib.sha256(content).digest() == digest:
                return content
        return None

    def put(self, key: str, content: bytes) -> None:
        """Write a packed conversion, complete or not at all; one that is there stays.

        Raises
        ------
        OSError
        """
        if self.get(key) is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path(key), hashlib.sha256(content).digest() + content)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.conversion"
