"""What every session can do, and the names of devices and cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from scirknn.arrays import Float32Array

__all__ = ["DEVICES", "MASKS", "Session"]

DEVICES = ("npu", "virtual")
MASKS = {"auto": 1, "0": 1, "1": 1, "2": 1, "0_1": 2, "0_1_2": 3}
"""The vendor's core masks, ``RKNNLite.NPU_CORE_*`` in lower case, and how many cores each runs on."""


class Session(Protocol):
    """One model file, ready to run. Calls from several threads take turns."""

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

    def close(self) -> None:
        """Release the model; more than once does no harm."""
