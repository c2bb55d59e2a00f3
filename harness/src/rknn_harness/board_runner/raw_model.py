"""A bare ``.rknn`` file, arrays in, arrays out, for questions to an NPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scirknn.arrays import Array
from scirknn.devices.protocol import MASKS
from scirknn.errors import DeviceError, NativeError

CORES = tuple(MASKS)
"""Names of the vendor's core masks; "auto" gives none."""


class RawModel:
    """One loaded model file, on the device "npu" or "virtual", and one of `CORES`.

    Raises
    ------
    scirknn.errors.DeviceError
        The device's package is not installed.
    scirknn.errors.NativeError
        The runtime, real or virtual, refused the file or the cores.
    """

    def __init__(self, path: str, device: str, core: str = "auto") -> None:
        self._model = (_Lite if device == "npu" else _Virtual)(Path(path), core)

    def run(self, x: Array) -> Array:
        """Run the model once on float32 in its input's shape, channels before points.

        Returns the runtime's float32, quantized outputs as real numbers.

        Raises
        ------
        scirknn.errors.NativeError
        """
        answer: Array = np.ascontiguousarray(self._model.run(self._model.prepare(x)), dtype="<f4")
        return answer

    def call(self, x: Array) -> Any:
        """Return a function that runs the model on `x` and does nothing else, to be timed."""
        given = self._model.prepare(x)
        return lambda: self._model.run(given)

    def close(self) -> None:
        """Release it."""
        self._model.close()


class _Lite:
    """The vendor's rknnlite, which takes NHWC, and reports failure as -1 or None."""

    def __init__(self, path: Path, core: str) -> None:
        from scirknn.devices.rknnlite import restored_logging

        self._name = path.name
        with restored_logging():
            try:
                from rknnlite.api import RKNNLite
            except ImportError as error:
                raise DeviceError(f"The vendor's runtime cannot be imported ({error}).") from error
            self._lite = RKNNLite(verbose=False)
            mask = {} if core == "auto" else {"core_mask": getattr(RKNNLite, f"NPU_CORE_{core.upper()}")}
            try:
                self._check("load_rknn", self._lite.load_rknn(str(path)))
                self._check("init_runtime", self._lite.init_runtime(**mask))
            except BaseException:
                self._lite.release()
                raise

    def _check(self, call: str, code: object) -> None:
        if code != 0:
            number = code if isinstance(code, int) else None
            raise NativeError(call, number, f"rknnlite's {call} of {self._name} returned {code}.")

    @staticmethod
    def prepare(x: Array) -> Array:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)

    def run(self, x: Array) -> Any:
        outputs = self._lite.inference(inputs=[x])
        if outputs is None or len(outputs) != 1:
            raise NativeError(
                "inference", None, f"rknnlite's inference of {self._name} gave {outputs!r:.40}."
            )
        return outputs[0]

    def close(self) -> None:
        self._lite.release()


class _Virtual:
    def __init__(self, path: Path, core: str) -> None:
        import virtual_npu

        self._known = virtual_npu.VirtualNpuError
        try:
            self._npu = virtual_npu.VirtualNpu(virtual_npu.read(path), MASKS[core])
        except self._known as error:
            raise NativeError("load", None, f"The virtual NPU refused {path.name}: {error}") from error

    @staticmethod
    def prepare(x: Array) -> Array:
        return x

    def run(self, x: Array) -> Any:
        try:
            return self._npu.run(x)
        except self._known as error:
            raise NativeError("run", None, f"The virtual NPU failed: {error}") from error

    def close(self) -> None:
        pass
