"""The runner's parent process: ``PYTHON runner.pyz WORK_FOLDER [LEASE_FOLDER]``."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Callable, NoReturn

from rknn_harness.board_runner.clocks import Clocks
from rknn_harness.board_runner.frames import (
    Block,
    Frame,
    FrameParser,
    ProtocolViolation,
    bare_frame,
    encode,
    join_small,
    with_fields,
)
from rknn_harness.board_runner.interrupts import Interrupts
from rknn_harness.board_runner.lease import Held, Lease, bounded_text
from rknn_harness.board_runner.model_process import CallerGone, ModelProcess, error_frame
from rknn_harness.board_runner.operations import BadRequest, Operations, failure, number_of
from scirknn.devices.compatibility import small_text

_CHUNK = 1 << 18
_LONGEST_DEADLINE = 86_400.0  # seconds
_LONGEST_RESERVATION = 30 * 86_400.0

ROOT = "RKNN_HARNESS_ROOT"
"""Environment variable: where the machine's files are, for tests that give a tree of their own."""

LEASE_SECONDS = 1800.0
"""How long a session keeps the board without a request; each request renews it."""

_WITHOUT_LEASE = ("hello", "facts", "doctor", "digests")


def main(arguments: list[str] | None = None) -> int:
    """Answer frames until ``quit``, the end of input, or the end of the lease.

    Arguments are the work folder, which bundles lie below, and the lease's folder, by default ``lease`` in
    it. The exit status is 0; 2 when the input was no sequence of frames; 3 when the lease was over.
    """
    work_folder, *rest = sys.argv[1:] if arguments is None else arguments
    source, sink = os.dup(0), os.dup(1)
    # Vendor libraries print to descriptor 1: from here on that is standard error, and frames have their own.
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)  # so that what has to be put back is
    work_folder = os.path.abspath(work_folder)
    lease_folder = os.path.abspath(rest[0] if rest else os.path.join(work_folder, "lease"))
    return _Runner(work_folder, lease_folder, source, sink).serve()


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


