"""Read a ``.rknn`` file and execute its register program in numpy."""

from __future__ import annotations

from .container import read
from .digest import content_digest
from .disassembly import disassemble
from .errors import FileFormatError, InputError, UnsupportedFormat, UnsupportedProgram, VirtualNpuError
from .estimate import Estimate, LayerEstimate, estimate
from .executor import VirtualNpu
from .model_file import Node, Relocation, RknnFile, Task, Tensor
from .placement import placement

__all__ = [
    "Estimate",
    "FileFormatError",
    "InputError",
    "LayerEstimate",
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
    "disassemble",
    "estimate",
    "placement",
    "read",
]
