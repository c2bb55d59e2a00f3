"""A session runs one model file: on the NPU through the vendor's rknnlite, or on the virtual NPU.

Neither is imported before a session is opened.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Protocol

import numpy as np

from scirknn.errors import DeviceError, InputError, NativeError

if TYPE_CHECKING:
    from scirknn._typing import Float32Array

__all__ = ["CORES", "DEVICES", "Session", "choose_device", "open_session"]

DEVICES = ("npu", "virtual")
CORES = ("auto", "0", "1", "2", "0_1", "0_1_2")
"""Names of the vendor's core masks, ``RKNNLite.NPU_CORE_*`` in lower case."""

_DEVICE_TREE = Path("/proc/device-tree/compatible")


class Session(Protocol):
    """One model file, ready to run. Calls from several threads take turns."""

    def run(self, rows: Float32Array) -> Float32Array:
        """Run the model once.

        Parameters
        ----------
        rows : numpy.ndarray of float32, shape (1, N, 1, C)
            C-contiguous. N rows of C channels are the same bytes as the row-major ``(N, C)``.

        Returns
        -------
        numpy.ndarray of float32, shape (1, K, N, 1)

        Raises
        ------
        NativeError
        """

    def close(self) -> None:
        """Release the model; more than once does no harm."""


def choose_device(device: str | None) -> str:
    """Settle where a model runs.

    Parameters
    ----------
    device : {"npu", "virtual"} or None
        None asks the environment variable ``SCIRKNN_DEVICE``; without it, the NPU where there is one, and the
        virtual NPU, with a warning, on a machine that has none.

    Returns
    -------
    {"npu", "virtual"}

    Raises
    ------
    InputError
        An unknown name.
    DeviceError
        Neither is there.
    """
    device = device or os.environ.get("SCIRKNN_DEVICE") or None
    if device is not None:
        if device not in DEVICES:
            raise InputError(f"device is {device!r}; it can be 'npu' or 'virtual'.")
        return device
    if _on_rockchip() or importlib.util.find_spec("rknnlite"):
        return "npu"
    if importlib.util.find_spec("virtual_npu"):
        warnings.warn(
            "This machine has no Rockchip NPU: the virtual NPU answers instead. "
            "Pass device='virtual' or set SCIRKNN_DEVICE=virtual to say that this is meant.",
            stacklevel=4,
        )
        return "virtual"
    raise DeviceError(
        "This machine has no Rockchip NPU and no virtual one. On a board, install rknn-toolkit-lite2; "
        "elsewhere, install virtual-npu and pass device='virtual'."
    )


def open_session(path: Path, device: str, core: str = "auto") -> Session:
    """Load a model file.

    Parameters
    ----------
    path : pathlib.Path
    device : {"npu", "virtual"}
    core : {"auto", "0", "1", "2", "0_1", "0_1_2"}
        NPU cores to run on; "auto" leaves the choice to the driver.

    Raises
    ------
    DeviceError
        The runtime is not installed.
    NativeError
        The runtime, real or virtual, refused the file.
    """
    if core not in CORES:
        raise InputError(f"core is {core!r}; it can be one of {', '.join(CORES)}.")
    return _NpuSession(path, core) if device == "npu" else _VirtualSession(path)


def _on_rockchip() -> bool:
    try:
        return b"rockchip," in _DEVICE_TREE.read_bytes()
    except OSError:
        return False


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Undo what importing rknnlite does to the program's logging (it renames levels and adds handlers)."""
    root = logging.getLogger()
    names, values = dict(logging._levelToName), dict(logging._nameToLevel)
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        logging._levelToName.clear()
        logging._levelToName.update(names)
        logging._nameToLevel.clear()
        logging._nameToLevel.update(values)
        root.handlers[:] = handlers
        root.setLevel(level)


class _NpuSession:
    """The vendor's rknnlite, which reports failure as -1 or None and seldom raises."""

    def __init__(self, path: Path, core: str) -> None:
        self._lock = threading.Lock()
        self._lite: Any = None
        with _logging_kept():
            try:
                from rknnlite.api import RKNNLite
            except ImportError as error:
                raise DeviceError(
                    f"The vendor's runtime cannot be imported ({error}). Install rknn-toolkit-lite2 for this "
                    "Python, and librknnrt.so in /usr/lib."
                ) from error
            lite = RKNNLite(verbose=False)
            try:
                _check("load_rknn", path, lite.load_rknn(str(path)), "The file cannot be read.")
                # Chips with one core refuse a mask, so "auto" passes none.
                mask = {} if core == "auto" else {"core_mask": getattr(RKNNLite, f"NPU_CORE_{core.upper()}")}
                _check(
                    "init_runtime",
                    path,
                    lite.init_runtime(**mask),
                    "Its log above says why: most often librknnrt.so is missing or older than the model's "
                    "toolkit, or this user may not open /dev/dri/renderD129.",
                )
            except BaseException:
                lite.release()
                raise
        self._path, self._lite = path, lite

    def run(self, rows: Float32Array) -> Float32Array:
        with self._lock:
            if self._lite is None:
                raise NativeError("inference", None, f"{self._path.name} is closed.")
            outputs = self._lite.inference(inputs=[rows])
        if outputs is None:
            raise NativeError(
                "inference",
                None,
                f"rknnlite's inference of {self._path.name} failed; its log above says why.",
            )
        channels = outputs[0].size // rows.shape[1] if len(outputs) == 1 else 0
        if not channels or channels * rows.shape[1] != outputs[0].size:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise NativeError(
                "inference", None, f"{self._path.name} answered {shapes} to an input of {rows.shape}."
            )
        answer: Float32Array = np.asarray(outputs[0], dtype=np.float32).reshape(1, channels, rows.shape[1], 1)
        return answer

    def close(self) -> None:
        with self._lock:
            lite, self._lite = self._lite, None
            if lite is not None:
                lite.release()


def _check(call: str, path: Path, code: object, cure: str) -> None:
    if code != 0:
        number = code if isinstance(code, int) else None
        raise NativeError(call, number, f"rknnlite's {call} of {path.name} returned {code}. {cure}")


class _VirtualSession:
    """The virtual NPU: the file's own register program, executed in numpy."""

    def __init__(self, path: Path) -> None:
        try:
            import virtual_npu
        except ImportError:
            raise DeviceError(
                "device='virtual' needs the virtual-npu package; install it, or use device='npu' on a board."
            ) from None
        self._error = virtual_npu.VirtualNpuError
        self._lock = threading.Lock()
        self._path = path
        try:
            self._npu: Any = virtual_npu.VirtualNpu(virtual_npu.read(path))
        except self._error as error:
            raise NativeError("load", None, f"The virtual NPU refused {path.name}: {error}") from error

    def run(self, rows: Float32Array) -> Float32Array:
        with self._lock:
            if self._npu is None:
                raise NativeError("run", None, f"{self._path.name} is closed.")
            try:
                answer: Float32Array = self._npu.run(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
            except self._error as error:
                raise NativeError(
                    "run", None, f"The virtual NPU failed {self._path.name}: {error}"
                ) from error
        return answer

    def close(self) -> None:
        with self._lock:
            self._npu = None
