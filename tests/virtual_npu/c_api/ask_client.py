"""What an independent client of the C API makes of FOLDER/NAME.rknn and FOLDER/NAME.npy, as JSON.

``ask_client.py FOLDER``: the client is ztu-somemodelruntime-ez-rknn-async of the package index, which
shares no code with ours, in an environment of its own. NAME.stored.npy is the input in the model's type.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import ztu_somemodelruntime_ez_rknn_async as client  # type: ignore[import-not-found]

CALLS = 6
STORED = {"tensor(float16)": np.float16, "tensor(int8)": np.int8, "tensor(int16)": np.int16}


def bits(values: Any) -> str:
    return np.ascontiguousarray(values, np.float32).tobytes().hex()


def in_turn(session: Any, name: str, x: Any) -> list[str]:
    """Answers of calls that were made at once, in the order in which they came."""
    ended, answers = threading.Semaphore(0), []

    def receive(outputs: Any, number: int, error: Any) -> None:
        answers.append(error if error else f"{number} {bits(outputs[0])}")
        ended.release()

    for number in range(CALLS):
        session.run_async(None, {name: x * np.float32(number + 1)}, receive, number)
    for _ in range(CALLS):
        assert ended.acquire(timeout=60)
    return answers


def bound(path: Path, x: Any) -> str:
    """Stored values of an answer in NHWC, by memory bound in the model's own type."""
    session = client.InferenceSession(str(path), provider_options={"zero_copy_layout": "nhwc"})
    given, got, native = session.get_inputs()[0], session.get_outputs()[0], session.get_native_outputs()[0]
    dtype, binding = STORED[native.type], session.io_binding()
    value = client.OrtValue.ortvalue_from_shape_and_type(
        got.shape, dtype, "rknpu2", session=session, name=got.name, io_kind="output", layout="native"
    )
    binding.bind_cpu_input(given.name, x.astype(dtype))
    binding.bind_ortvalue_output(got.name, value)
    session.run_with_iobinding(binding)
    value.sync_from_device()
    assert native.layout == "NHWC"
    # Not by the client's own copy, which is as long as the tensor without its padding and is written beyond.
    size = int(np.prod(native.shape)) * np.dtype(dtype).itemsize
    return ctypes.string_at(value.data_ptr(), size).hex()


found: dict[str, Any] = {}
for path in sorted(Path(sys.argv[1]).glob("*.rknn")):
    x = np.load(path.with_suffix(".npy"))
    answers = found[path.stem] = {"bound": bound(path, np.load(path.with_suffix(".stored.npy")))}
    for contexts in (1, 3):
        session = client.InferenceSession(str(path), provider_options={"threads_per_core": contexts})
        name = session.get_inputs()[0].name
        answers[f"run, {contexts}"] = bits(session.run(None, {name: x})[0])
        answers[f"async, {contexts}"] = in_turn(session, name, x)
        del session
print("\n" + json.dumps(found))
