"""An independent client of the C API gets the executor's bits from our librknnrt.so."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import VirtualNpu, read
from virtual_npu.execute.quantization import quantize

CLIENT = "ztu_somemodelruntime_ez_rknn_async"
SCRIPT = Path(__file__).with_name("ask_client.py")

pytestmark = [
    pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing()),
    pytest.mark.skipif(
        importlib.util.find_spec(CLIENT) is None, reason=f"there is no {CLIENT}: `tox -e witness` installs it"
    ),
]


def model(dtype: str, samples: int) -> bytes:
    """A file of 32 outputs: the client's binding is wrong where outputs are padded."""
    rng = np.random.default_rng(samples)
    if dtype == "float16":
        return write(Chain([Dense(rng.normal(size=(32, 24)) / 5, rng.normal(size=32))], samples))
    layer = Dense(
        rng.integers(-127, 128, (32, 24)),
        rng.integers(-6000, 6000, 32),
        multipliers=rng.integers(8192, 16384, 32),
        out_scale=20000,
        out_shift=22,
    )
    return write(Chain([layer], samples, dtype, scales=(0.03, 0.05)))


def nhwc(stored: Any) -> Any:
    return np.ascontiguousarray(stored.transpose(0, 2, 3, 1))


def test_it_gets_the_executor_s_bits_by_every_interface(library: Any, tmp_path: Path) -> None:
    expected: dict[str, dict[str, Any]] = {}
    for dtype in ("float16", "int8"):
        for samples in (1, 8, 64):
            name, file = f"{dtype}-{samples}", model(dtype, samples)
            x = np.random.default_rng(3).normal(size=(1, 24, samples, 1)).astype(np.float32)
            parsed = read(file)
            stored = x.astype(np.float16) if dtype == "float16" else quantize(x, parsed.inputs[0])
            npu = VirtualNpu(parsed)
            (tmp_path / f"{name}.rknn").write_bytes(file)
            np.save(tmp_path / f"{name}.npy", x)
            np.save(tmp_path / f"{name}.stored.npy", stored)
            answers = [npu.run(x * np.float32(times)).tobytes().hex() for times in range(1, 7)]
            turns = [f"{number} {answer}" for number, answer in enumerate(answers)]
            expected[name] = {"bound": nhwc(npu.run_native(stored)).tobytes().hex()}
            for contexts in (1, 3):
                expected[name] |= {f"run, {contexts}": answers[0], f"async, {contexts}": turns}
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "ZTU_RKNPU2_RUNTIME_LIBRARY": library._name},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    wrong = [(n, w) for n, each in expected.items() for w, want in each.items() if answers[n][w] != want]
    assert wrong == []
