"""What can be told of a board: versions, clocks, temperatures, memory. What is absent is None."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.compatibility import distribution_version, installed_versions

__all__ = ["gather"]

_READ_LIMIT = 1 << 16


def gather(root: str = "/") -> dict[str, Any]:
    """Read the facts of the machine.

    Parameters
    ----------
    root : str
        Where the machine's files are; tests give a tree of their own.

    Returns
    -------
    dict
        JSON. Frequencies are in Hz, temperatures in degrees Celsius, memory in bytes.
    """
    top = Path(root)
    versions = installed_versions(root)
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": _text(top / "proc/device-tree/model"),
        "compatible": None if versions.compatible is None else list(versions.compatible),
        "rknnlite": versions.rknnlite,
        "virtual_npu": distribution_version("virtual-npu"),
        "librknnrt": versions.librknnrt,
        "driver": versions.driver,
        "npu": _devfreq(top, "*.npu"),
        "npu_load": _text(top / "sys/kernel/debug/rknpu/load"),
        "ddr": _devfreq(top, "dmc"),
        "cpu": _cpu_policies(top),
        "cpus": os.cpu_count(),
        "temperatures": _temperatures(top),
        "memory": _memory(top),
    }


def _text(path: Path) -> str | None:
    """Return a small file's text; None for what is not there, not ours to read, or empty."""
    try:
        with path.open("rb") as file:
            text = file.read(_READ_LIMIT).decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return None
    return text or None


def _number(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None


def _devfreq(top: Path, pattern: str) -> dict[str, Any] | None:
    """Frequencies as devfreq tells them, in Hz."""
    for folder in sorted((top / "sys/class/devfreq").glob(pattern)):
        available = (_text(folder / "available_frequencies") or "").split()
        return {
            "governor": _text(folder / "governor"),
            "frequency": _number(folder / "cur_freq"),
            "available": [int(word) for word in available if word.isdigit()] or None,
        }
    return None


def _cpu_policies(top: Path) -> dict[str, Any] | None:
    """Frequencies as cpufreq tells them, from kHz to Hz."""

    def hertz(path: Path) -> int | None:
        value = _number(path)
        return None if value is None else value * 1000

    found = {
        folder.name: {
            "governor": _text(folder / "scaling_governor"),
            "frequency": hertz(folder / "scaling_cur_freq"),
            "maximum": hertz(folder / "scaling_max_freq"),
        }
        for folder in sorted((top / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    }
    return found or None


def _temperatures(top: Path) -> dict[str, float] | None:
    found = {}
    for folder in sorted((top / "sys/class/thermal").glob("thermal_zone*")):
        value = _number(folder / "temp")  # thousandths of a degree
        if value is not None:
            found[_text(folder / "type") or folder.name] = value / 1000
    return found or None


def _memory(top: Path) -> dict[str, int] | None:
    """Total and available memory, from KiB to bytes."""
    text = _text(top / "proc/meminfo") or ""
    values = dict(re.findall(r"^(MemTotal|MemAvailable):\s*(\d+) kB", text, re.MULTILINE))
    if len(values) != 2:
        return None
    return {"total": int(values["MemTotal"]) * 1024, "available": int(values["MemAvailable"]) * 1024}
