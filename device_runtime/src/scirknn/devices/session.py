"""A session runs one model file, on the NPU (rknnlite) or on the virtual NPU.

Neither is imported before a session is opened.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from pathlib import Path

from scirknn.devices.protocol import DEVICES, Session
from scirknn.devices.rknnlite import NpuSession
from scirknn.devices.virtual import VirtualSession
from scirknn.errors import DeviceError, InputError

_DEVICE_TREE = Path("/proc/device-tree/compatible")


def choose_device(device: str | None) -> str:
    """Settle where a model runs.

    Parameters
    ----------
    device : {"npu", "virtual", "cpu", "auto"} or None
        None asks the environment variable ``SCIRKNN_DEVICE``; without it, the NPU where there is one, and the
        virtual NPU, with a warning, on a machine that has none.

    Returns
    -------
    {"npu", "virtual", "cpu", "auto"}

    Raises
    ------
    InputError
        An unknown name.
    DeviceError
        Neither is there.
    """
    device = device or os.environ.get("SCIRKNN_DEVICE") or None
    if device is not None:
        if device not in DEVICES:
            raise InputError(f"device is {device!r}; it can be one of {', '.join(DEVICES)}.")
        return device
    if has_npu():
        return "npu"
    if importlib.util.find_spec("virtual_npu"):
        warnings.warn(
            "This machine has no Rockchip NPU: the virtual NPU answers instead. "
            "Pass device='virtual' or set SCIRKNN_DEVICE=virtual to say that this is meant.",
            stacklevel=4,
        )
        return "virtual"
    raise DeviceError(
        "This machine has no Rockchip NPU and no virtual one. On a board, pass device='npu': 'python3 -m "
        "scirknn doctor' says what it lacks. Elsewhere, pass device='cpu', or install virtual-npu."
    )


def open_session(path: Path, device: str, core: str = "auto", form: str = "conv") -> Session:
    """Load a model file on `device` ("npu" or "virtual").

    `core` is one of the vendor's masks, "auto" leaves the choice to the driver. `form` is the shape of the
    model's input and output: ``[1, C, N, 1]`` and ``[1, K, N, 1]`` for "conv", ``[N, C]`` and ``[N, K]`` for
    "matmul".

    Raises
    ------
    DeviceError
        The runtime is not installed.
    NativeError
        The runtime, real or virtual, refused the file.
    """
    return NpuSession(path, core, form) if device == "npu" else VirtualSession(path, core, form)


def has_npu() -> bool:
    """Whether this machine has an NPU of Rockchip's, or the vendor's runtime."""
    try:
        is_rockchip = b"rockchip," in _DEVICE_TREE.read_bytes()
    except OSError:
        is_rockchip = False
    return is_rockchip or has_rknnlite()


def has_rknnlite() -> bool:
    """Whether the vendor's rknnlite is installed for this Python."""
    return "rknnlite" in sys.modules or importlib.util.find_spec("rknnlite") is not None
