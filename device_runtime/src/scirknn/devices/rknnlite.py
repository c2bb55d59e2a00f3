"""A session on the NPU, through the vendor's rknnlite."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from scirknn.arrays import Float32Array
from scirknn.devices.protocol import Session
from scirknn.devices.vendor_errors import cure_for, last_error_code, name_of
from scirknn.errors import DeviceError, NativeError


@contextlib.contextmanager
def restored_logging() -> Iterator[None]:
    """Undo what importing rknnlite does to logging: new level names, more handlers."""
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


class LogRecorder:
    """Records rknnlite's log, which alone names the vendor's code; passes all on."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.text = ""

    def e(self, message: Any, *rest: Any, **options: Any) -> Any:
        """Keep the end of an error's text, and log it."""
        self.text = f"{self.text[-4000:]}\n{message}"
        return self._log.e(message, *rest, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class NpuSession(Session):
    """The vendor's rknnlite, which reports failure as -1 or None and seldom raises."""

    def __init__(self, path: Path, core: str, form: str) -> None:
        self._path, self._core, self._conv = path, core, form == "conv"
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._lite: Any = None
        self._log = LogRecorder(None)
        with restored_logging():
            try:
                from rknnlite.api import RKNNLite
            except ImportError as error:
                raise DeviceError(
                    f"The vendor's runtime cannot be imported ({error}). Install rknn-toolkit-lite2 for this "
                    "Python, and librknnrt.so in /usr/lib."
                ) from error
            lite = RKNNLite(verbose=False)
            if hasattr(lite, "rknn_log"):
                lite.rknn_log = self._log = LogRecorder(lite.rknn_log)
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
                    "says which.",
                )
            except BaseException:
                lite.release()
                raise
        self._lite = lite

    def run(self, rows: Float32Array) -> Float32Array:
        """Run the model once; see `Session.run`."""
        samples = len(rows)
        # N rows of C channels are the same bytes in NHWC as in the row-major (N, C).
        model_input = rows.reshape(1, samples, 1, -1) if self._conv else rows
        with self._lock:
            if self._lite is None:
                raise NativeError("inference", None, f"{self._path.name} is closed.")
            self._log.text = ""
            try:
                outputs = self._lite.inference(inputs=[model_input])
            except Exception as error:
                raise self._failed("inference", f"raised {error!r:.200}", None, "") from error
            if outputs is None:
                raise self._failed("inference", "failed", None, "Its log above says why.")
            outputs = [np.asarray(output, dtype=np.float32) for output in outputs]
            if len(outputs) != 1 or not outputs[0].size or outputs[0].size % samples:
                shapes = ", ".join(str(output.shape) for output in outputs)
                raise NativeError(
                    "inference",
                    None,
                    f"{self._path.name} answered {shapes} to an input of {model_input.shape}.",
                )
            answer = outputs[0].reshape(-1, samples).T if self._conv else outputs[0].reshape(samples, -1)
            # Here, as the memory may be the context's own and the next caller's answer.
            own: Float32Array = answer.copy()
            return own

    def close(self) -> None:
        """Release the model; more than once does no harm."""
        with self._lock:
            lite, self._lite = self._lite, None
            if lite is not None:
                lite.release()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end the library may be gone
            if self._process == os.getpid():  # a forked child would release its parent's context
                self.close()

    def _begin(self, call: str, make: Callable[[], object], cure: str) -> None:
        self._log.text = ""
        try:
            code = make()
        except Exception as error:
            raise self._failed(call, f"raised {error!r:.200}", None, cure) from error
        if code != 0:
            raise self._failed(call, f"returned {code}", code if isinstance(code, int) else None, cure)

    def _failed(self, call: str, what: str, code: int | None, cure: str) -> NativeError:
        # -1 is all that rknnlite itself returns; its log knows more.
        name = last_error_code(self._log.text) or name_of(code)
        where = "" if self._core == "auto" else f" on core {self._core}"
        text = f"rknnlite's {call} of {self._path.name}{where} {what}{f' ({name})' if name else ''}. "
        return NativeError(call, code, (text + (cure_for(name) or cure)).strip(), name)
