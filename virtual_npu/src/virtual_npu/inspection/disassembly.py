"""The register program as text."""

from __future__ import annotations

from collections.abc import Iterator

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program.chips import Chip, chip_of
from virtual_npu.program.registers import decode_commands, running_units, unit_of
from virtual_npu.rknn_file.model_file import RknnFile


def relocated_places(file: RknnFile) -> dict[int, str]:
    """Return what each relocated register command points to, by the command."""
    return {r.command: f"{r.tensor} + {r.addend:#x}" for r in file.relocations}


def disassemble(file: RknnFile, cores: int = 1) -> Iterator[str]:
    """Yield the program for `cores` cores: a heading for each task, then its commands."""
    _, addresses, values = decode_commands(file.registers)
    places = relocated_places(file)
    try:
        chip = chip_of(file.target_platform)
    except UnsupportedProgram:
        chip = Chip(names={})
    for core, tasks in enumerate(file.tasks(cores)):
        for number, task in enumerate(tasks):
            layer = file.nodes[task.node]
            units = running_units(task.enable_mask)
            yield f"core {core} task {number}: {layer.name} ({layer.type}), runs {units}"
            for command in range(task.start, task.start + task.count):
                address, value = int(addresses[command]), int(values[command])
                text = places.get(command, f"{value:#010x}")
                yield f"  {address:#06x} {unit_of(address)}.{chip.name(address)} = {text}"
