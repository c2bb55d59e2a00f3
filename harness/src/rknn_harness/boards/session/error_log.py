"""The runner's standard error, taken up while it comes."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import paramiko

from scirknn.files import open_no_link
from scirknn.text import printable

CHUNK_BYTES = 1 << 18
TAIL_BYTES = 4096
"""Bytes of the runner's standard error that an error carries."""

_MOST_BYTES = 64 << 20  # of the file, whatever a board prints

_SETTLE_SECONDS = 0.5  # for which standard error may follow an answer; a tenth without any is its end


class ErrorLog:
    """Reads the runner's standard error in a thread, lest the runner block on it."""

    def __init__(self, channel: paramiko.Channel, folder: Path | None, board: str) -> None:
        self._channel = channel
        self._last: collections.deque[bytes] = collections.deque(maxlen=64)
        self._file: Any = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self._file = open(folder / f"{board}-{stamp}-runner.log", "ab", opener=open_no_link)  # noqa: SIM115
        self._thread = threading.Thread(target=self._copy, name=f"stderr of {board}", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """Return the end of the output so far."""
        return printable(b"".join(list(self._last))[-TAIL_BYTES:].decode("utf-8", "replace"))

    def settled_tail(self) -> str:
        """Return the end once no more comes, as an answer may overtake earlier output."""
        end, tail = time.monotonic() + _SETTLE_SECONDS, self.tail()
        while time.monotonic() < end:
            time.sleep(_SETTLE_SECONDS / 10)
            before, tail = tail, self.tail()
            if tail == before:
                break
        return tail

    def finish(self) -> None:
        """Wait for pending output, and close the file."""
        self._thread.join(2.0)
        if self._file is not None:
            self._file.close()

    def _copy(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the channel's end, the file's
            while True:
                try:
                    data = self._channel.recv_stderr(CHUNK_BYTES)
                except TimeoutError:  # the channel's, which the other stream sets
                    if self._channel.closed:
                        return
                    continue
                if not data:
                    return
                self._last.append(data[-TAIL_BYTES:])
                if self._file is not None and self._file.tell() < _MOST_BYTES:
                    self._file.write(data)
                    self._file.flush()
