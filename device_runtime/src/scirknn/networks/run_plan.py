"""Which runs of which variants cover a number of rows."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

VALUES = 1 << 20
"""In work at a time, as input or output: memory does not grow with the rows of X."""

RUN_ROWS = 64
"""What a run costs whatever it computes, in rows: the call, a submit and a few tasks take 0.8 ms, a row of
784 columns through half a million weights 10 us, most of it its conversion (`virtual_npu.estimate`). A
constant, so that the same rows are always covered alike: variants differ in the last bits of an answer."""


class Run(NamedTuple):
    """Rows `start` to `stop` of X, given to the variant that takes `samples` of them."""

    start: int
    stop: int
    samples: int


def cut(rows: int, size: int) -> list[slice]:
    """Return the blocks of `size` rows, the last one of fewer."""
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def cover(rows: int, samples: Sequence[int]) -> Iterator[Run]:
    """Yield the runs that cover `rows` at the least cost; `samples` ascend."""
    start, largest = 0, samples[-1]
    while rows - start >= largest:
        yield Run(start, start + largest, largest)
        start += largest
    if 0 < rows - start <= samples[0]:  # as one row always is
        yield Run(start, rows, samples[0])
    elif start < rows:
        for size in _rest(rows - start, samples)[1]:
            stop = min(start + size, rows)
            yield Run(start, stop, size)
            start = stop


def _rest(rows: int, samples: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Return the least cost of covering fewer than twice the largest, and its runs."""
    if rows <= 0:
        return 0, ()
    largest = samples[-1]
    padded = -(-rows // largest)
    best = padded * (RUN_ROWS + largest), (largest,) * padded
    if len(samples) > 1:
        for full in {0, rows // largest}:
            cost, runs = _rest(rows - full * largest, samples[:-1])
            best = min(best, (cost + full * (RUN_ROWS + largest), (largest,) * full + runs))
    return best
