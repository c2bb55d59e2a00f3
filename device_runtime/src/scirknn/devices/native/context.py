"""A context of librknnrt.so, and the memory that it gave out."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.arrays import Array
from scirknn.devices.native.declarations import (
    CORE_MASKS,
    FROM_DEVICE,
    IN_OUT_NUM,
    TO_DEVICE,
    TensorAttribute,
    TensorCounts,
)
from scirknn.devices.native.library import Library, failed_call
from scirknn.errors import NativeError


class NativeContext:
    """One model in one context. Not for several threads at once.

    Either general calls are made in it (``rknn_inputs_set``) or its tensors are bound to memory
    (`bind`): the API forbids both in one context.
    """

    def __init__(self, library: Library, name: str, handle: ctypes.c_uint64) -> None:
        self.library, self.name, self.handle = library, name, handle
        self._memories: list[Any] = []
        self._process = os.getpid()

    @classmethod
    def load(cls, library: Library, path: Path) -> NativeContext:
        """Load a model file.

        Raises
        ------
        NativeError
            The library refuses it, or it has more than one input or output.
        """
        model, handle = path.read_bytes(), ctypes.c_uint64(0)
        library.call("rknn_init", path.name, ctypes.byref(handle), model, len(model), 0, None)
        context, counts = cls(library, path.name, handle), TensorCounts()
        try:
            context._query(IN_OUT_NUM, counts)
            if (counts.n_input, counts.n_output) != (1, 1):
                text = (
                    f"{path.name} has {counts.n_input} inputs and {counts.n_output} outputs, not one of each."
                )
                raise NativeError("rknn_query", None, text)
        except BaseException:
            context.close()
            raise
        return context

    def duplicate(self) -> NativeContext:
        """Return another context of the model, which shares its weights and may outlive this one."""
        handle = ctypes.c_uint64(0)
        self.call("rknn_dup_context", ctypes.byref(self.handle), ctypes.byref(handle), own=False)
        return NativeContext(self.library, self.name, handle)

    def call(self, name: str, *arguments: Any, own: bool = True) -> None:
        """Call a function of the library, by default with this context first.

        Raises
        ------
        NativeError
        """
        self.library.call(name, self.name, *((self.handle,) if own else ()), *arguments)

    def set_cores(self, core: str) -> None:
        """Run on a core or several; "auto" leaves the choice to the driver.

        Chips with one core refuse every mask.
        """
        if core != "auto":
            self.call("rknn_set_core_mask", CORE_MASKS[core])

    def attribute(self, query: int) -> TensorAttribute:
        """Return an attribute of the input or the output, as one of the ``*_ATTR`` queries has it."""
        attribute = TensorAttribute()
        self._query(query, attribute)
        return attribute

    def _query(self, query: int, result: ctypes.Structure) -> None:
        self.call("rknn_query", query, ctypes.byref(result), ctypes.sizeof(result))

    def bind(self, attribute: TensorAttribute) -> BoundTensor:
        """Bind memory of this context to a tensor, once for the context's life."""
        size = max(attribute.size_with_stride, attribute.size)
        memory = self.library.function("rknn_create_mem")(self.handle, size)
        if not memory:
            raise failed_call("rknn_create_mem", self.name, -4)
        self._memories.append(memory)
        self.call("rknn_set_io_mem", memory, ctypes.byref(attribute))
        return BoundTensor(self, memory)

    def close(self) -> None:
        """Give all back; more than once does no harm. A forked process leaves it to its parent."""
        if not self.handle.value or self._process != os.getpid():
            return
        for memory in self._memories:
            self.library.function("rknn_destroy_mem")(self.handle, memory)
        self.library.function("rknn_destroy")(self.handle)
        self._memories, self.handle = [], ctypes.c_uint64(0)


class BoundTensor:
    """Memory that is bound to an input or an output.

    `data`, uint8 of the memory's size, must not be used once the context is closed.
    """

    def __init__(self, context: NativeContext, memory: Any) -> None:
        self._context, self._memory = context, memory
        contents = memory.contents
        address = contents.virt_addr + contents.offset
        room = (ctypes.c_uint8 * (contents.size - contents.offset)).from_address(address)
        self.data: Array = np.frombuffer(room, np.uint8)

    def to_device(self) -> None:
        """Let the NPU see what the CPU has written."""
        self._context.call("rknn_mem_sync", self._memory, TO_DEVICE)

    def from_device(self) -> None:
        """Let the CPU see what the NPU has written."""
        self._context.call("rknn_mem_sync", self._memory, FROM_DEVICE)
