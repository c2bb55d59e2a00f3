"""The differences between two files.

They may be of one model from two toolkits, or before and after a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from virtual_npu.inspection.disassembly import relocated_places
from virtual_npu.program.registers import decode_commands, register_name, running_units, unit_of
from virtual_npu.rknn_file.model_file import RknnFile, Task, Tensor

_HEADER = ("format_version", "compiler", "target_platform", "framework", "custom_string", "internal_memory")
_TENSOR = ("dtype", "layout", "kind", "native_shape", "shape", "scale", "zero_point", "size", "pool_offset")


def differences(first: RknnFile, second: RknnFile) -> Iterator[str]:
    """Yield the differences line by line.

    In order: header, tensors, layers, the program for one core. Tensors and layers are matched by name, a
    constant's content by its digest, a layer's tasks by order. Addresses are compared as the tensor and
    offset that they stand for.
    """
    for name in _HEADER:
        yield from _changed(name, getattr(first, name), getattr(second, name))
    yield from _mappings("tensor", _tensors(first), _tensors(second))
    yield from _mappings("layer", _layers(first), _layers(second))
    yield from _programs(first, second)


def _changed(what: str, before: Any, after: Any) -> Iterator[str]:
    if before != after:
        yield f"{what}: {before} -> {after}"


def _mappings(
    kind: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after:
            yield f"{kind} {name}: only in the first"
        elif name not in before:
            yield f"{kind} {name}: only in the second"
        else:
            for key, value in before[name].items():
                yield from _changed(f"{kind} {name} {key}", value, after[name][key])


def _tensors(file: RknnFile) -> dict[str, dict[str, Any]]:
    return {
        tensor.name: {**{key: getattr(tensor, key) for key in _TENSOR}, "content": _content(file, tensor)}
        for tensor in file.tensors
        if tensor.name and tensor.kind not in ("regcmd", "task")
    }


def _content(file: RknnFile, tensor: Tensor) -> str:
    if not tensor.buffer:
        return "none"
    raw = file.buffers[tensor.buffer]
    return f"{len(raw)} bytes, sha256 {hashlib.sha256(raw.tobytes()).hexdigest()[:12]}"


def _layers(file: RknnFile) -> dict[str, dict[str, Any]]:
    names = [tensor.name for tensor in file.tensors]
    return {
        node.name: {
            "type": node.type,
            "placement": node.placement,
            "inputs": [names[i] for i in node.inputs],
            "outputs": [names[i] for i in node.outputs],
            "tasks": node.task_counts,
        }
        for node in file.nodes
    }


def _programs(first: RknnFile, second: RknnFile) -> Iterator[str]:
    before, after = _tasks(first), _tasks(second)
    for layer in [name for name in before if name in after]:
        for number, (old, new) in enumerate(zip(before[layer], after[layer], strict=False)):
            where = f"{layer} task {number}"
            yield from _changed(f"{where} runs", old.pop("runs"), new.pop("runs"))
            for key in [*old, *(key for key in new if key not in old)]:
                yield from _changed(
                    f"{where} {key}", old.get(key, "not written"), new.get(key, "not written")
                )


def _tasks(file: RknnFile) -> dict[str, list[dict[str, str]]]:
    _, addresses, values = decode_commands(file.registers)
    places = relocated_places(file)

    def registers(task: Task) -> dict[str, str]:
        texts = {"runs": running_units(task.enable_mask)}
        table: dict[str, list[int]] = {}
        for command in range(task.start, task.start + task.count):
            address, value = int(addresses[command]), int(values[command])
            name = f"{unit_of(address)}.{register_name(address)}"
            if name == "DPU.LUT_ACCESS_DATA":  # 513 entries, one after the other
                table.setdefault(name, []).append(value)
            else:
                texts[name] = places.get(command, f"{value:#010x}")
        for name, entries in table.items():
            digest = hashlib.sha256(repr(entries).encode()).hexdigest()[:12]
            texts[name] = f"{len(entries)} entries, sha256 {digest}"
        return texts

    tasks: dict[str, list[dict[str, str]]] = {}
    for task in file.tasks(1)[0]:
        tasks.setdefault(file.nodes[task.node].name, []).append(registers(task))
    return tasks
