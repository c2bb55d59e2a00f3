"""Sessions over the C API: by general calls, or with memory bound once."""

from __future__ import annotations

import contextlib
import ctypes
import threading

import numpy as np

from scirknn.arrays import Array, Float32Array
from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.declarations import (
    FLOAT32,
    INPUT_ATTR,
    NATIVE_INPUT_ATTR,
    NATIVE_OUTPUT_ATTR,
    NCHW,
    NHWC,
    OUTPUT_ATTR,
    Input,
    Output,
    TensorAttribute,
)
from scirknn.devices.native.library import failed_call
from scirknn.devices.native.row_layouts import FloatAnswers, FloatRows, NativeAnswers, NativeRows
from scirknn.devices.protocol import Session
from scirknn.errors import NativeError

_INPUT_INVALID = -8


class _Session(Session):
    """What the sessions share: a context, one caller at a time, and an end.

    `rows` is how many a run takes; `run` refuses others, with the vendor's code.
    """

    def __init__(self, context: NativeContext, rows: int) -> None:
        self.context, self._count = context, rows
        self._lock = threading.Lock()
        self._is_closed = False
        self._width = context.attribute(INPUT_ATTR).n_elems // rows
        self._outputs = context.attribute(OUTPUT_ATTR).n_elems // rows

    def run(self, rows: Float32Array) -> Float32Array:
        """Run the model once; see `Session.run`."""
        with self._lock:
            self._require_open()
            self._require_shape(rows)
            return self._run(rows)

    def _require_open(self) -> None:
        if self._is_closed:
            raise NativeError("rknn_run", None, f"{self.context.name} is closed.")

    def _require_shape(self, rows: Float32Array) -> None:
        """Refuse other rows before the library reads beyond their end."""
        if rows.shape != (self._count, self._width):
            raise failed_call("rknn_inputs_set", self.context.name, _INPUT_INVALID)

    def _run(self, rows: Float32Array) -> Float32Array:
        raise NotImplementedError

    def close(self) -> None:
        """Release the model; more than once does no harm."""
        with self._lock:
            self._is_closed = True
            self.context.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end the library may be gone
            self.context.close()


class GeneralSession(_Session):
    """``rknn_inputs_set``, ``rknn_run``, ``rknn_outputs_get``: float32 on both sides, the library converts.

    `form` is "conv" or "matmul", see `scirknn.devices.session.open_session`.
    """

    def __init__(self, context: NativeContext, rows: int, form: str = "conv") -> None:
        super().__init__(context, rows)
        self._is_conv = form == "conv"
        shape = (self._outputs, rows) if self._is_conv else (rows, self._outputs)
        self._answer = np.empty(shape, np.float32)
        # N rows of C channels are the same bytes in NHWC as in the row-major (N, C).
        layout = NHWC if self._is_conv else context.attribute(INPUT_ATTR).fmt
        self._input = Input(type=FLOAT32, fmt=layout, size=4 * rows * self._width)
        self._output = Output(
            want_float=1, is_prealloc=1, buf=self._answer.ctypes.data, size=self._answer.nbytes
        )

    def _run(self, rows: Float32Array) -> Float32Array:
        context, rows = self.context, np.ascontiguousarray(rows)
        self._input.buf = rows.ctypes.data
        context.call("rknn_inputs_set", 1, ctypes.byref(self._input))
        context.call("rknn_run", None)
        context.call("rknn_outputs_get", 1, ctypes.byref(self._output), None)
        context.call("rknn_outputs_release", 1, ctypes.byref(self._output))
        answer: Float32Array = (self._answer.T if self._is_conv else self._answer).copy()
        return answer


class BoundSession(_Session):
    """A session with memory bound to input and output for its life, for files of the form "conv".

    Its work on the host can be done while another run is on the NPU: ``run(rows)`` is
    ``decode(run_encoded(encode(rows)))`` to the bit.
    """

    def __init__(self, context: NativeContext, rows: int) -> None:
        super().__init__(context, rows)
        taken, given = self._attributes(context)
        self._input, self._output = context.bind(taken), context.bind(given)
        self._input.data[...] = 0  # channels of padding stay 0
        self._rows = self._rows_in(taken)
        self._answers = self._answers_in(given)

    def _attributes(self, context: NativeContext) -> tuple[TensorAttribute, TensorAttribute]:
        raise NotImplementedError

    def _rows_in(self, attribute: TensorAttribute) -> FloatRows | NativeRows:
        raise NotImplementedError

    def _answers_in(self, attribute: TensorAttribute) -> FloatAnswers | NativeAnswers:
        raise NotImplementedError

    def _run(self, rows: Float32Array) -> Float32Array:
        self._rows.write(rows, self._input.data)
        self._run_bound()
        return self._answers.read(self._output.data)

    def _run_bound(self) -> None:
        self._input.to_device()
        self.context.call("rknn_run", None)
        self._output.from_device()

    def encode(self, rows: Float32Array) -> Array:
        """Return rows, as `run` takes them, in the type and layout of the bound input; in any thread."""
        self._require_shape(rows)
        memory = np.zeros(self._rows.size, np.uint8)
        self._rows.write(rows, memory)
        return memory

    def run_encoded(self, memory: Array) -> Array:
        """Run the model once on what `encode` returned; return a copy of the bound output."""
        with self._lock:
            self._require_open()
            self._input.data[: len(memory)] = memory
            self._run_bound()
            answer: Array = self._output.data.copy()
            return answer

    def decode(self, memory: Array) -> Float32Array:
        """Return what `run` returns for what `run_encoded` returned; in any thread."""
        return self._answers.read(memory)


class NativeSession(BoundSession):
    """Memory in the NPU's own layout and type: numpy converts."""

    def _attributes(self, context: NativeContext) -> tuple[TensorAttribute, TensorAttribute]:
        taken, given = context.attribute(NATIVE_INPUT_ATTR), context.attribute(NATIVE_OUTPUT_ATTR)
        taken.pass_through = 1  # with 0, which a query answers, the data would be NHWC
        return taken, given

    def _rows_in(self, attribute: TensorAttribute) -> NativeRows:
        return NativeRows(attribute, self._count, self._width)

    def _answers_in(self, attribute: TensorAttribute) -> NativeAnswers:
        return NativeAnswers(attribute, self._count, self._outputs)


class FloatSession(BoundSession):
    """Memory of float32 in NHWC and NCHW: the library converts in its run."""

    def _attributes(self, context: NativeContext) -> tuple[TensorAttribute, TensorAttribute]:
        taken, given = context.attribute(INPUT_ATTR), context.attribute(OUTPUT_ATTR)
        for attribute, layout in ((taken, NHWC), (given, NCHW)):
            attribute.type, attribute.fmt, attribute.pass_through = FLOAT32, layout, 0
            attribute.size = attribute.size_with_stride = 4 * attribute.n_elems
        return taken, given

    def _rows_in(self, attribute: TensorAttribute) -> FloatRows:
        return FloatRows(self._count, self._width)

    def _answers_in(self, attribute: TensorAttribute) -> FloatAnswers:
        return FloatAnswers(self._count, self._outputs)
