"""Read a ``.rknn`` file and execute its register program in numpy."""

from __future__ import annotations

from .container import read
from .digest import content_digest
from .errors import FileFormatError, InputError, UnsupportedFormat, UnsupportedProgram, VirtualNpuError
from .executor import VirtualNpu
from .model_file import Node, Relocation, RknnFile, Task, Tensor
from .placement import placement

__all__ = [
    "FileFormatError",
    "InputError",
    "Node",
    "Relocation",
    "RknnFile",
    "Task",
    "Tensor",
    "UnsupportedFormat",
    "UnsupportedProgram",
    "VirtualNpu",
    "VirtualNpuError",
    "content_digest",
    "placement",
    "read",
]
