"""What can go wrong between a ``.rknn`` file and its outputs.

::

    VirtualNpuError
    ├── FileFormatError      the bytes are not a complete, consistent .rknn file (also ValueError)
    ├── UnsupportedFormat    a .rknn file of another format; carries its version and what it lacks
    ├── UnsupportedProgram   the program does what this NPU does not model; carries unit, register, value
    └── InputError           an input is not what the model takes (also ValueError)
"""

from __future__ import annotations

__all__ = ["FileFormatError", "InputError", "UnsupportedFormat", "UnsupportedProgram", "VirtualNpuError"]


class VirtualNpuError(Exception):
    """Base of every error that virtual_npu raises on purpose."""


class FileFormatError(VirtualNpuError, ValueError):
    """The bytes are not a complete, consistent ``.rknn`` file."""


class UnsupportedFormat(VirtualNpuError):
    """A ``.rknn`` file of a format that holds no register program this reader knows.

    Attributes
    ----------
    version : int
        Format number in the file's header.
    lacks : str
        What the file lacks, in words.
    """

    def __init__(self, version: int, lacks: str) -> None:
        super().__init__(
            f"format {version} of .rknn lacks {lacks}; format 6 is read (rknn-toolkit2 2.x writes it): "
            "convert the model again with one of those"
        )
        self.version = version
        self.lacks = lacks


class UnsupportedProgram(VirtualNpuError):
    """The register program asks for something this NPU does not model.

    Attributes
    ----------
    unit : str
        Unit of the NPU (``"CNA"``, ``"DPU"``, ...) or ``"CPU"`` for a layer left to the host.
    register : str
        Register or field, by its public name; the layer's type for the CPU.
    value : int or str
        The value met there.
    """

    def __init__(self, unit: str, register: str, value: int | str, note: str = "") -> None:
        text = f"{value:#x}" if isinstance(value, int) else value
        super().__init__(f"{unit} {register} = {text} is not modelled" + (f": {note}" if note else ""))
        self.unit = unit
        self.register = register
        self.value = value


class InputError(VirtualNpuError, ValueError):
    """An input's shape or dtype is not what the model takes."""
