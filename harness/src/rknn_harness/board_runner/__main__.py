"""The runner's parent process: ``PYTHON runner.pyz WORK_FOLDER``, frames on standard input and output."""

from __future__ import annotations

import faulthandler
import os
import socket
import sys

from rknn_harness.board_runner.frames import Frame, FrameParser, ProtocolViolation, encode
from rknn_harness.board_runner.model_process import CallerGone, ModelProcess, error_frame
from rknn_harness.board_runner.operations import Operations, failure

__all__ = ["main"]

_CHUNK = 1 << 18
_LONGEST_DEADLINE = 86_400.0  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Answer frames until ``quit`` or the end of input.

    Parameters
    ----------
    arguments : list of str, optional
        The work folder, which bundles lie below. Default: those of the process.

    Returns
    -------
    int
        Exit status: 0; 2 when the input was no sequence of frames.
    """
    (work_folder,) = sys.argv[1:] if arguments is None else arguments
    source, sink = os.dup(0), os.dup(1)
    # Vendor libraries print to descriptor 1: from here on that is standard error, and frames have their own.
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return _Runner(os.path.abspath(work_folder), source, sink).serve()


class _Runner:
    """Passes requests to the child process, which is made when it is needed."""

    def __init__(self, work_folder: str, source: int, sink: int) -> None:
        self._work_folder = work_folder
        self._source, self._sink = source, sink
        self._process: ModelProcess | None = None

    def serve(self) -> int:
        parser = FrameParser()
        try:
            while True:
                data = os.read(self._source, _CHUNK)
                if not data:
                    return 0
                for request in parser.feed(data):
                    if request.header.get("op") == "quit":
                        self._write(encode({"id": request.header.get("id"), "ok": True}))
                        return 0
                    answer = self._answer(request)
                    self._write([answer.line, answer.payload])
        except ProtocolViolation as error:
            self._write(encode({"id": None, **failure("bad_request", error)}))
            return 2
        except (CallerGone, BrokenPipeError):
            return 0
        finally:
            if self._process is not None:
                self._process.close()

    def _answer(self, request: Frame) -> Frame:
        seconds = request.header.get("deadline")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or not 0 < seconds <= _LONGEST_DEADLINE
        ):
            message = f"deadline is {seconds!r:.40}; it must be seconds, up to {_LONGEST_DEADLINE:g}"
            return error_frame(request, "bad_request", "BadRequest", message)
        if self._process is None or not self._process.alive:
            self._process = ModelProcess(self._serve_child, private=[self._source, self._sink])
        return self._process.call(request, seconds, self._source)

    def _write(self, blocks: list[bytes]) -> None:
        for block in blocks:
            view = memoryview(block)
            while view:
                view = view[os.write(self._sink, view) :]

    def _serve_child(self, peer: socket.socket) -> None:
        faulthandler.enable()  # a crash in native code leaves its Python traceback in the log
        operations, parser = Operations(self._work_folder), FrameParser()
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


if __name__ == "__main__":
    sys.exit(main())
