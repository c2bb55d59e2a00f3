"""Read a ``.rknn`` file and execute its register program in numpy."""

from __future__ import annotations

from virtual_npu.errors import (
    FileFormatError,
    InputError,
    OverWideFieldError,
    OverWideFieldWarning,
    UnsupportedFormat,
    UnsupportedProgram,
    VirtualNpuError,
)
from virtual_npu.execute.arithmetic import LookupRules
from virtual_npu.execute.virtual_npu import VirtualNpu
from virtual_npu.inspection.content_digest import content_digest
from virtual_npu.inspection.cut_layers import CutLayer, cut_layers
from virtual_npu.inspection.disassembly import disassemble
from virtual_npu.inspection.lookup_choices import lookup_choices
from virtual_npu.inspection.time_estimate import Estimate, LayerEstimate, TimeParts, estimate
from virtual_npu.inspection.time_rates import numpy_seconds
from virtual_npu.program.field_widths import OverWideField, layers_with_full_cubes, over_wide_fields
from virtual_npu.program.rules_followed import rules_followed
from virtual_npu.rknn_file.model_file import Node, Relocation, RknnFile, Task, Tensor, placement
from virtual_npu.rknn_file.reader import read

__all__ = [
    "CutLayer",
    "Estimate",
    "FileFormatError",
    "InputError",
    "LayerEstimate",
    "LookupRules",
    "Node",
    "OverWideField",
    "OverWideFieldError",
    "OverWideFieldWarning",
    "Relocation",
    "RknnFile",
    "Task",
    "Tensor",
    "TimeParts",
    "UnsupportedFormat",
    "UnsupportedProgram",
    "VirtualNpu",
    "VirtualNpuError",
    "__version__",
    "content_digest",
    "cut_layers",
    "disassemble",
    "estimate",
    "layers_with_full_cubes",
    "lookup_choices",
    "numpy_seconds",
    "over_wide_fields",
    "placement",
    "read",
    "rules_followed",
]

__version__ = "0.3.0"
