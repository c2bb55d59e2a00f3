"""A board's facts: versions, clocks, temperatures, memory."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from rknn_harness.board_runner.clocks import Clock, clocks_of, temperatures
from rknn_harness.board_runner.interrupts import serving_cpus
from scirknn.devices.compatibility import distribution_version, installed_versions, small_text

_NPU_MACHINES = ("aarch64", "arm64", "armv7l", "armv8l")
"""Machines with Rockchip's NPU; what answers for rknnlite on any other is no NPU."""


def gather(root: str = "/", device: str = "npu") -> dict[str, Any]:
    """Read the facts of the machine whose files lie below `root`, as JSON.

    Frequencies are in Hz, temperatures in degrees Celsius, memory in bytes. ``virtual``: whether no NPU runs
    models here, where `device`, "npu" or "virtual", runs them.
    """
    top = Path(root)
    clocks = {clock.name: clock for clock in clocks_of(top)}
    npu, ddr = clocks.pop("npu", None), clocks.pop("ddr", None)
    versions = installed_versions(root)
    return {
        "device": device,
        "virtual": device == "virtual" or platform.machine() not in _NPU_MACHINES,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": small_text(top / "proc/device-tree/model"),
        "compatible": None if versions.compatible is None else list(versions.compatible),
        "rknnlite": versions.rknnlite,
        "virtual_npu": distribution_version("virtual-npu"),
        "librknnrt": versions.librknnrt,
        "driver": versions.driver,
        "npu": npu and {**_state(npu), "available": npu.available()},
        "npu_interrupts": serving_cpus(top) or None,
        "npu_load": small_text(top / "sys/kernel/debug/rknpu/load"),
        "ddr": ddr and {**_state(ddr), "available": ddr.available()},
        "cpu": {name: {**_state(clock), "maximum": clock.top()} for name, clock in clocks.items()} or None,
        "cpus": os.cpu_count(),
        "temperatures": temperatures(top),
        "memory": _memory(top),
    }


def _state(clock: Clock) -> dict[str, Any]:
    return {"governor": small_text(clock.governor), "frequency": clock.frequency()}


def _memory(top: Path) -> dict[str, int] | None:
    """Total and available memory, from KiB to bytes."""
    content = small_text(top / "proc/meminfo") or ""
    values = dict(re.findall(r"^(MemTotal|MemAvailable):\s*(\d+) kB", content, re.MULTILINE))
    if len(values) != 2:
        return None
    return {"total": int(values["MemTotal"]) * 1024, "available": int(values["MemAvailable"]) * 1024}
