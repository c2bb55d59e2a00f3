"""Wait for what must happen, however slow the machine is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["PATIENCE", "is_running", "once", "wait_for_end", "wait_until"]

PATIENCE = 120.0
"""Seconds after which something has not happened: far above what a loaded machine takes."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return once the condition holds.

    Raises
    ------
    AssertionError
        It does not hold within `PATIENCE`; the text names `what`.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(0.005)


@contextlib.contextmanager
def once(condition: Callable[[], object], action: Callable[[], object], what: str) -> Iterator[None]:
    """Call `action` in a thread of its own as soon as the condition holds, while the block runs.

    Raises
    ------
    AssertionError
        The block ends first; the text names `what`.
    """
    ended, acted = threading.Event(), threading.Event()

    def wait_and_act() -> None:
        while not ended.is_set():
            if condition():
                acted.set()
                action()
                return
            ended.wait(0.005)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert acted.is_set(), f"not before the end: {what}"


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return False


def wait_for_end(pid: int) -> None:
    """Return once a process has ended."""
    wait_until(lambda: not is_running(pid), f"process {pid} ends")
