"""A network on the NPU, or on the virtual one: any number of rows as runs of the bundle's model files."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Generator, Iterable, List, Tuple

import numpy as np

from scirknn.arrays import Array, Float32Array
from scirknn.bundle.contents import Bundle
from scirknn.devices.core_pool import Contexts
from scirknn.errors import NativeError
from scirknn.networks.overlap import overlapped
from scirknn.networks.run_plan import VALUES, Run, cover, cut

ROWS = 2048
"""Of a block: fewer are not worth another thread, of more the caches hold less [assumed]."""

_Runs = List[Tuple[Run, Array]]


class NpuNetwork:
    """The network of a bundle in its contexts; see `Network`.

    Rows are computed a block at a time, a block in one context. With several blocks the next ones are
    prepared, and the last are read, while the NPU computes.
    """

    watches_range = True

    def __init__(self, bundle: Bundle, contexts: Contexts) -> None:
        self._bundle, self._contexts = bundle, contexts
        self._samples = tuple(variant.samples for variant in bundle.variants)
        self._answers = bundle.n_outputs * bundle.output_parts
        self.channels, self.precision, self.output = bundle.channels, bundle.precision, bundle.output
        self.row_samples, self.workers = self._samples[0], len(contexts)
        self.is_plain = bundle.parts == bundle.output_parts == 1
        largest = self._samples[-1]
        rows = min(ROWS, VALUES // max(bundle.channels, self._answers))
        self._block = max(1, rows // largest) * largest

    def blocks(self, rows: int) -> list[slice]:
        """Return the blocks of so many rows: of as many rows for each context, and no more than in a block.

        Each but the last is complete runs of the largest variant, so that the blocks change no answer.
        """
        largest = self._samples[-1]
        share = -(-rows // (self.workers * largest)) * largest
        return cut(rows, min(self._block, share))

    def prepare(self, X: Array) -> Array:
        """Return the model file's input of rows."""
        return self._bundle.prepare(X)

    def run(self, rows: Float32Array) -> Float32Array:
        """Return the answer of the smallest variant, shape (row_samples, columns)."""
        return self._contexts.run(self.row_samples, rows)

    def require_own_process(self) -> None:
        """Refuse a process that was forked from the one that opened the contexts (NativeError)."""
        self._contexts.require_own_process()

    def close(self) -> None:
        """Release the NPU; more than once does no harm."""
        self._contexts.close()

    def outputs(self, inputs: Iterable[Float32Array], count: int) -> Generator[Array, None, None]:
        """Yield the outputs of each block; with several, the NPU computes while others are prepared."""
        encoded, contexts = map(self._encode, inputs), self._contexts
        if count == 1:
            for runs in encoded:
                yield self._decode(self._compute(runs))
            return
        with closing(overlapped(partial(contexts.submit, self._compute), self.workers, encoded)) as computed:
            for runs in computed:
                yield self._decode(runs)

    def _encode(self, rows: Float32Array) -> _Runs:
        return [
            (run, self._contexts.encode(run.samples, _padded(rows[run.start : run.stop], run.samples)))
            for run in cover(len(rows), self._samples)
        ]

    def _compute(self, encoded: _Runs) -> _Runs:
        return [(run, self._contexts.run_encoded(run.samples, rows)) for run, rows in encoded]

    def _decode(self, computed: _Runs) -> Array:
        bundle, parts = self._bundle, []
        for run, memory in computed:
            answer = self._contexts.decode(run.samples, memory)
            if answer.shape[1] != self._answers:
                text = f"{bundle.path.name} has {answer.shape[1]} outputs, not {self._answers}."
                raise NativeError("run", None, text)
            parts.append(bundle.join(answer[: run.stop - run.start]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _padded(rows: Float32Array, samples: int) -> Float32Array:
    if len(rows) == samples:
        return rows
    padded = np.zeros((samples, rows.shape[1]), dtype=np.float32)
    padded[: len(rows)] = rows
    return padded
