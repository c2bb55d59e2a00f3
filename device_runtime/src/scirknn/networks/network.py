"""What a network is on every device."""

from __future__ import annotations

from typing import Generator, Iterable, Protocol

from scirknn.arrays import Array, Float32Array
from scirknn.bundle.contents import Affine


class Network(Protocol):
    """A bundle's network on one device, ready to compute.

    Attributes
    ----------
    channels : int
        Columns of its input.
    precision : str
        What its numbers are, for texts.
    watches_range : bool
        Whether it cuts off what lies beyond the range of calibration.
    output : Affine or None
        The host's map of what it answers.
    row_samples : int
        Rows of the run that one row takes.
    is_plain : bool
        Whether each input is one channel, and each output one column.
    workers : int
        Blocks that are computed at once.
    """

    channels: int
    precision: str
    watches_range: bool
    output: Affine | None
    row_samples: int
    is_plain: bool
    workers: int

    def blocks(self, rows: int) -> list[slice]:
        """Return the blocks in which so many rows are best computed."""

    def prepare(self, X: Array) -> Array:
        """Return its input of rows, before it is cast to float32 and padded to `channels`."""

    def outputs(self, inputs: Iterable[Float32Array], count: int) -> Generator[Array, None, None]:
        """Yield the outputs, shape (rows, n_outputs), of each of `count` blocks of inputs, in order.

        Close the generator when it is not used to its end: then nothing is in work.

        Raises
        ------
        NativeError
        """

    def run(self, rows: Float32Array) -> Float32Array:
        """Return what it answers to `row_samples` rows, shape (row_samples, columns)."""

    def require_own_process(self) -> None:
        """Refuse a process that cannot compute with it (NativeError)."""

    def close(self) -> None:
        """Release it; more than once does no harm."""
