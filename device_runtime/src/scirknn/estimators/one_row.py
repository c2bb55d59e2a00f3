"""One row a call: what a call needs is computed when the model is opened.

The general path checks, maps and casts any number of rows of any kind in some twenty numpy calls; for one row
they cost more than the NPU saves. Here one dot product is the check: NaN, infinity and what float32 cannot
hold all fail ``vdot(row, row) < LIMIT``, and `numpy.vdot` alone warns of no overflow. Whatever fails it, or
is not one row of floating-point numbers, is left to the general path, which answers or names what is wrong.
Answers are equal to the bit.
"""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import Any, Mapping

import numpy as np

from scirknn.arrays import Array, Float32Array, Floats
from scirknn.bundle.contents import Affine, Bundle
from scirknn.estimators.range_watch import RangeWatch
from scirknn.networks.network import Network

LIMIT = 1e76
"""Below it no number of a row exceeds 1e38, and float32 holds up to 3.4e38."""


class OneRow:
    """The raw output of one row, from memory that is kept between calls.

    Parameters
    ----------
    bundle : Bundle
        One that `takes`.
    network : Network
    watch : RangeWatch or None
        Where the network cuts off what lies outside.
    """

    def __init__(self, bundle: Bundle, network: Network, watch: RangeWatch | None) -> None:
        self._network, self._watch = network, watch
        self._shape = (1, bundle.n_features_in)
        self._input, self._output = _bound(bundle.input), _bound(network.output)
        self._answers = bundle.n_outputs
        # By the dtype of X, that of the answer.
        self._dtypes: Mapping[str, Any] = {
            kind: np.result_type(bundle.dtype, kind) for kind in (np.dtype("d").char, np.dtype("f").char)
        }
        self._spare: deque[_Memory] = deque()

    @staticmethod
    def takes(bundle: Bundle, network: Network) -> bool:
        """Whether a bundle's rows are no more than mapped in front of one float32 for each feature."""
        maps_only = bundle.columns is None and not bundle.maps_apart
        # Names are compared, and their lack is warned of, with each call.
        return maps_only and bundle.feature_names is None and network.is_plain

    def output(self, X: Any) -> Array | None:
        """Return the raw output of X, shape (1, n_outputs); None where the general path is to answer.

        Raises
        ------
        NativeError
        """
        if type(X) is not np.ndarray or X.shape != self._shape or X.dtype.char not in self._dtypes:
            return None
        row = X[0]
        if self._input is not None:
            offset, scale = self._input
            row = (row - offset) * scale
        if not float(np.vdot(row, row)) < LIMIT:
            return None
        network, watch = self._network, self._watch
        memory = self._spare.pop() if self._spare else _Memory(network, len(row))
        memory.features[...] = row
        is_inside = watch is None or watch.holds(memory.row)
        answer = network.run(memory.rows) if is_inside else None
        self._spare.append(memory)
        return None if answer is None else self._finished(answer, X)

    def _finished(self, answer: Float32Array, X: Array) -> Array | None:
        if answer.shape[1] != self._answers:
            return None
        output = answer[:1].astype(self._dtypes[X.dtype.char])
        values = output[0]
        if not isfinite(np.vdot(values, values)):
            return None
        if self._output is not None:
            offset, scale = self._output
            output -= offset
            output *= scale
        if self._watch is not None:
            self._watch.count(X)
        return output


class _Memory:
    """What one run is given; rows and channels that are not written stay zero."""

    __slots__ = ("features", "row", "rows")

    def __init__(self, network: Network, width: int) -> None:
        self.rows: Float32Array = np.zeros((network.row_samples, network.channels), dtype=np.float32)
        self.row = self.rows[0]
        self.features = self.row[:width]


def _bound(affine: Affine | None) -> tuple[Floats, Floats] | None:
    return None if affine is None else (affine.offset, affine.scale)
