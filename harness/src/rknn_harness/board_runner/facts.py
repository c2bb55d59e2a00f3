"""What can be told of a board: versions, clocks, temperatures, memory. What is absent is None."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from rknn_harness.board_runner.clocks import cpu_policies, devfreq, temperatures, text
from scirknn.devices.compatibility import distribution_version, installed_versions

__all__ = ["gather"]


_NPU_MACHINES = ("aarch64", "arm64", "armv7l", "armv8l")
"""What Rockchip's chips with an NPU are; on any other machine whatever answers for rknnlite is no NPU."""


def gather(root: str = "/", device: str = "npu") -> dict[str, Any]:
    """Read the facts of the machine.

    Parameters
    ----------
    root : str
        Where the machine's files are; tests give a tree of their own.
    device : {"npu", "virtual"}
        What runs models here.

    Returns
    -------
    dict
        JSON. Frequencies are in Hz, temperatures in degrees Celsius, memory in bytes. ``virtual`` says that
        no NPU runs models here.
    """
    top = Path(root)
    versions = installed_versions(root)
    return {
        "device": device,
        "virtual": device == "virtual" or platform.machine() not in _NPU_MACHINES,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": text(top / "proc/device-tree/model"),
        "compatible": None if versions.compatible is None else list(versions.compatible),
        "rknnlite": versions.rknnlite,
        "virtual_npu": distribution_version("virtual-npu"),
        "librknnrt": versions.librknnrt,
        "driver": versions.driver,
        "npu": devfreq(top, "*.npu"),
        "npu_load": text(top / "sys/kernel/debug/rknpu/load"),
        "ddr": devfreq(top, "dmc"),
        "cpu": cpu_policies(top),
        "cpus": os.cpu_count(),
        "temperatures": temperatures(top),
        "memory": _memory(top),
    }


def _memory(top: Path) -> dict[str, int] | None:
    """Total and available memory, from KiB to bytes."""
    told = text(top / "proc/meminfo") or ""
    values = dict(re.findall(r"^(MemTotal|MemAvailable):\s*(\d+) kB", told, re.MULTILINE))
    if len(values) != 2:
        return None
    return {"total": int(values["MemTotal"]) * 1024, "available": int(values["MemAvailable"]) * 1024}
