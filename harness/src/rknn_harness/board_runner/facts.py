"""What can be told of a board: versions, clocks, temperatures, memory. What is absent is None."""

from __future__ import annotations

import mmap
import os
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["gather"]

_READ_LIMIT = 1 << 16
_RUNTIME_VERSION = re.compile(rb"librknnrt version: ([0-9][ -~]{0,80}?)\s*(?=[\0\n\r]|[^ -~])")
_RUNTIMES = ("usr/lib/librknnrt.so", "usr/lib/aarch64-linux-gnu/librknnrt.so", "usr/local/lib/librknnrt.so")
_DRIVERS = ("sys/kernel/debug/rknpu/version", "proc/rknpu/version", "sys/module/rknpu/version")


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
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": _text(top / "proc/device-tree/model"),
        "compatible": _compatible(top),
        "rknnlite": _distribution("rknn-toolkit-lite2"),
        "virtual_npu": _distribution("virtual-npu"),
        "librknnrt": _runtime(top),
        "driver": next(filter(None, (_text(top / path) for path in _DRIVERS)), None),
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


def _compatible(top: Path) -> list[str] | None:
    text = _text(top / "proc/device-tree/compatible")
    return None if text is None else text.split("\0")


def _distribution(name: str) -> str | None:
    try:
        from importlib import metadata

        return metadata.version(name)
    except Exception:  # whatever is wrong with an installation, it is no fact about the board
        return None


def _runtime(top: Path) -> str | None:
    """Return the version that librknnrt.so carries as text, as ``strings`` would show it."""
    for name in _RUNTIMES:
        try:
            with (top / name).open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with data:
                found = _RUNTIME_VERSION.search(data)
                if found:
                    return found.group(1).decode("ascii")
        except (OSError, ValueError):  # absent, or empty and so not to be mapped
            continue
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
