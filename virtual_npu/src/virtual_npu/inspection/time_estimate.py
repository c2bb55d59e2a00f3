"""An estimate of a model's time on an RK3588, from published rates.

This project has measured none of it. Sources:

- RK3588 TRM Part 1, chapter 36: 1,024 int8 or 512 float16 or int16 multiply-adds a cycle and core; 1 GHz
  (jas-hacks.blogspot.com, 2023).
- Memory: 11 GB/s of weights at one row (clehaxze.tw, 2024-02; allbilly/rk3588, experimental/multicore.md).
- A task: 8 us (open-rknpu, docs/performance.md) to 26.3 us (charsiu's notes on the RK3576).
- A submit: 0.04 ms (wtwver/npu README, rknn_benchmark on an RK3588) to 0.2 ms (charsiu's notes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from virtual_npu.rknn_file.model_file import ITEM_BYTES, Node, RknnFile

__all__ = ["Estimate", "LayerEstimate", "estimate"]

_CLOCK: Final = 1e9  # Hz
_MULTIPLIERS: Final = {"int8": 1024, "float16": 512, "int16": 512}
_BYTES_PER_SECOND: Final = 11e9
_TASK_SECONDS: Final = (8e-6, 26.3e-6)
_SUBMIT_SECONDS: Final = (0.04e-3, 0.2e-3)


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One layer's share.

    Attributes
    ----------
    multiply_adds : int
        Products summed; 0 for layers without weights.
    moved_bytes : int
        Constants, inputs and outputs, each once.
    tasks : int
        On one core.
    seconds : tuple of two floats
        The range, without the submit.
    """

    name: str
    type: str
    placement: str
    multiply_adds: int
    moved_bytes: int
    tasks: int
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate for one run on one core, in seconds, host work left out."""

    layers: tuple[LayerEstimate, ...]
    seconds: tuple[float, float]


def estimate(file: RknnFile) -> Estimate:
    """Estimate one run of the model on one core.

    Returns
    -------
    Estimate
        A range: a submit, plus for each layer its tasks' fixed cost and the longer of computing and moving.
    """
    tasks = [task.node for task in file.tasks(1)[0]]
    layers = tuple(
        _layer(file, node, tasks.count(node.index)) for node in file.nodes if node.placement != "none"
    )
    low, high = (_SUBMIT_SECONDS[i] + sum(layer.seconds[i] for layer in layers) for i in (0, 1))
    return Estimate(layers, (low, high))


def _layer(file: RknnFile, node: Node, tasks: int) -> LayerEstimate:
    operands = [file.tensors[i] for i in (*node.inputs, *node.outputs)]
    moved = sum(
        len(file.buffers[t.buffer]) if t.buffer else math.prod(t.shape) * ITEM_BYTES.get(t.dtype, 1)
        for t in operands
    )
    weights = next((t for t in operands if t.layout == "weight"), None)
    products = 0
    if weights is not None and node.outputs:
        points = math.prod(file.tensors[node.outputs[0]].shape[2:])
        products = math.prod(weights.shape) * points
    rate = _MULTIPLIERS.get(weights.dtype if weights else "", 512) * _CLOCK
    busy = max(products / rate, moved / _BYTES_PER_SECOND)
    low, high = (busy + tasks * cost for cost in _TASK_SECONDS)
    return LayerEstimate(node.name, node.type, node.placement, products, moved, tasks, (low, high))
