"""What runs beside a session's channel: the runner's standard error."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import paramiko

from rknn_harness.errors import (
    printable,
)

SETTLE_SECONDS = 0.5
"""Seconds for which standard error may follow an answer; a tenth without any is its end."""

GRACE_SECONDS = 5.0
"""How long an answer may be late: the board keeps the deadline, and needs a moment to say so."""
ERROR_KINDS = ("load_error", "run_error", "timeout", "bad_request", "leased")
CHUNK_BYTES = 1 << 18
TAIL_BYTES = 4096  # bytes of the runner's standard error that an error carries

_log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]


class ErrorLog:
    """Takes up the runner's standard error as it comes, lest the runner block on it."""

    def __init__(self, channel: paramiko.Channel, folder: Path | None, board: str) -> None:
        self._channel = channel
        self._last: collections.deque[bytes] = collections.deque(maxlen=64)
        self._file: Any = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self._file = (folder / f"{board}-{stamp}-runner.log").open("ab")
        self._thread = threading.Thread(target=self._copy, name=f"stderr of {board}", daemon=True)
        self._thread.start()

    def tail(self) -> str:
        """Return the last of what was said."""
        return printable(b"".join(list(self._last))[-TAIL_BYTES:].decode("utf-8", "replace"))

    def settled_tail(self) -> str:
        """Return the same once nothing more comes: an answer may overtake what was written before it."""
        end, tail = time.monotonic() + SETTLE_SECONDS, self.tail()
        while time.monotonic() < end:
            time.sleep(SETTLE_SECONDS / 10)
            before, tail = tail, self.tail()
            if tail == before:
                break
        return tail

    def finish(self) -> None:
        """Wait for what is under way, and close the file."""
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
                if self._file is not None:
                    self._file.write(data)
                    self._file.flush()
