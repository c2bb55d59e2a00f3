"""Threads that are started when they are first needed; no numpy."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, TypeVar

_Result = TypeVar("_Result")


class LazyThreads:
    """A pool of threads that most programs never use.

    Parameters
    ----------
    count : int
    name : str
        Begins the threads' names.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._starting = threading.Lock()
        self._is_closed = False
        self._process = os.getpid()
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Do `work` in one of the threads; in the caller's, once they are closed or in a forked process."""
        if self._process != os.getpid():
            return _done(work)
        with self._starting:
            if self._threads is None and not self._is_closed:
                self._threads = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)
            if self._threads is not None and not self._is_closed:
                return self._threads.submit(work)
        return _done(work)

    def close(self, *, wait: bool) -> None:
        """End the threads once they have nothing to do; more than once does no harm."""
        if self._process != os.getpid():
            return
        with self._starting:
            self._is_closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=wait)


def _done(work: Callable[[], _Result]) -> Future[_Result]:
    """Return a future whose work has been done in this thread."""
    future: Future[_Result] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future
