"""One thread for small matrix products.

A second one gains them nothing, and then spins for some 20 ms on the processor that the toolkit needs: the
conversion of a small network with 512 rows of example takes three times the processor time.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

SMALL = 2**28
"""Multiplications of one product up to which one thread does it in some 20 ms."""


_limiting = threading.Lock()


@functools.cache
def _controller() -> ThreadpoolController:
    """Return the controller of the loaded libraries, found once."""
    return ThreadpoolController()


@contextmanager
def single_blas_thread(multiplications: int) -> Iterator[None]:
    """Take one thread for the products within, if they are few multiplications."""
    # The number is the process's: a second caller would save 1 as the value to restore.
    if multiplications > SMALL or not _limiting.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limiting.release()
