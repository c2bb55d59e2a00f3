"""The part of Rockchip's C API that a session calls, declared for ctypes.

Names, values and layouts follow the public "Rockchip RKNPU API Reference, RKNNRT" (2.3.2, chapters on data
structures) and the item pages of the Rust binding rknpu2-sys on docs.rs. Of 64-bit machines, since librknnrt
1.3.0: there a context is a 64-bit number.
"""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np

IN_OUT_NUM, INPUT_ATTR, OUTPUT_ATTR = 0, 1, 2
NATIVE_INPUT_ATTR, NATIVE_OUTPUT_ATTR = 8, 9
"""``RKNN_QUERY_*``: what `rknn_query` is asked for."""

NCHW, NHWC, NC1HWC2, UNDEFINED = range(4)
"""``RKNN_TENSOR_*``: layouts."""

NOT_QUANTIZED, FIXED_POINT, AFFINE = 0, 1, 2
"""``RKNN_TENSOR_QNT_*``: none, by a power of two (``fl``), by a scale and a zero point."""

TO_DEVICE, FROM_DEVICE = 1, 2
"""``RKNN_MEMORY_SYNC_*``."""

CORE_MASKS = {"auto": 0, "0": 1, "1": 2, "2": 4, "0_1": 3, "0_1_2": 7}
"""``RKNN_NPU_CORE_*`` by the names of `scirknn.devices.protocol.MASKS`."""

FLOAT32 = 0
DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    2: np.dtype(np.int8),
    4: np.dtype(np.int16),
}
"""dtypes by the codes ``RKNN_TENSOR_*`` of types that a session reads or writes."""


class TensorCounts(c.Structure):
    """``rknn_input_output_num``."""

    _fields_ = (("n_input", c.c_uint32), ("n_output", c.c_uint32))


class TensorAttribute(c.Structure):
    """``rknn_tensor_attr``."""

    _fields_ = (
        ("index", c.c_uint32),
        ("n_dims", c.c_uint32),
        ("dims", c.c_uint32 * 16),
        ("name", c.c_char * 256),
        ("n_elems", c.c_uint32),
        ("size", c.c_uint32),
        ("fmt", c.c_int32),
        ("type", c.c_int32),
        ("qnt_type", c.c_int32),
        ("fl", c.c_int8),
        ("zp", c.c_int32),
        ("scale", c.c_float),
        ("w_stride", c.c_uint32),
        ("size_with_stride", c.c_uint32),
        ("pass_through", c.c_uint8),
        ("h_stride", c.c_uint32),
    )


class Memory(c.Structure):
    """``rknn_tensor_mem``."""

    _fields_ = (
        ("virt_addr", c.c_void_p),
        ("phys_addr", c.c_uint64),
        ("fd", c.c_int32),
        ("offset", c.c_int32),
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("priv_data", c.c_void_p),
    )


class Input(c.Structure):
    """``rknn_input``."""

    _fields_ = (
        ("index", c.c_uint32),
        ("buf", c.c_void_p),
        ("size", c.c_uint32),
        ("pass_through", c.c_uint8),
        ("type", c.c_int32),
        ("fmt", c.c_int32),
    )


class Output(c.Structure):
    """``rknn_output``."""

    _fields_ = (
        ("want_float", c.c_uint8),
        ("is_prealloc", c.c_uint8),
        ("index", c.c_uint32),
        ("buf", c.c_void_p),
        ("size", c.c_uint32),
    )


_CONTEXT, _SOME_CONTEXT, _SOME_MEMORY = c.c_uint64, c.POINTER(c.c_uint64), c.POINTER(Memory)

SIGNATURES: dict[str, tuple[list[Any], Any]] = {
    "rknn_init": ([_SOME_CONTEXT, c.c_char_p, c.c_uint32, c.c_uint32, c.c_void_p], c.c_int),
    "rknn_dup_context": ([_SOME_CONTEXT, _SOME_CONTEXT], c.c_int),
    "rknn_destroy": ([_CONTEXT], c.c_int),
    "rknn_query": ([_CONTEXT, c.c_int, c.c_void_p, c.c_uint32], c.c_int),
    "rknn_set_core_mask": ([_CONTEXT, c.c_int], c.c_int),
    "rknn_inputs_set": ([_CONTEXT, c.c_uint32, c.POINTER(Input)], c.c_int),
    "rknn_run": ([_CONTEXT, c.c_void_p], c.c_int),
    "rknn_outputs_get": ([_CONTEXT, c.c_uint32, c.POINTER(Output), c.c_void_p], c.c_int),
    "rknn_outputs_release": ([_CONTEXT, c.c_uint32, c.POINTER(Output)], c.c_int),
    "rknn_create_mem": ([_CONTEXT, c.c_uint32], _SOME_MEMORY),
    "rknn_destroy_mem": ([_CONTEXT, _SOME_MEMORY], c.c_int),
    "rknn_set_io_mem": ([_CONTEXT, _SOME_MEMORY, c.POINTER(TensorAttribute)], c.c_int),
    "rknn_mem_sync": ([_CONTEXT, _SOME_MEMORY, c.c_int], c.c_int),
}
"""Argument types and the result's, by function."""
