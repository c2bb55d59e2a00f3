"""An estimate of a call's time on an RK3588, by what the file holds and what others measured.

A sum: that computing and moving overlap fits the published figures worse. The rates are in `time_rates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from virtual_npu.inspection.time_rates import (
    BAND,
    BUFFER_BYTES,
    CLOCK,
    FITTED,
    MULTIPLIERS,
    numpy_seconds,
)
from virtual_npu.program.registers import running_units
from virtual_npu.rknn_file.model_file import ITEM_BYTES, Node, RknnFile, Task, Tensor


@dataclass(frozen=True, slots=True)
class TimeParts:
    """Seconds by what takes them.

    Attributes
    ----------
    submit, tasks : float
        Handing the run to the NPU, and starting its tasks.
    compute, memory : float
        Multiply-adds at the multipliers' rate; weights, inputs and outputs of layers at the memory's.
    inputs, outputs : float
        The host's conversion of the model's inputs and outputs.
    call : float
        rknnlite's Python.
    """

    submit: float = 0.0
    tasks: float = 0.0
    compute: float = 0.0
    memory: float = 0.0
    inputs: float = 0.0
    outputs: float = 0.0
    call: float = 0.0

    @property
    def npu(self) -> float:
        """What `rknn_run` takes."""
        return self.submit + self.tasks + self.compute + self.memory

    @property
    def total(self) -> float:
        """What a call takes."""
        return self.npu + self.inputs + self.outputs + self.call


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One layer's share.

    Attributes
    ----------
    multiply_adds : int
        Products summed; 0 for layers without weights.
    moved_bytes : int
        Inputs and outputs once, constants as often as they are read.
    tasks : int
        On one core.
    parts : TimeParts
    """

    name: str
    type: str
    placement: str
    multiply_adds: int
    moved_bytes: int
    tasks: int
    parts: TimeParts

    @property
    def seconds(self) -> tuple[float, float]:
        """The range."""
        return _range(self.parts.total)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate for one call of rknnlite's `inference`, on one core.

    Attributes
    ----------
    layers : tuple of LayerEstimate
    parts : TimeParts
        Each at the middle of its range.
    cpu_seconds : tuple of two floats
        The same network on one A76 core in numpy, least and most.
    """

    layers: tuple[LayerEstimate, ...]
    parts: TimeParts
    cpu_seconds: tuple[float, float]

    @property
    def seconds(self) -> tuple[float, float]:
        """The range of a call."""
        return _range(self.parts.total)

    @property
    def npu_seconds(self) -> tuple[float, float]:
        """The range of the run alone, without the host's conversion and Python."""
        return _range(self.parts.npu)


def estimate(file: RknnFile) -> Estimate:
    """Estimate one call of the model on one core of an RK3588.

    Returns
    -------
    Estimate
        Three in four published figures lie within such a range where their source had no part in the fit.
    """
    tasks = file.tasks(1)[0]
    layers = tuple(
        _layer(file, node, [task for task in tasks if task.node == node.index])
        for node in file.nodes
        if node.placement != "none"
    )
    host = TimeParts(
        submit=FITTED.submit,
        inputs=FITTED.input_element * _elements(file.inputs),
        outputs=FITTED.output_element * _elements(file.outputs),
        call=FITTED.call,
    )
    products = [layer.multiply_adds for layer in layers if layer.multiply_adds]
    return Estimate(
        layers, _sum([host, *(layer.parts for layer in layers)]), numpy_seconds(sum(products), len(products))
    )


def _layer(file: RknnFile, node: Node, tasks: list[Task]) -> LayerEstimate:
    operands = [file.tensors[i] for i in (*node.inputs, *node.outputs)]
    constants = sum(len(file.buffers[t.buffer]) for t in operands if t.buffer)
    features = sum(math.prod(t.shape) * ITEM_BYTES.get(t.dtype, 1) for t in operands if not t.buffer)
    weights = next((t for t in operands if t.layout == "weight"), None)
    products = 0
    if weights is not None and node.outputs:
        shape = file.tensors[node.outputs[0]].shape
        products = math.prod(weights.shape) * math.prod(shape[:1]) * math.prod(shape[2:])
    if constants > BUFFER_BYTES:  # else they stay where they are; so the register programs have it
        constants *= max(1, sum("CNA" in running_units(task.enable_mask).split() for task in tasks))
    parts = TimeParts(
        tasks=len(tasks) * FITTED.task,
        compute=products / (MULTIPLIERS.get(weights.dtype if weights else "", 512) * CLOCK),
        memory=constants / FITTED.weight_bytes + features / FITTED.feature_bytes,
    )
    return LayerEstimate(
        node.name, node.type, node.placement, products, constants + features, len(tasks), parts
    )


def _elements(tensors: Iterable[Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors)


def _sum(parts: list[TimeParts]) -> TimeParts:
    names = [field.name for field in fields(TimeParts)]
    return TimeParts(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _range(seconds: float) -> tuple[float, float]:
    return BAND[0] * seconds, BAND[1] * seconds
