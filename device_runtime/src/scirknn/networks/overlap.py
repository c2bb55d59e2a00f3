"""Work in other threads while the caller's prepares what comes next and reads what came before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Callable, Generator, Iterable, TypeVar

IN_WORK = 2
"""Blocks of each worker: one that it computes, one that is prepared or read. A third was seen to gain
nothing."""

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


def overlapped(
    submit: Callable[[_Given], Future[_Result]], workers: int, blocks: Iterable[_Given]
) -> Generator[_Result, None, None]:
    """Yield the result of ``submit(block)`` of each block, in order; a few are in work at a time.

    `blocks` is iterated by the caller's thread. Close the generator when it is not used to its end: nothing
    is in work when it is closed, or has raised.

    Parameters
    ----------
    submit : callable
        Begins the work on a block. Its failure is raised here; where one failure was the ``__cause__`` of
        others, that one is.
    workers : int
        How many blocks are computed at once.
    blocks : iterable
    """
    pending: deque[Future[_Result]] = deque()
    try:
        for block in blocks:
            if len(pending) == IN_WORK * workers:
                yield pending.popleft().result()
            pending.append(submit(block))
        while pending:
            yield pending.popleft().result()
    except BaseException as error:
        failures = _ended(pending)
        cause = error.__cause__
        if cause is not None and any(failure is cause for failure in failures):
            raise cause from None
        raise


def _ended(pending: deque[Future[_Result]]) -> list[BaseException | None]:
    """Wait for what is in work, give up what is not, and return the failures."""
    return [future.exception() for future in pending if not future.cancel()]
