"""The reader: everything is found, and nothing malformed gets through or further than a typed error."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual_npu.flatbuffer_writer import container, flatbuffer, ints, u8, u32, vector
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import (
    FileFormatError,
    UnsupportedFormat,
    VirtualNpu,
    VirtualNpuError,
    content_digest,
    disassemble,
    estimate,
    placement,
    read,
)
from virtual_npu.rknn_file.flatbuffer import Flatbuffer

SMALL = small()


def test_every_part_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.rknn"
    path.write_bytes(SMALL)
    file = read(path)
    assert (file.format_version, file.target_platform, file.compiler) == (6, "rk3588", "test writer")
    assert file.custom_string == "written for a test"
    assert file.metadata == {"version": "test"}
    assert [t.name for t in file.inputs] == ["x"]
    assert [(t.name, t.dtype, t.shape) for t in file.outputs] == [("y", "float16", (1, 3, 4, 1))]
    assert placement(file) == [("Conv:0", "ConvRelu", "NPU"), ("Conv:1", "Conv", "NPU")]
    assert [[len(core) for core in file.tasks(n)] for n in (1, 2, 3)] == [[2], [2, 2], [2, 2, 2]]
    assert {r.tensor for r in file.relocations} == {"x", "h0", "y", "w0", "w1", "b0", "b1"}
    lines = list(disassemble(file))
    assert lines[0] == "core 0 task 0: Conv:0 (ConvRelu), runs CNA CORE DPU DPU_RDMA"
    assert "  0x1070 CNA.FEATURE_DATA_ADDR = x + 0x0" in lines


def test_quantization_is_found() -> None:
    tensor = read(small("int8")).inputs[0]
    assert (tensor.dtype, tensor.scale, tensor.zero_point) == ("int8", 0.5, 0)


def test_estimate_counts_products_and_tasks() -> None:
    found = estimate(read(SMALL))
    assert [layer.multiply_adds for layer in found.layers] == [9 * 11 * 4, 3 * 9 * 4]
    assert [layer.tasks for layer in found.layers] == [1, 1]
    assert 0 < found.seconds[0] < found.seconds[1] < 1


def test_digest_knows_content_only() -> None:
    rng = np.random.default_rng(1)
    layer = Dense(rng.normal(size=(4, 8)), rng.normal(size=4))
    same = content_digest(read(write(Chain([layer], samples=2))))
    assert same == content_digest(read(write(Chain([layer], samples=2))))
    other = Dense(layer.weights + 2.0**-9, layer.biases)
    assert same != content_digest(read(write(Chain([other], samples=2))))
    assert same != content_digest(read(write(Chain([layer], samples=3))))
    edited = Chain([layer], samples=2, edit={0: {0x4060: 0x12}})
    assert same != content_digest(read(write(edited)))


def test_digest_knows_every_part_of_a_file() -> None:
    file = read(SMALL)
    start, layer, *layers = file.nodes
    tensor, *tensors = file.tensors
    task, *tasks = file.task_table
    address, *addresses = file.relocations
    changes: list[dict[str, Any]] = [
        *(
            {name: "other"}
            for name in ("compiler", "target_platform", "framework", "custom_string", "generator")
        ),
        {"format_version": 5},
        {"metadata": {"version": "other"}},
        {"internal_memory": file.internal_memory + 1},
        {"input_indices": file.output_indices},
        {"output_indices": file.input_indices},
        {"tensors": (replace(tensor, scale=0.5), *tensors)},
        {"nodes": (start, replace(layer, placement="CPU"), *layers)},
        {"task_table": (replace(task, enable_mask=task.enable_mask ^ 1), *tasks)},
        {"relocations": (replace(address, addend=16), *addresses)},
        *(
            {"buffers": (*file.buffers[:place], file.buffers[place] ^ 1, *file.buffers[place + 1 :])}
            for place in range(1, 7)
        ),
    ]
    digests = {content_digest(each) for each in (file, *(replace(file, **change) for change in changes))}
    assert len(digests) == 1 + len(changes)


@pytest.mark.parametrize("version", [1, 2, 4])
def test_older_formats_are_named(version: int) -> None:
    data = bytearray(SMALL)
    struct.pack_into("<Q", data, 8, version)
    with pytest.raises(UnsupportedFormat, match=f"format {version}") as caught:
        read(bytes(data))
    assert caught.value.version == version
    assert caught.value.lacks


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RKNN",
        b"RKNN" + bytes(200),
        b"ELF?" + SMALL[4:],
        SMALL[:-1],
        SMALL + b"\0",
        container(b""),
        container(flatbuffer({2: [{}]}, b"XXXX")),
        container(flatbuffer({1: "no graph"})),
        container(flatbuffer({2: [{0: [{4: ints([1] * 257)}]}]})),
        container(flatbuffer({2: [{}], 8: vector(np.array([255], "u1"))})),
        container(flatbuffer({2: [{1: [{10: ints([0, 1])}]}]})),
        container(flatbuffer({2: [{1: [{10: ints([1])}]}], 8: "rk3576"})),
        container(flatbuffer({2: [{1: [{10: ints([0, 0, 0, 1])}]}], 8: "rk3576"})),
        container(flatbuffer({2: [{0: [{4: ints([-1])}]}]})),
        container(flatbuffer({2: [{0: [{18: u32(7)}]}]})),
        container(flatbuffer({2: [{1: [{3: u8(9)}]}]})),
        container(flatbuffer({2: [{2: ints([0])}]})),
        container(flatbuffer({2: [{0: [{}], 2: ints([-1])}]})),
        container(flatbuffer({2: [{0: [{18: u32(1)}]}], 20: [{}]})),
        container(flatbuffer({2: [{1: [{3: u8(3)}]}]})),
        container(flatbuffer({2: [{1: [{10: ints([0, -1])}, {10: ints([0, 1])}]}]})),
        container(flatbuffer({2: [{0: [{2: u8(9), 18: u32(1)}]}], 20: [{}, {0: vector(np.zeros(5, "u1"))}]})),
        container(flatbuffer({2: [{0: [{2: u8(9)}, {2: u8(9)}]}], 20: [{}]})),
        container(flatbuffer({2: [{}]}), trailer=b"{"),
        container(flatbuffer({2: [{}]}), trailer=b"[]"),
        container(flatbuffer({2: [{}]}), trailer=b"[" * 100_000 + b"]" * 100_000),
        container(flatbuffer({2: [{}]}), version=1 << 40),
    ],
)
def test_malformed_files_are_refused(data: bytes) -> None:
    with pytest.raises((FileFormatError, UnsupportedFormat)):
        read(data)


def test_no_offset_leads_outside_the_bytes() -> None:
    def buffer(*words: int) -> Flatbuffer:
        return Flatbuffer(memoryview(struct.pack("<HHi", *words)))

    assert buffer(4, 4, 4).table_at(4).u8(0) == 0
    for size in (2, 5, 10):
        with pytest.raises(FileFormatError):
            buffer(size, 4, 4).table_at(4)
    for at in (-1, 5):
        with pytest.raises(FileFormatError):
            buffer(0, 0, 0).unpack(struct.Struct("<I"), at)
    assert buffer(4, 0, 0).span(0, 1) == (4, 4)
    with pytest.raises(FileFormatError):
        buffer(5, 0, 0).span(0, 1)
    shared = buffer(4, 4, 4)
    with pytest.raises(FileFormatError, match="more tables"):
        [shared.table_at(4) for _ in range(67)]  # 64 are allowed, and one for each 4 bytes
    with pytest.raises(FileFormatError):
        Flatbuffer(memoryview(b"\4\0\0\0RKN")).root(b"RKN")


def with_a_task(
    node: int = 0, count: int = 1, offset: int = 0, address: int = 0, addresses: tuple[int, ...] = (0,)
) -> bytes:
    """Return a file of one layer, one register command, one task and relocations of these commands."""
    task = np.array([0, node, 0, 0, 0, 0, count, offset, address, 0], "<u4")
    moved = np.array(addresses, "<u8") << 32
    graph = {0: [{2: u8(9), 18: u32(1)}, {2: u8(10), 18: u32(2)}], 1: [{}], 7: [{0: "x", 1: vector(moved)}]}
    buffers = [{}, {0: vector(np.zeros(8, "u1"))}, {0: vector(task.view("u1"))}]
    return container(flatbuffer({2: [graph], 20: buffers}))


@pytest.mark.parametrize(
    "fault",
    [
        {"node": 1}, {"count": 2}, {"count": 0, "address": 4}, {"offset": 1}, {"address": 8},
        {"addresses": (1,)}, {"addresses": (0, 0, 0)},
    ],
)  # fmt: skip
def test_tasks_and_relocations_stay_within_the_program(fault: dict[str, Any]) -> None:
    assert read(with_a_task()).task_table[0].count == 1
    with pytest.raises(FileFormatError):
        read(with_a_task(**fault))


def test_every_truncation_is_refused() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(FileFormatError):
            read(SMALL[:length])


def test_shared_offsets_cannot_multiply() -> None:
    """Tables that all point at one long string must not be copied out once each."""
    body = bytearray(flatbuffer({2: [{0: [{5: "n" * 40_000}] + [{5: ""}] * 5000}]}))
    empty = flatbuffer({2: [{0: [{5: "n" * 40_000}]}]})
    assert read(container(empty)).tensors[0].name == "n" * 40_000
    # 5,001 entries of the tensor table, all made to point at the first tensor
    count_at = next(i for i in range(0, len(body) - 4, 4) if struct.unpack_from("<I", body, i)[0] == 5001)
    target = count_at + 4 + struct.unpack_from("<I", body, count_at + 4)[0]
    for i in range(5001):
        place = count_at + 4 + 4 * i
        struct.pack_into("<I", body, place, target - place)
    with pytest.raises(FileFormatError, match="larger than"):
        read(container(bytes(body)))


def _use(data: bytes) -> None:
    """Do everything with a file; any error must be one of ours."""
    try:
        file = read(data)
        content_digest(file)
        estimate(file)
        npu = VirtualNpu(file, cores=2)
        npu.run(np.zeros(npu.input_shape, np.float32))
    except VirtualNpuError:
        pass


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@given(data=st.data())
def test_mutations_give_a_result_or_a_typed_error(dtype: str, data: st.DataObject) -> None:
    mutated = bytearray(small(dtype))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 4))
        extremes = st.sampled_from([b"\xff" * 4, b"\xff\xff\xff\x7f"])
        raw = data.draw(st.one_of(st.binary(min_size=1, max_size=4), extremes))
        mutated[at : at + len(raw)] = raw
    _use(bytes(mutated))


@given(st.binary(max_size=400))
def test_junk_behind_the_header_is_refused(junk: bytes) -> None:
    with pytest.raises(FileFormatError):
        read(container(junk))
