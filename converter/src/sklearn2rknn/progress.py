"""Progress of long work, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Lock, Thread

from scirknn.text import printable

QUIET_SECONDS = 2.0  # work that takes no longer is not reported

_stages: list[str] = []
"""Texts of the running work, the innermost last."""

_starting = Lock()


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show a spinner, or one line without a terminal, after `QUIET_SECONDS`.

    Within another one only the text changes.
    """
    with _starting:
        outer = not _stages
        _stages.append(text)
    done = Event()
    thread = Thread(target=_show, args=(done,), daemon=True)
    if outer:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if outer:
            thread.join()
        _stages.remove(text)


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Name a part of what `progress` shows; without it nothing is shown."""
    with progress(text) if _stages else nullcontext():
        yield


def _show(done: Event) -> None:
    started = time.monotonic()
    if done.wait(QUIET_SECONDS):
        return
    from rich.console import Console  # slow to import, and most commands are quicker than that
    from rich.markup import escape

    console = Console(stderr=True)
    if not console.is_terminal:
        printed = ""
        while True:
            if _stages and _stages[-1] != printed:
                printed = _stages[-1]
                console.print(printable(printed) + " ...", markup=False)
            if done.wait(0.1):
                return
    with console.status("") as status:
        while not done.wait(0.2):
            text = printable(_stages[-1]) if _stages else ""
            status.update(escape(f"{text}, {time.monotonic() - started:.0f} s"))
