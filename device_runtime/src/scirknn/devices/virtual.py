"""A session on the virtual NPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from scirknn.arrays import Float32Array
from scirknn.devices.protocol import MASKS, Session
from scirknn.errors import DeviceError, NativeError


class VirtualSession(Session):
    """The virtual NPU: the file's own register program, executed in numpy."""

    def __init__(self, path: Path, core: str, form: str) -> None:
        try:
            import virtual_npu
        except ImportError:
            raise DeviceError(
                "device='virtual' needs the virtual-npu package; install it, or use device='npu' on a board."
            ) from None
        self._error = virtual_npu.VirtualNpuError
        self._lock = threading.Lock()
        self._path, self._conv = path, form == "conv"
        try:
            self._npu: Any = virtual_npu.VirtualNpu(virtual_npu.read(path), MASKS[core])
        except self._error as error:
            raise NativeError("load", None, f"The virtual NPU refused {path.name}: {error}") from error

    def run(self, rows: Float32Array) -> Float32Array:
        """Run the model once; see `Session.run`."""
        with self._lock:
            if self._npu is None:
                raise NativeError("run", None, f"{self._path.name} is closed.")
            try:
                answer: Float32Array = self._npu.run(rows.T[None, :, :, None] if self._conv else rows)
            except self._error as error:
                raise NativeError(
                    "run", None, f"The virtual NPU failed {self._path.name}: {error}"
                ) from error
        return answer[0, :, :, 0].T if self._conv else answer

    def close(self) -> None:
        """Release the model; more than once does no harm."""
        with self._lock:
            self._npu = None
