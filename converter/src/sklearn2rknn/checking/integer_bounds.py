"""Bounds on the error of int8 and int16 files."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import (
    FLOAT16,
    SUM_UNIT,
    TABLE_ERRORS,
    activate_with_error,
    error_through,
    host_input,
    host_output,
)
from sklearn2rknn.network.layer import CLIPPED_TANH, CLIPPED_TANH_END, Layer
from virtual_npu import RknnFile


@attrs.frozen
class Steps:
    """An integer tensor's quantization: ``real = (stored - zero_point) * step``."""

    step: float
    zero_point: int
    bits: int = 8

    @property
    def low(self) -> float:
        """The least number the tensor can hold."""
        return -((1 << (self.bits - 1)) + self.zero_point) * self.step

    @property
    def high(self) -> float:
        """The greatest number the tensor can hold."""
        return ((1 << (self.bits - 1)) - 1 - self.zero_point) * self.step


def quantized_output_bound(
    layers: Sequence[Layer],
    X: Floats,
    tensors: Sequence[Steps],
    before: Affine | None = None,
    after: Affine | None = None,
    *,
    host: float = SUM_UNIT,
    per_channel: bool = True,
    idle: Floats | None = None,
) -> Floats:
    """Bound the error of an int8 or int16 network's output, as `output_bound` does.

    Parameters
    ----------
    tensors : sequence of Steps
        Of the input and of each layer's result, `tensor_count` of them; a clipped tanh has its sum before.
    per_channel : bool
        Whether weights have a step per output channel.
    idle : numpy.ndarray or None
        The first layer's weights on an input that is always 0, which count for steps only.

    Raises
    ------
    ValueError
        The number of tensors does not fit the layers.
    """
    if len(tensors) != tensor_count(layers):
        raise ValueError(f"{len(layers)} layers have {tensor_count(layers)} tensors, not {len(tensors)}.")
    value, error = host_input(X, before, host)
    following = iter(tensors)
    target = next(following)
    error = _quantize(value, error, target, 0.5)
    for i, layer in enumerate(layers):
        source, target = target, next(following)
        weights = np.abs(layer.weights)
        largest = weights.max(axis=0)
        if i == 0 and idle is not None:
            largest = np.maximum(largest, np.abs(idle))
        if not per_channel:
            largest = np.full(len(layer.bias), largest.max())
        step = largest * (1.001 / 127) if source.bits == 8 else 1.001 * int16_steps(largest)
        exact = kernel_ranges(layer) / 255 if source.bits == 8 else step
        coarser, unit = _scaling(layer, exact, source) if per_channel else (np.float64(1), 0.5)
        size = np.abs(value) + error
        # A weight of 0 is held without error where the zero point is 0.
        rounded = size.sum(axis=1, keepdims=True) if source.bits == 8 else size @ (weights > 0)
        total = error @ weights + rounded * (step / 2) + unit * source.step * step
        z = value @ layer.weights + layer.bias
        total += 1.001 * 2.0**-15 * (coarser + 1) * (np.abs(z) + total)
        if per_channel:  # the channel's factor leaves integers, in the unit of the layer's coarsest kernel
            total += 0.5 * 1.001 * source.step * exact.max(initial=0)
        if source.bits == 16:
            reach = 2.0**31 * source.step * 0.999 * int16_steps(largest)
            total += _beyond_32_bits(layer, z, total, reach, target)
        if layer.activation == CLIPPED_TANH:
            z, total = np.clip(z, 0.0, CLIPPED_TANH_END), error_through(_limited, z, total)
            total = _quantize(z, total, target, 0.5)
            target = next(following)
        value, error = activate_with_error(layer.activation, z, total, FLOAT16)
        error = _quantize(value, error, target, 1.5 if layer.activation in TABLE_ERRORS else 0.5)
    return host_output(value, error, after, host)


def tensor_count(layers: Sequence[Layer]) -> int:
    """Return the count of tensors: the input, each result, and clipped sums."""
    return 1 + len(layers) + sum(layer.activation == CLIPPED_TANH for layer in layers)


def _limited(z: Floats) -> Floats:
    return np.clip(z, 0.0, CLIPPED_TANH_END)


def tensor_steps(file: RknnFile) -> tuple[Steps, ...]:
    """Return the quantization of a file's input and of each layer's result."""
    layers = [node for node in file.nodes if node.placement != "none"]
    # Files of other chips do not say what a node gives.
    tensors = [*file.inputs, *(file.tensors[node.outputs[0]] for node in layers if node.outputs)]
    return tuple(
        Steps(tensor.scale, tensor.zero_point, 16 if tensor.dtype == "int16" else 8)
        for tensor in tensors
        if tensor.scale is not None and tensor.zero_point is not None
    )


def _quantize(value: Floats, error: Floats, steps: Steps, rounding: float) -> Floats:
    # Cutting off at the range's end brings a number nearer to one inside it, and leaves one outside at the
    # end.
    beyond = np.maximum(value - steps.high, steps.low - value)
    surely_0 = (value == 0) & (error == 0)
    return np.where(surely_0, 0.0, np.maximum(error, beyond) + rounding * steps.step)


def _scaling(layer: Layer, steps: Floats, source: Steps) -> tuple[Floats, float]:
    """Return the largest step over each kernel's, and the error of sums in steps."""
    live = steps > 0
    if not live.any():
        return np.ones_like(steps), 0.5
    coarser = np.where(live, steps.max() / np.where(live, steps, 1.0), 1.0)
    if source.bits != 8:
        return coarser, 0.5
    sizes = np.abs(layer.bias[live]) / (source.step * steps[live])
    cut = float(sizes.max()) / 2.0**30
    return coarser, cut if cut > 1 else 0.5


def _beyond_32_bits(layer: Layer, z: Floats, error: Floats, reach: Floats, target: Steps) -> Floats:
    """Return how far 32 bits cut off sums of `z` within `error` that the result would hold.

    Sums are cut off at `reach` before the bias is added, or after: `virtual_npu`'s `convolution`. Past the
    result's own ends that changes nothing.
    """
    reach = reach - np.abs(layer.bias)
    low = target.low if layer.activation == "identity" else 0.0
    high = CLIPPED_TANH_END if layer.activation == CLIPPED_TANH else target.high
    beyond = np.maximum(z + error, 0) if low == 0 else np.abs(z) + error
    return np.where(reach < max(high, -low), np.maximum(beyond - reach, 0.0), 0.0)


def int16_steps(largest: Floats) -> Floats:
    """Return 1 / (2**f - 1) for largest weights, as files of four toolkits have it.

    A power of two from 1 on takes a bit more than the numbers below it.
    """
    largest = np.asarray(largest, np.float32).astype(np.float64)  # as the toolkit has them
    log = np.log2(np.where(largest > 0, largest, 1.0))
    bits = 15 - np.where(log < 0, np.ceil(log) + (log <= -1), np.floor(log) + 1)
    return np.where(largest > 0, 1 / np.maximum(2.0**bits - 1, 2.0 ** (bits - 1)), 0.0)


def kernel_ranges(layer: Layer) -> Floats:
    """Return each kernel's range of weights and 0; an int8 step is a 255th of it."""
    return np.asarray(layer.weights.max(axis=0).clip(min=0) - layer.weights.min(axis=0).clip(max=0))
