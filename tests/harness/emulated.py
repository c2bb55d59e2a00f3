"""Forward passes in the NPU's arithmetic, written for the tests apart from the bounds that they check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rknn_harness.verdicts.reference import ACTIVATIONS
from scirknn.arrays import Floats
from sklearn2rknn.checking.integer_bounds import Steps
from sklearn2rknn.network.layer import Layer


def float16_forward(layers: Sequence[Layer], X: Floats, *, bias16: bool, tables: bool) -> Floats:
    """Float16 weights, inputs and results; float32 sums; tanh and logistic from the NPU's kind of table."""
    value = X.astype(np.float32).astype(np.float16)
    for layer in layers:
        weights = layer.weights.astype(np.float32).astype(np.float16)
        bias = layer.bias.astype(np.float32)
        bias = bias.astype(np.float16).astype(np.float32) if bias16 else bias
        z = value.astype(np.float32) @ weights.astype(np.float32) + bias
        value = _activate(layer.activation, z, tables).astype(np.float16)
    return value.astype(np.float64)


def int8_forward(layers: Sequence[Layer], X: Floats, tensors: Sequence[Steps]) -> Floats:
    """Int8 tensors, int8 weights with a step per channel, int32 sums and biases."""
    stored = _quantize(X, tensors[0])
    for layer, source, target in zip(layers, tensors, tensors[1:], strict=False):
        step = np.abs(layer.weights).max(axis=0) / 127
        step[step == 0] = 1
        weights = np.rint(layer.weights / step)
        bias = np.rint(layer.bias / (source.step * step))
        z = ((stored - source.zero_point) @ weights + bias) * source.step * step
        stored = _quantize(_activate(layer.activation, z, tables=True), target)
    return (stored - tensors[-1].zero_point) * tensors[-1].step


def calibrate(layers: Sequence[Layer], X: Floats) -> tuple[Steps, ...]:
    """Steps that span what each tensor holds on the rows `X`."""
    found, value = [_steps(X)], X
    for layer in layers:
        value = ACTIVATIONS[layer.activation](value @ layer.weights + layer.bias)
        found.append(_steps(value))
    return tuple(found)


def _steps(value: Floats) -> Steps:
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    step = (high - low) / 255 or 1.0
    return Steps(step, int(np.rint(-128 - low / step)))


def _quantize(value: Floats, steps: Steps) -> Floats:
    stored: Floats = np.clip(np.rint(value / steps.step) + steps.zero_point, -128, 127)
    return stored


def _activate(activation: str, z: Any, tables: bool) -> Any:
    if not tables or activation not in ("tanh", "logistic"):
        return ACTIVATIONS[activation](z)
    # 513 entries a side over +-16384 after a multiplication by 5424 or 2596, in 1/32768, the end value held.
    end = 16384 / (5424 if activation == "tanh" else 2596)
    knots = np.linspace(-end, end, 1025)
    entries = np.rint(ACTIVATIONS[activation](knots) * 32768) / 32768
    return np.interp(z, knots, entries)
