"""What can go wrong between a ``.rknn`` file and its outputs.

::

    VirtualNpuError
    ├── FileFormatError      the bytes are not a complete, consistent .rknn file (also ValueError)
    ├── UnsupportedFormat    a .rknn file of another format; carries its version and what it lacks
    ├── UnsupportedProgram   the program does what this NPU does not model; carries unit, register, value
    │   └── OverWideFieldError   a value is more than its register's field holds; carries field and width
    └── InputError           an input is not what the model takes (also ValueError)
    OverWideFieldWarning     the same of a field that toolkits write so (a UserWarning)
"""

from __future__ import annotations


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


class OverWideFieldError(UnsupportedProgram):
    """The register program writes more into a field than it holds.

    Attributes
    ----------
    field : str
        Field of the register, by its public name.
    width : int
        Bits that it has.
    """

    def __init__(self, unit: str, register: str, field: str, value: int, width: int) -> None:
        super().__init__(unit, register, value)
        self.args = (f"{unit} {register}: {field} = {value} is more than its {width} bits hold",)
        self.field = field
        self.width = width


class OverWideFieldWarning(UserWarning):
    """A file writes more into a field than was published that it holds: a chip may compute nonsense."""


class InputError(VirtualNpuError, ValueError):
    """An input's shape or dtype is not what the model takes."""
