"""What every session can do, and the names of devices and cores."""

from __future__ import annotations

from scirknn.arrays import Array, Float32Array

DEVICES = ("npu", "virtual", "cpu", "auto")
"""Where a model runs; "auto" takes the NPU or the CPU, whichever is faster for a call."""

MASKS = {"auto": 1, "0": 1, "1": 1, "2": 1, "0_1": 2, "0_1_2": 3}
"""The vendor's core masks, ``RKNNLite.NPU_CORE_*`` in lower case, and how many cores each runs on."""


class Session:
    """One model file, ready to run. Calls from several threads take turns.

    A session may do its work on the host apart from the NPU's, while another run is there: ``run(rows)`` is
    ``decode(run_encoded(encode(rows)))``, to the bit. `encode` and `decode` may be called in any thread at
    any time, and by each other's side. By default all of the work is `run_encoded`'s.
    """

    def run(self, rows: Float32Array) -> Float32Array:
        """Run the model once.

        Parameters
        ----------
        rows : numpy.ndarray of float32, shape (N, C)
            C-contiguous.

        Returns
        -------
        numpy.ndarray of float32, shape (N, K)
            A copy; the caller owns it.

        Raises
        ------
        NativeError
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release the model; more than once does no harm."""
        raise NotImplementedError

    def encode(self, rows: Float32Array) -> Array:
        """Return rows, as `run` takes them, in the type and layout of the NPU's input."""
        return rows

    def run_encoded(self, memory: Array) -> Array:
        """Run the model once on what `encode` returned.

        Returns
        -------
        numpy.ndarray
            The output in the type and layout of the NPU; a copy.

        Raises
        ------
        NativeError
        """
        return self.run(memory)

    def decode(self, memory: Array) -> Float32Array:
        """Return what `run` returns for what `run_encoded` returned."""
        return memory
