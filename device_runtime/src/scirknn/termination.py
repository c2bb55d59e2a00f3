"""End a program on SIGTERM as on Ctrl-C: what it made is removed, and its children end."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Iterator

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a program that Ctrl-C ended, as shells count it."""

TERMINATED = 128 + signal.SIGTERM
"""The exit code of a program that SIGTERM ended, as shells count it."""


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt in the block, and end the program behind it.

    Does nothing outside the main thread, where Python handles no signals.

    Raises
    ------
    SystemExit
        SIGTERM came; the code is `TERMINATED`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    has_come = False

    def interrupt(*_: Any) -> None:
        nonlocal has_come
        has_come = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another must not cut the cleaning up short
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        if has_come:
            raise SystemExit(TERMINATED)
