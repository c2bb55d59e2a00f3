"""Layers that a program computes in parts, whose sums it stores between them.

Observation (toolkits 2.3.2 and 2.5.0; Conv, MatMul and Gemm form): a Split copies ranges of the input's
channels, a Conv sums the products of one, and a ConvAdd those of another onto the sum that was stored before.
A part whose weights are all 0 is a constant, which an Add adds. 2.5.0 does so from 1,537 inputs on, 2.3.2
from some 10,000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.rknn_file.model_file import Node, RknnFile

Ranges = tuple[tuple[int, int], ...]

_PLACE = re.compile(r"_o(\d+)$")


@dataclass(frozen=True, slots=True)
class CutLayer:
    """A layer that is computed in parts.

    Attributes
    ----------
    name : str
        Of a node that computes a part: the layer's own name is in it.
    stored : tuple of tuple of (int, int)
        Of each sum that is stored before the last: the ranges of the layer's input channels whose products
        it holds. Which of them hold the bias too is left open.
    """

    name: str
    stored: tuple[Ranges, ...]


def cut_layers(file: RknnFile) -> tuple[CutLayer, ...]:
    """List the layers that are computed in parts, in the order of the program.

    Raises
    ------
    UnsupportedProgram
        It is not known which channels a part takes.
    """
    layers = (_cut_layer(file, node) for node in file.nodes if node.type == "Split")
    return tuple(layer for layer in layers if layer is not None)


def _cut_layer(file: RknnFile, split: Node) -> CutLayer | None:
    ranges, sums = dict(_ranges(file, split)), dict[int, Ranges]()
    stored: list[Ranges] = []
    name = ""
    for node in file.nodes[split.index + 1 :]:
        if not node.inputs or not node.outputs:
            continue
        is_product = node.type.startswith("Conv") and node.inputs[0] in ranges
        operands = [sums[index] for index in node.inputs if index in sums]
        if not is_product and not (operands and node.type.startswith("Add")):
            continue
        own: Ranges = (ranges[node.inputs[0]],) if is_product else ()
        if not is_product:
            # The constants are sums of no products, or of a bias alone.
            operands += [()] * (len(node.inputs) - len(operands))
        name = node.name if is_product else name
        if any(len(set(held)) < len(held) for held in operands):
            raise UnsupportedProgram(split.placement, "Split", split.name, "a sum takes channels twice")
        stored += operands
        sums[node.outputs[0]] = sum(operands, own)
    return CutLayer(name, tuple(stored)) if stored else None


def _ranges(file: RknnFile, split: Node) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the results of a Split with the channels that each holds.

    Results that nothing takes are left out of the file; a result's place is in its name.
    """
    sizes = file.tensors[split.inputs[1]] if len(split.inputs) == 2 else None
    content = b"" if sizes is None or sizes.dtype != "int64" else file.buffers[sizes.buffer].tobytes()
    counts = np.frombuffer(content, "<i8") if len(content) % 8 == 0 else np.zeros(0, np.int64)
    ends = np.cumsum(counts).tolist() if (counts >= 0).all() else []
    for index in split.outputs:
        result = file.tensors[index]
        match = _PLACE.search(result.name)
        place, width = int(match[1]) if match else 0, result.shape[1] if len(result.shape) == 4 else 0
        if place >= len(ends) or ends[place] - [0, *ends][place] != width:
            raise UnsupportedProgram(split.placement, "Split", split.name, "unknown channels of a result")
        yield index, (ends[place] - width, ends[place])
