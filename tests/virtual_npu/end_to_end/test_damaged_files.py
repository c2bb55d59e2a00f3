"""20,000 damaged files (a tenth in the gate): a result or a typed error, in bounded time and memory."""

from __future__ import annotations

import contextlib
import resource
import time

import numpy as np
import pytest

from tests.counts import counted
from tests.virtual_npu.rknn_writer import small
from virtual_npu import UnsupportedFormat, VirtualNpu, VirtualNpuError, content_digest, disassemble, read
from virtual_npu.inspection.differences import differences
from virtual_npu.rknn_file.reader import read_graph

COUNT = counted(5_000)  # of each of four files
TIMES = 100
"""What a damaged file may take of the processor time that the undamaged one takes."""

BYTES = 1 << 28
"""What memory may grow by."""


def _converted() -> bytes:
    """A file of the toolkit's, of the MatMul form with its transpositions and softmax."""
    toolkits = pytest.importorskip("sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed")
    from sklearn2rknn.errors import ToolkitError
    from tests.virtual_npu_agreement.artifacts import Artifact, build

    try:
        with toolkits.open_toolkit("2.3.2") as toolkit:
            artifact = Artifact("2.3.2", "float16", "matmul", (16, 40, 5), "Tanh", "Softmax", 8, 0)
            data: bytes = build(toolkit, artifact)[1].rknn
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")
    return data


def _mutated(rng: np.random.Generator, whole: bytes) -> bytes:
    data = bytearray(whole)
    kind = rng.integers(10)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    for _ in range(rng.integers(1, 5)):
        # Headers, counts and offsets lie in the first and last kilobytes; commands are 8 bytes each.
        span = len(data) if kind < 6 else min(len(data), 4096)
        at = int(rng.integers(0, span - 8))
        at = len(data) - 9 - at if kind == 9 else at
        word = rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8).tobytes()
        raw = [word, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\0"][rng.integers(4)]
        data[at : at + len(raw)] = raw
    return bytes(data)


def _use(data: bytes, whole: bytes) -> None:
    try:
        file = read(data)
        content_digest(file)
        sum(len(line) for line in disassemble(file))
        sum(len(line) for line in differences(read(whole), file))
        npu = VirtualNpu(file, cores=2)
        npu.run(np.zeros(npu.input_shape, np.float32))
    except UnsupportedFormat:
        read_graph(data)


def _seconds(data: bytes, whole: bytes) -> float:
    """Return the processor time that reading and running a file takes."""
    started = time.process_time()
    with contextlib.suppress(VirtualNpuError):  # also from read_graph
        _use(data, whole)
    return time.process_time() - started


@pytest.mark.parametrize("source", ["float16", "int8", "int16", "converted"])
def test_damaged_files_are_refused_in_bounded_time_and_memory(source: str) -> None:
    whole = _converted() if source == "converted" else small(source)
    rng = np.random.default_rng(0)
    usual = max(_seconds(whole, whole) for _ in range(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    longest = 0.0
    for _ in range(COUNT):
        longest = max(longest, _seconds(_mutated(rng, whole), whole))
    assert longest < TIMES * usual
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < BYTES
