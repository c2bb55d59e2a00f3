"""The child process that holds the model, and its end at a deadline."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from typing import Callable

from rknn_harness.board_runner.frames import Frame, FrameParser, ProtocolViolation, bare_frame, join_small

_CHUNK = 1 << 18
_KILL_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class CallerGone(Exception):
    """The caller has hung up; nobody waits for the answer."""


class ModelProcess:
    """A forked process that answers frames, by `serve` on its socket.

    It is forked from a parent that never loads the native library, so nothing native is inherited; and it is
    killed from outside, because a call hung in an ioctl ignores Python's signal handlers. It closes the
    descriptors `private` of the parent, which would keep the caller's channel open.
    """

    def __init__(self, serve: Callable[[socket.socket], None], private: list[int]) -> None:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _run_child(serve, ours, theirs, private, parent)
        theirs.close()
        self._socket = ours
        self._parser = FrameParser()

    def call(
        self, request: Frame, seconds: float, caller: int, look: Callable[[], float] | None = None
    ) -> Frame:
        """Pass a request on and return the answer; kill the process after `seconds`.

        Then, or when the process ends, the answer is an error of kind ``timeout`` or ``run_error`` with the
        name of the signal, and `is_alive` is False. `caller` is the descriptor on which the caller's hang-up
        shows. `look` is called meanwhile; it returns the seconds until its next call.

        Raises
        ------
        CallerGone
            The process has been killed.
        """
        deadline = time.monotonic() + seconds
        try:
            self._send(request, deadline)
            return self._receive(deadline, caller, look)
        except socket.timeout:
            ended = self._kill()
            message = f"no answer within {seconds:g} s; the process was killed"
            if not ended:
                message += ", but hangs in the kernel's driver and cannot end: power-cycle the board"
            return error_frame(request, "timeout", "DeadlineExceeded", message)
        except CallerGone:
            self._kill()
            raise
        except ProtocolViolation as error:
            self._kill()
            return error_frame(
                request, "run_error", "ProtocolViolation", f"the process answered with {error}"
            )
        except OSError:
            return self._death(request)

    @property
    def is_alive(self) -> bool:
        """Whether the process can be asked; it may still die of the next request."""
        return self.pid != 0

    def close(self) -> None:
        """End the process."""
        if self.is_alive:
            self._kill()

    def _send(self, request: Frame, deadline: float) -> None:
        for block in join_small([request.line, request.payload]):
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._socket.sendall(block)

    def _receive(self, deadline: float, caller: int, look: Callable[[], float] | None) -> Frame:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        # No POLLIN: the caller's next request may wait; only its end is news.
        poll.register(caller, getattr(select, "POLLRDHUP", 0))
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout
            ready = dict(poll.poll(min(left, look() if look else left) * 1000))
            if self._socket.fileno() in ready:
                data = self._socket.recv(_CHUNK)
                if not data:
                    raise ConnectionResetError
                answers = list(self._parser.feed(data))
                if len(answers) > 1 or (answers and self._parser.pending):
                    raise ProtocolViolation("more than one frame")
                if answers:
                    return answers[0]
            elif caller in ready:
                raise CallerGone

    def _death(self, request: Frame) -> Frame:
        status = self._wait()
        self._forget()
        if status is None:
            return error_frame(request, "run_error", "Hung", "the process closed its socket and did not end")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            return error_frame(request, "run_error", name, f"the process was ended by {name}", number)
        code = os.WEXITSTATUS(status)
        return error_frame(
            request, "run_error", "Exited", f"the process ended itself with status {code}", code
        )

    def _kill(self) -> bool:
        os.kill(self.pid, signal.SIGKILL)
        ended = self._wait() is not None
        self._forget()
        return ended

    def _wait(self) -> int | None:
        """Return the wait status; None when the process does not end, asleep in a driver."""
        end = time.monotonic() + _KILL_SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return status
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                return None
            time.sleep(0.001)

    def _forget(self) -> None:
        self._socket.close()
        self.pid = 0


def _run_child(
    serve: Callable[[socket.socket], None],
    ours: socket.socket,
    theirs: socket.socket,
    private: list[int],
    parent: int,
) -> None:
    """Never returns."""
    code = 1
    try:
        ours.close()
        for descriptor in private:
            os.close(descriptor)
        # The kernel ends the child with its parent, even when neither can run a handler.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            serve(theirs)
            code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def error_frame(request: Frame, kind: str, name: str, message: str, code: int | None = None) -> Frame:
    """Return an error as the answer to `request`."""
    error = {"kind": kind, "type": name, "message": message, "code": code}
    return bare_frame({"id": request.header.get("id"), "ok": False, "error": error})
