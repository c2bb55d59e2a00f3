"""The virtual NPU as a server on a unix socket, for ``virtual_npu/librknnrt``.

::

    python -m virtual_npu.c_api.server SOCKET [--mode 666] [--while-stdin]

A connection is a context: one model, its inputs and outputs, in a thread of its own. Requests and answers are
frames (``librknnrt/exchange.h``); every length is checked before it is believed, and a malformed request is
answered with a code. A connection that loads no model, or stops within a frame, is closed after a while.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import socketserver
import stat
import struct
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from virtual_npu.c_api.context import FAIL, MALLOC_FAIL, Context, Model, Refused

CONTEXTS: Final = 64
"""Contexts at a time; a further one finds the device unavailable."""

REQUEST_SECONDS: Final = 60.0
"""How long a connection may take until it has a model, and from then on for each frame."""

_REQUEST: Final = struct.Struct("<II")
_ANSWER: Final = struct.Struct("<iI")
_TEXT_LIMIT: Final = 4000  # bytes of an error's text
_CHUNK: Final = 1 << 20


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Listens on the socket `path`; a context manager, as its base is.

    A socket that nobody answers on is replaced. `mode` is the socket's permissions; by default those that the
    process gives to new files. `request_seconds` is how long a connection may take until it has a model,
    and from then on for each frame.

    Raises
    ------
    OSError
        The path is in use, too long for a socket (107 bytes), or may not be written.
    """

    daemon_threads = True
    request_queue_size = CONTEXTS

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: int | None = None,
        *,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self.request_seconds = request_seconds
        self.models: weakref.WeakValueDictionary[bytes, Model] = weakref.WeakValueDictionary()
        self._free = threading.BoundedSemaphore(CONTEXTS)
        self._path, self._bound = Path(path), False
        _clear(self._path)
        super().__init__(str(path), _Connection)
        if mode is not None:
            self._path.chmod(mode)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse a context too many."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless a client merely went away, or was idle."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc()

    def server_bind(self) -> None:
        """Make the socket."""
        super().server_bind()
        self._bound = True

    def server_close(self) -> None:
        """Stop listening and remove the socket; what was at its path before is not ours."""
        super().server_close()
        if self._bound:
            self._path.unlink(missing_ok=True)


class _Connection(socketserver.BaseRequestHandler):
    """One connection's requests, one after another."""

    server: Server
    request: socket.socket

    def handle(self) -> None:
        context, seconds = Context(self.server.models), self.server.request_seconds
        self._end: float | None = time.monotonic() + seconds
        while (header := self._receive(_REQUEST.size)) is not None:
            operation, size = _REQUEST.unpack(header)
            if context.has_model:
                self._end = time.monotonic() + seconds
            payload = self._payload(size, context.limit(operation))
            try:
                code, result = 0, context.answer(operation, size, payload)
            except Refused as error:
                code, result = error.code, str(error).encode()[:_TEXT_LIMIT]
            except MemoryError:
                code, result = MALLOC_FAIL, b"not enough memory"
            except Exception as error:
                # A defect of ours, met in one context, must not end the others.
                traceback.print_exc()
                code, result = FAIL, f"{type(error).__name__}: {error}".encode()[:_TEXT_LIMIT]
            self.request.settimeout(seconds)
            self.request.sendall(_ANSWER.pack(code, len(result)) + result)
            if context.has_model:
                self._end = None  # it may be idle

    def _read(self, size: int) -> bytes:
        """Return up to `size` bytes, or none at the connection's end; raise TimeoutError after `_end`."""
        seconds = None if self._end is None else self._end - time.monotonic()
        if seconds is not None and seconds <= 0:
            raise TimeoutError
        self.request.settimeout(seconds)
        return self.request.recv(min(size, _CHUNK))

    def _receive(self, size: int) -> bytearray | None:
        """Return exactly `size` bytes, or None when the connection ends before."""
        data = bytearray()
        while len(data) < size:
            part = self._read(size - len(data))
            if not part:
                return None
            data += part
        return data

    def _payload(self, size: int, limit: int) -> bytearray | None:
        """Return a request's payload, or read it away and return None if over the limit."""
        if size <= limit:
            data = self._receive(size)
            if data is None:
                raise ConnectionResetError
            return data
        while size:
            part = self._read(size)
            if not part:
                raise ConnectionResetError
            size -= len(part)
        return None


def _clear(path: Path) -> None:
    """Remove a socket that a server left behind."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def _wait_for_stdin(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(_CHUNK):
        pass
    ended.set()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM, SIGINT or the end of standard input.

    Prints the socket once it can be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m virtual_npu.c_api.server", description="Serve the virtual NPU."
    )
    parser.add_argument("socket", help="path of the unix socket to listen on")
    parser.add_argument("--mode", type=lambda text: int(text, 8), help="its permissions, octal")
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    with Server(options.socket, options.mode) as server:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if options.while_stdin:
            threading.Thread(target=_wait_for_stdin, args=(ended,), daemon=True).start()
        print(options.socket, flush=True)
        ended.wait()
        server.shutdown()


if __name__ == "__main__":
    main()
