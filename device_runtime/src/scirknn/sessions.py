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
from typing import TYPE_CHECKING, Any, Callable, Iterator, Protocol

import numpy as np

from scirknn.errors import DeviceError, InputError, NativeError
from scirknn.vendor_codes import cure_for, heard_code, name_of

if TYPE_CHECKING:
    from scirknn._typing import Float32Array

__all__ = ["DEVICES", "MASKS", "Session", "choose_device", "logging_kept", "open_session"]

DEVICES = ("npu", "virtual")
MASKS = {"auto": 1, "0": 1, "1": 1, "2": 1, "0_1": 2, "0_1_2": 3}
"""The vendor's core masks, ``RKNNLite.NPU_CORE_*`` in lower case, and how many cores each runs on."""

_DEVICE_TREE = Path("/proc/device-tree/compatible")


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
            Nobody else's memory.

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


def open_session(path: Path, device: str, core: str = "auto", form: str = "conv") -> Session:
    """Load a model file.

    Parameters
    ----------
    path : pathlib.Path
    device : {"npu", "virtual"}
    core : {"auto", "0", "1", "2", "0_1", "0_1_2"}
        NPU cores to run on; "auto" leaves the choice to the driver.
    form : {"conv", "matmul"}
        The shapes of the model's input and output: ``[1, C, N, 1]`` and ``[1, K, N, 1]``, or ``[N, C]`` and
        ``[N, K]``.

    Raises
    ------
    DeviceError
        The runtime is not installed.
    NativeError
        The runtime, real or virtual, refused the file.
    """
    return _NpuSession(path, core, form) if device == "npu" else _VirtualSession(path, core, form)


def _on_rockchip() -> bool:
    try:
        return b"rockchip," in _DEVICE_TREE.read_bytes()
    except OSError:
        return False


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Undo what importing rknnlite does to the program's logging (it renames levels and adds handlers)."""
    root = logging.getLogger()
    names, values = dict(logging._levelToName), dict(logging._nameToLevel)
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    logger_class, record_factory = logging.getLoggerClass(), logging.getLogRecordFactory()
    try:
        yield
    finally:
        # Never empty in between: other threads may be logging.
        for now, before in ((logging._levelToName, names), (logging._nameToLevel, values)):
            now.update(before)  # type: ignore[arg-type]
            for added in set(now) - set(before):
                del now[added]  # type: ignore[arg-type]
        root.handlers[:] = handlers
        root.setLevel(level)
        root.manager.disable = disabled
        logging.setLoggerClass(logger_class)
        logging.setLogRecordFactory(record_factory)


class _Overheard:
    """rknnlite's log: the only place where it names the vendor's code. Everything is passed on."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.said = ""

    def e(self, message: Any, *rest: Any, **options: Any) -> Any:
        self.said = f"{self.said[-4000:]}\n{message}"
        return self._log.e(message, *rest, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class _NpuSession:
    """The vendor's rknnlite, which reports failure as -1 or None and seldom raises."""

    def __init__(self, path: Path, core: str, form: str) -> None:
        self._path, self._core, self._conv = path, core, form == "conv"
        self._lock = threading.Lock()
        self._lite: Any = None
        self._log = _Overheard(None)
        with logging_kept():
            try:
                from rknnlite.api import RKNNLite
            except ImportError as error:
                raise DeviceError(
                    f"The vendor's runtime cannot be imported ({error}). Install rknn-toolkit-lite2 for this "
                    "Python, and librknnrt.so in /usr/lib."
                ) from error
            lite = RKNNLite(verbose=False)
            if hasattr(lite, "rknn_log"):
                lite.rknn_log = self._log = _Overheard(lite.rknn_log)
            try:
                self._begin("load_rknn", lambda: lite.load_rknn(str(path)), "The file cannot be read.")
                # Chips with one core refuse a mask, so "auto" passes none.
                mask = {} if core == "auto" else {"core_mask": getattr(RKNNLite, f"NPU_CORE_{core}", None)}
                if None in mask.values():
                    raise DeviceError(f"This rknnlite knows no core {core}; use core='auto', or update it.")
                self._begin(
                    "init_runtime",
                    lambda: lite.init_runtime(**mask),
                    "Its log above says why: most often librknnrt.so is missing or older than the model's "
                    "toolkit, or this user may not open /dev/dri/renderD129: 'python3 -m scirknn doctor' "
                    "tells.",
                )
            except BaseException:
                lite.release()
                raise
        self._lite = lite

    def run(self, rows: Float32Array) -> Float32Array:
        samples = len(rows)
        # N rows of C channels are the same bytes in NHWC as in the row-major (N, C).
        given = rows.reshape(1, samples, 1, -1) if self._conv else rows
        with self._lock:
            if self._lite is None:
                raise NativeError("inference", None, f"{self._path.name} is closed.")
            self._log.said = ""
            try:
                outputs = self._lite.inference(inputs=[given])
            except Exception as error:
                raise self._failed("inference", f"raised {error!r:.200}", None, "") from error
            if outputs is None:
                raise self._failed("inference", "failed", None, "Its log above says why.")
            outputs = [np.asarray(output, dtype=np.float32) for output in outputs]
            if len(outputs) != 1 or not outputs[0].size or outputs[0].size % samples:
                shapes = ", ".join(str(output.shape) for output in outputs)
                raise NativeError(
                    "inference", None, f"{self._path.name} answered {shapes} to an input of {given.shape}."
                )
            answer = outputs[0].reshape(-1, samples).T if self._conv else outputs[0].reshape(samples, -1)
            # Here, as the memory may be the context's own and the next caller's answer.
            own: Float32Array = answer.copy()
            return own

    def close(self) -> None:
        with self._lock:
            lite, self._lite = self._lite, None
            if lite is not None:
                lite.release()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end the library may be gone
            self.close()

    def _begin(self, call: str, make: Callable[[], object], cure: str) -> None:
        self._log.said = ""
        try:
            code = make()
        except Exception as error:
            raise self._failed(call, f"raised {error!r:.200}", None, cure) from error
        if code != 0:
            raise self._failed(call, f"returned {code}", code if isinstance(code, int) else None, cure)

    def _failed(self, call: str, what: str, code: int | None, cure: str) -> NativeError:
        # -1 is all that rknnlite itself returns; its log knows more.
        name = heard_code(self._log.said) or name_of(code)
        where = "" if self._core == "auto" else f" on core {self._core}"
        text = f"rknnlite's {call} of {self._path.name}{where} {what}{f' ({name})' if name else ''}. "
        return NativeError(call, code, (text + (cure_for(name) or cure)).strip(), name)


class _VirtualSession:
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
        with self._lock:
            self._npu = None