class _Runner:
    """Passes requests to the child process, and answers those about the lease."""

    def __init__(self, work_folder: str, lease_folder: str, source: int, sink: int) -> None:
        self._work_folder = work_folder
        self._source, self._sink = source, sink
        self._process: ModelProcess | None = None
        self._root = os.environ.get(ROOT) or "/"
        self._lease = Lease(lease_folder)
        self._clocks = Clocks(self._root, Path(lease_folder, "clocks.json"))
        self._interrupts = Interrupts(self._root, Path(lease_folder, "interrupts.json"))

    def serve(self) -> int:
        parser = FrameParser()
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        try:
            while True:
                if self._lease.is_held and not poll.poll(max(self._lease.seconds_left, 0) * 1000):
                    print("lease: over, as no request came; the runner ends", file=sys.stderr, flush=True)
                    return 3
                data = os.read(self._source, _CHUNK)
                if not data:
                    return 0
                for request in parser.feed(data):
                    if request.header.get("op") == "quit":
                        self._end()
                        self._write(encode({"id": request.header.get("id"), "ok": True}))
                        return 0
                    answer = self._answer(request)
                    self._write(join_small([answer.line, answer.payload]))
        except ProtocolViolation as error:
            self._write(encode({"id": None, **failure("bad_request", error)}))
            return 2
        except (CallerGone, BrokenPipeError):
            return 0
        finally:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
        self._lease.release()

    def _answer(self, request: Frame) -> Frame:
        op = request.header.get("op")
        own = self._operations().get(op) if isinstance(op, str) else None
        try:
            seconds = number_of(request.header, "deadline", _LONGEST_DEADLINE)
            if own is not None:
                return bare_frame({"id": request.header.get("id"), "ok": True, **own(request.header)})
            if op not in _WITHOUT_LEASE and not self._lease.is_held:
                raise BadRequest(f"{op!r:.40} needs the lease on the board: take it first")
            self._lease.renew(max(LEASE_SECONDS, seconds))
            if self._process is None or not self._process.is_alive:
                self._process = ModelProcess(self._serve_child, private=[self._source, self._sink])
            return self._call_watching_clocks(request, seconds, self._process)
        except Held as error:
            return _error_answer(request, "leased", error, holder=error.holder)
        except BadRequest as error:
            return _error_answer(request, "bad_request", error)
        except OSError as error:
            if own is None:
                raise
            return _error_answer(request, "bad_request", error)

    def _call_watching_clocks(self, request: Frame, seconds: float, process: ModelProcess) -> Frame:
        """Pass a request on; with ``clocks``, "record" or "pin", the answer has them too."""
        manner = request.header.get("clocks")
        if manner not in ("record", "pin"):
            return process.call(request, seconds, self._source)
        hold = manner == "pin" and self._lease.is_held
        with self._interrupts.watch(hold=hold), self._clocks.watch(hold=hold) as watch:
            answer = process.call(request, seconds, self._source, watch.look)
            seen = {**watch.summary(), "interrupts": self._interrupts.summary()}
            return with_fields(answer, {"clocks": seen})

    def _operations(self) -> dict[str, Callable[[Any], dict[str, Any]]]:
        return {
            "lease": self._take,
            "holders": lambda header: self._lease.holders(),
            "identity": lambda header: {"kernel": self._kernel(), "lease": self._lease.place()},
            "reserve": self._reserve,
            "unreserve": self._unreserve,
        }

    def _kernel(self) -> str:
        """Return Linux's identifier of this boot, see random(4)."""
        return small_text(Path(self._root, "proc/sys/kernel/random/boot_id")) or ""

    def _take(self, header: Any) -> dict[str, Any]:
        if self._process is not None:  # the next one shares the lock
            self._process.close()
        left = self._lease.take(
            owner=bounded_text(header.get("owner")),
            what=bounded_text(header.get("what")),
            token=bounded_text(header.get("token")),
            seconds=LEASE_SECONDS,
            wait=number_of(header, "wait", 60.0),
        )
        restored = self._interrupts.restore() | self._clocks.restore()
        return {"taken_over": left, "clocks_restored": restored}

    def _reserve(self, header: Any) -> dict[str, Any]:
        if not self._lease.is_held:
            raise BadRequest("a reservation needs the lease on the board: take it first")
        seconds = number_of(header, "seconds", _LONGEST_RESERVATION)
        owner, what = bounded_text(header.get("owner")), bounded_text(header.get("what"))
        return {"reserved": self._lease.reserve(owner=owner, what=what, seconds=seconds)}

    def _unreserve(self, header: Any) -> dict[str, Any]:
        owner = bounded_text(header.get("owner"))
        return {"reserved": self._lease.unreserve(owner=owner, force=header.get("force") is True)}

    def _write(self, blocks: list[Block]) -> None:
        for block in blocks:
            view = memoryview(block)
            while view:
                view = view[os.write(self._sink, view) :]

    def _serve_child(self, peer: socket.socket) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.enable()  # a crash in native code leaves its Python traceback in the log
        operations, parser = Operations(self._work_folder, self._root), FrameParser()
        while True:
            data = peer.recv(_CHUNK)
            if not data:
                return
            for request in parser.feed(data):
                header, arrays = operations.answer(request)
                identity = {"id": request.header.get("id")}
                try:
                    blocks = encode({**identity, **header}, arrays)
                except ProtocolViolation as error:
                    blocks = encode({**identity, **failure("run_error", error)})
                for block in blocks:
                    peer.sendall(block)


def _error_answer(request: Frame, kind: str, error: Exception, **fields: Any) -> Frame:
    frame = error_frame(request, kind, type(error).__name__, str(error) or repr(error))
    return with_fields(frame, {"error": {**frame.header["error"], **fields}}) if fields else frame


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
