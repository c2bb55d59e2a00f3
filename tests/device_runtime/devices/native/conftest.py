"""Bundles of small files, and our librknnrt.so in its strict mode as the machine's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scirknn.bundle import Affine, Variant, write_bundle
from scirknn.devices.native.library import Library, load_library
from scirknn.probe_rows import ProbeRows
from tests.device_runtime.bundles import regressor_bundle
from tests.virtual_npu.c_api import librknnrt, models
from tests.virtual_npu.reference import as_input, as_rows
from virtual_npu import VirtualNpu, read

CHANNELS, OUTPUTS = 24, 10
BATCHES = (1, 8, 64)
PRECISIONS = ("float16", "int8", "int16")

WriteBundle = Callable[..., Path]


def model(precision: str, samples: int) -> bytes:
    """A file of 24 inputs, which int8 pads to 32, and 10 outputs."""
    return models.model(precision, CHANNELS, OUTPUTS, samples)


def rows(count: int, seed: int = 7) -> Any:
    return np.random.default_rng(seed).normal(size=(count, CHANNELS)).astype(np.float32)


def executor_answer(file: bytes, given: Any) -> Any:
    """What the virtual NPU answers to rows, in runs of its own."""
    return as_rows(VirtualNpu(read(file)).run(as_input(given)))


@pytest.fixture(scope="package")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if librknnrt.missing():
        pytest.skip(librknnrt.missing())
    return librknnrt.build(tmp_path_factory.mktemp("librknnrt"))


@pytest.fixture(scope="package")
def library(library_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Our library with a server; memory must be synchronized as if nothing were coherent."""
    socket = tmp_path_factory.mktemp("npu") / "s"
    with librknnrt.serving(socket), pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRTUAL_NPU_SOCKET", str(socket))
        patch.setenv("VIRTUAL_NPU_STRICT_SYNC", "1")
        patch.setenv("SCIRKNN_LIBRKNNRT", str(library_path))
        yield load_library()


@pytest.fixture
def write_native_bundle(tmp_path: Path) -> WriteBundle:
    """Write a bundle of `model`'s files with rows to verify it by."""

    def make(precision: str = "float16", samples: tuple[int, ...] = BATCHES, **fields: Any) -> Path:
        files = {size: model(precision, size) for size in samples}
        names = {size: "model.rknn" if size == samples[0] else f"model.n{size}.rknn" for size in samples}
        variants = tuple(Variant(names[n], n, hashlib.sha256(files[n]).hexdigest()) for n in samples)
        inputs = rows(8, seed=1)
        recorded = executor_answer(model(precision, 8), inputs).astype(np.float64)
        output = Affine(np.linspace(-1, 1, OUTPUTS), np.linspace(1, 3, OUTPUTS))
        recorded = (recorded - output.offset) * output.scale
        known = {
            "output": output,
            "precision": precision,
            "details": {"toolkit": {"version": "none"}},
            "probe": ProbeRows(inputs, recorded, 1e-6),
        }
        bundle = regressor_bundle(tmp_path / "model.rknn", CHANNELS, OUTPUTS, variants, **{**known, **fields})
        write_bundle(bundle, {names[n]: file for n, file in files.items()})
        return bundle.path

    return make
