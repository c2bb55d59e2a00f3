"""Models and rows for the tests of librknnrt.so, the API's codes, and the executor's answers."""

from __future__ import annotations

import numpy as np

from tests.virtual_npu.c_api.librknnrt import Array
from tests.virtual_npu.reference import as_input
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import VirtualNpu, read

FAIL, UNAVAILABLE, PARAM, MODEL, CTX, INPUT, OUTPUT, PLATFORM = -1, -3, -5, -6, -7, -8, -9, -13


def model(dtype: str, channels: int = 24, kernels: int = 10, samples: int = 5) -> bytes:
    """A file of `channels` inputs, which int8 pads to a multiple of 32, and `kernels` outputs."""
    rng = np.random.default_rng(len(dtype))
    if dtype == "float16":
        layers = [
            Dense(rng.normal(size=(33, channels)) / 5, rng.normal(size=33), relu=True),
            Dense(rng.normal(size=(kernels, 33)) / 6, rng.normal(size=kernels)),
        ]
        return write(Chain(layers, samples))
    limit = np.iinfo(dtype).max
    layer = Dense(
        rng.integers(-limit, limit + 1, (kernels, channels)),
        rng.integers(-limit * 50, limit * 50, kernels),
        multipliers=rng.integers(8192, 16384, kernels),
        out_scale=20000,
        out_shift=22 if dtype == "int8" else 30,
    )
    return write(Chain([layer], samples, dtype, scales=(0.03, 0.05)))


MODELS = {dtype: model(dtype) for dtype in ("float16", "int8", "int16")}
ROWS = np.random.default_rng(7).normal(size=(5, 24)).astype(np.float32)
NHWC_ROWS = ROWS[None, :, None, :]


def executor_answer(dtype: str, rows: Array = ROWS) -> Array:
    answer: Array = VirtualNpu(read(MODELS[dtype])).run(as_input(rows)).ravel()
    return answer
