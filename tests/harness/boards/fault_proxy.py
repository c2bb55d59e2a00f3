"""A TCP proxy on loopback that cuts connections, or lets them hang, when a test says so."""

from __future__ import annotations

import collections
import contextlib
import socket
import struct
import threading
import time
from types import TracebackType

_STEP = 0.02  # seconds between looks at what the test wants


class FaultProxy:
    """Passes connections on to a port of 127.0.0.1.

    Parameters
    ----------
    target : int
        Port.
    cut_after : int, optional
        Reset a connection when its client has sent this many bytes,
    cuts : int
        for this many connections; later ones live.
    delay : float
        Seconds by which every byte comes late, each way.
    """

    def __init__(self, target: int, cut_after: int | None = None, cuts: int = 1, delay: float = 0.0) -> None:
        self._target, self._cut_after, self._cuts, self._delay = target, cut_after, cuts, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_STEP)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._ended, self._silent, self._cut = threading.Event(), threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def silence(self) -> None:
        """Lose everything on the connections there are, and keep them open."""
        self._silent.set()
        self._silent = threading.Event()

    def cut(self) -> None:
        """Reset every connection there is."""
        self._cut.set()
        self._cut = threading.Event()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:
                    client.close()
                    continue
                doomed = threading.Event()
                limit = self._cut_after if self.connections <= self._cuts else None
                fate = (doomed, self._cut, self._silent)
                for source, sink, bound in ((client, server, limit), (server, client, None)):
                    thread = threading.Thread(target=self._pass_on, args=(source, sink, bound, *fate))
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(
        self,
        source: socket.socket,
        sink: socket.socket,
        limit: int | None,
        doomed: threading.Event,
        cut: threading.Event,
        silent: threading.Event,
    ) -> None:
        source.settimeout(_STEP)
        passed = 0
        late: collections.deque[tuple[float, bytes]] = collections.deque()
        with contextlib.suppress(OSError):
            while not (self._ended.is_set() or cut.is_set() or doomed.is_set()):
                if late:  # wake up for what is due
                    source.settimeout(min(max(late[0][0] - time.monotonic(), 0.001), _STEP))
                with contextlib.suppress(TimeoutError):
                    data = source.recv(65536)
                    passed += len(data)
                    if data and silent.is_set():
                        continue
                    if not data or (limit is not None and passed > limit):
                        break
                    late.append((time.monotonic() + self._delay, data))
                while late and late[0][0] <= time.monotonic():
                    sink.sendall(late.popleft()[1])
        doomed.set()
        # With a linger of 0 s, close is a reset; each thread closes the socket that it reads.
        source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        source.close()
